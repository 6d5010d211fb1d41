"""The examples of serving run as programs, on what this library exports."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend(on="tensorflow")
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "saved_model"
    kp.export.saved_model(kp.presets.load("digits"), path)
    return path


def program(name, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_serve_without_this_package(saved_model, tmp_path):
    model, test = kp.presets.load("digits"), kp.data.digits().test
    logits = model.predict(model.preprocessor(test.images), verbose=0)
    accuracy = np.mean(logits.argmax(-1) == test.labels)
    printed = program("serve_saved_model.py", saved_model, cwd=tmp_path)
    assert f"{accuracy:.2%} of 360 held-out digits" in printed


def test_serve_in_a_keras_2_program(saved_model, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import numpy as np
from serve_with_tf_keras import build
images = np.load("images.npy")
model = build({str(saved_model)!r})
np.save("probabilities.npy", model.predict(images, batch_size=7, verbose=0))
assert "keras_perceiver" not in sys.modules
"""
    images = kp.data.digits().test.images[:10]
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    model = kp.presets.load("digits")
    logits = model.predict(model.preprocessor(images), verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-5)
    assert "Keras 2" in program("serve_with_tf_keras.py", saved_model, cwd=tmp_path)
