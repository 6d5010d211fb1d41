"""The six official checkpoints give the numbers that transformers' own tests expect.

They are too large for this repository. Who has them runs this with

    KERAS_PERCEIVER_CHECKPOINTS=folder python -m pytest tests/converters/test_published.py

where the folder has any of the folders that `FOLDERS` names, each a download of the
repository of that name, with `model.safetensors`; for images, `000000039769.png`, the cats
of COCO that transformers tests with; for optical flow, `sintel.png`, the first image of its
data set `fixtures_sintel`.
"""

import os
import pathlib

import numpy as np
import pytest

import contract
import keras_perceiver as kp
from tolerances import PARITY
from transformers_multimodal import their_outputs

VARIABLE = "KERAS_PERCEIVER_CHECKPOINTS"
CLASSIFIERS = {
    "vision-perceiver-conv": (48_646_522, [-1.1186, 0.0554, 0.0897]),
    "vision-perceiver-fourier": (48_440_627, [-1.1295, -0.2832, 0.3226]),
    "vision-perceiver-learned": (62_255_848, [-1.1652, -0.1992, -0.7520]),
}
FOLDERS = (
    "language-perceiver",
    "multimodal-perceiver",
    "optical-flow-perceiver",
    *CLASSIFIERS,
)
MASK = 3

pytestmark = pytest.mark.slow


def published(name):
    """A file or folder that the user has; skips without it."""
    root = os.environ.get(VARIABLE)
    path = pathlib.Path(root or "", name)
    if root is None or not path.exists():
        pytest.skip(
            f"no {name}: set {VARIABLE} to a folder that has it, as this file's docstring "
            f"says. {VARIABLE}={root}"
        )
    return path


def parameters(model):
    """Those that are trained: running means are not counted."""
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


def test_language_perceiver():
    model = kp.presets.load(published("language-perceiver"))
    assert parameters(model) == 201_108_230
    text = "This is an incomplete sentence where some words are missing."
    inputs = model.preprocessor([text], pad_to=2048)
    inputs["token_ids"][0, 52:61] = MASK  # " missing."
    logits = model.predict(inputs, verbose=0)
    expected = [
        [-10.8609, -10.7651, -10.9187],
        [-12.1689, -11.9389, -12.1479],
        [-12.1518, -11.9707, -12.2073],
    ]
    np.testing.assert_allclose(logits[0, :3, :3], expected, rtol=PARITY, atol=PARITY)
    answers = logits[0, 52:61].argmax(axis=-1)
    assert answers.tolist() == [38, 115, 111, 121, 121, 111, 116, 109, 52]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_vision_perceivers(name):
    size, expected = CLASSIFIERS[name]
    model = kp.presets.load(published(name))
    assert parameters(model) == size
    images = model.preprocessor([published("000000039769.png")])
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(logits[0, :3], expected, rtol=PARITY, atol=PARITY)


def test_optical_flow_perceiver():
    """Of a frame that does not move."""
    model = kp.presets.load(published("optical-flow-perceiver"))
    assert parameters(model) == 41_057_134
    frame = kp.preprocessing.images.open_image(published("sintel.png"))[:368, :496]
    flow = model.predict(model.preprocessor((frame, frame)), verbose=0)
    expected = [[0.0025, -0.0050], [0.0025, -0.0049], [0.0025, -0.0048]]
    np.testing.assert_allclose(flow[0, 0, :3], expected, rtol=PARITY, atol=PARITY)


def test_multimodal_perceiver(rng):
    """Numbers of its outputs were not published: those of transformers count."""
    from transformers import PerceiverForMultimodalAutoencoding

    folder = published("multimodal-perceiver")
    model = kp.presets.load(folder)
    assert parameters(model) == 19_858_855
    inputs = {
        "image": rng.uniform(size=(1, 16, 224, 224, 3)).astype("float32"),
        "audio": rng.uniform(-1, 1, size=(1, 30720, 1)).astype("float32"),
    }
    # The first of 128 chunks.
    points = {"image": np.arange(16 * 224 * 224 // 128), "audio": np.arange(1920 // 128)}
    theirs = PerceiverForMultimodalAutoencoding.from_pretrained(folder).eval()
    expected = their_outputs(theirs, inputs, points)
    shapes = {"audio": (1, 240), "image": (1, 6272, 3), "label": (1, 700)}
    assert {name: x.shape for name, x in expected.items()} == shapes
    asked = {f"{name}_points": x[None] for name, x in points.items()}
    for name, x in model({**inputs, **asked}).items():
        x = contract.as_numpy(x).reshape(shapes[name])
        np.testing.assert_allclose(x, expected[name], atol=PARITY, err_msg=name)
