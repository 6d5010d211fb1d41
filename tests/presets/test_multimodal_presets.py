"""Presets of multimodal models: their kinds of inputs come along."""

import json

import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_multimodal as tiny
from keras_perceiver.presets.form import to_form


def test_round_trip(tmp_path):
    model = tiny.autoencoder()
    contract.randomize(model, np.random.default_rng(1))
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert to_form(again) == to_form(model)
    assert type(again.encoder.modalities["audio"]) is kp.models.AudioModality
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c.update(modalities={}), "`class_name` must be one of"),
        (lambda c: c.update(modalities={"image": 3}), "`class_name` must be one of"),
        (lambda c: c.update(modalities=[]), "`modalities` must be a dict"),
        (
            lambda c: c["modalities"].update(image={"class_name": "eval", "config": {}}),
            "`class_name` must be one of.*Received: 'eval'",
        ),
        (
            lambda c: c["modalities"]["image"]["config"].update(height=10**12),
            "`height` must not exceed",
        ),
        (
            lambda c: c["modalities"]["image"]["config"].update(exec="touch"),
            r"ImageModality does not take \['exec'\]",
        ),
        (
            lambda c: c["modalities"].update(
                image={"class_name": "AttentionSpec", "config": {}}
            ),
            "`modalities` must be a dict of names and kinds",
        ),
    ],
)
def test_hostile_kinds_are_refused(tmp_path, change, match):
    kp.presets.save(tiny.encoder("image", "label"), tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    config = json.loads(path.read_text())
    change(config["config"])
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path / "preset")
