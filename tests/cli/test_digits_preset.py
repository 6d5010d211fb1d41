"""The trained preset that ships: small, described, and as good as it says."""

import json
import os

import numpy as np

import keras_perceiver as kp

FOLDER = os.path.join(kp.presets.__path__[0], "digits")


def test_held_out_digits_are_read_on_every_backend():
    model = kp.presets.load("digits")
    data = kp.data.digits()
    found = model.classify(data.test.images, batch_size=360)
    accuracy = np.mean(
        [
            top[0]["label"] == str(label)
            for top, (_, label) in zip(found, data.test, strict=True)
        ]
    )
    with open(os.path.join(FOLDER, "metadata.json")) as file:
        metadata = json.load(file)
    assert accuracy >= 0.955
    assert f"{accuracy:.4f}" in metadata["source"]
    assert "scikit-learn" in metadata["source"] and metadata["licence"]


def test_weights_are_under_four_megabytes():
    assert sum(entry.stat().st_size for entry in os.scandir(FOLDER)) < 4e6
