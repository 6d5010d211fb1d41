"""S1: fresh processes and other backends give the same outputs from the same files."""

import os
import subprocess
import sys

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_text
from tolerances import FLOAT32

pytestmark = [pytest.mark.one_backend, pytest.mark.slow]

# Loads what the parent saved, in three forms, and saves a preset of its own.
SCRIPT = """
import sys, numpy as np, keras, keras_perceiver as kp
folder, backend = sys.argv[1:]
assert keras.backend.backend() == backend
images = np.load(f"{folder}/images.npy")
before = set(sys.modules)  # Keras itself imports JAX under PyTorch
preset = kp.presets.load(f"{folder}/preset")
imported = set(sys.modules) - before
assert not imported & {"tensorflow", "jax", "torch", "transformers"}, imported
saved = keras.saving.load_model(f"{folder}/model.keras")
assert type(saved) is kp.models.ImageClassifier
weights = kp.presets.load(f"{folder}/preset", load_weights=False)
weights.load_weights(f"{folder}/model.weights.h5")
for name, model in (("preset", preset), ("saved", saved), ("weights", weights)):
    np.save(f"{folder}/{backend}_{name}.npy", keras.ops.convert_to_numpy(model(images)))
kp.presets.save(preset, f"{folder}/from_{backend}")
text = kp.presets.load(f"{folder}/text")
logits = text(text.preprocessor(["a text", "b"]))
np.save(f"{folder}/{backend}_text.npy", keras.ops.convert_to_numpy(logits))
assert len(text.fill_mask("[MASK] text")[0]) == 5
kp.presets.save(text, f"{folder}/text_from_{backend}")
"""


def test_every_format_in_fresh_processes_of_other_backends(tmp_path, frozen, rng):
    model = kp.presets.load(frozen[0])
    # Weights of this process, not of a file that the others could have seen.
    for weight in model.weights:
        weight.assign(weight + rng.normal(size=weight.shape) * 0.1)
    images = rng.normal(size=(3, 6, 5, 1)).astype("float32")
    expected = model.predict(images, verbose=0)
    np.save(tmp_path / "images.npy", images)
    kp.presets.save(model, tmp_path / "preset")
    text = tiny_text.masked_lm()
    tokens = text.preprocessor(["a text", "b"])
    text_expected = text.predict(tokens, verbose=0)
    kp.presets.save(text, tmp_path / "text")
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    backends = ("jax", "torch")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), backend],
            env={**os.environ, "KERAS_BACKEND": backend},
            stderr=subprocess.PIPE,
            text=True,
        )
        for backend in backends
    ]
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
    for backend in backends:
        for form in ("preset", "saved", "weights"):
            logits = np.load(tmp_path / f"{backend}_{form}.npy")
            np.testing.assert_allclose(logits, expected, atol=FLOAT32)
        again = kp.presets.load(tmp_path / f"from_{backend}")
        np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-6)
        logits = np.load(tmp_path / f"{backend}_text.npy")
        np.testing.assert_allclose(logits, text_expected, atol=FLOAT32)
        again = kp.presets.load(tmp_path / f"text_from_{backend}")
        np.testing.assert_allclose(
            again.predict(tokens, verbose=0), text_expected, atol=1e-6
        )
