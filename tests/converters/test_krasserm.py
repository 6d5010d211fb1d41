"""krasserm/perceiver-io folders: golden logits, and refusals."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.files import TensorFile, write_tensors
from tolerances import PARITY

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "image_classifier"


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(GOLDEN, tmp_path / "model"))


def test_logits_are_those_of_the_original():
    golden = np.load(GOLDEN / "golden.npz")
    model = kp.presets.load(GOLDEN)
    logits = model.predict(golden["pixel_values"], verbose=0)
    np.testing.assert_allclose(logits, golden["logits"], atol=PARITY)
    assert np.abs(golden["logits"]).max() > 1


@pytest.mark.parametrize("name", ["masked_lm", "masked_lm_repeated", "text_classifier"])
def test_text_logits_are_those_of_the_original(name):
    folder = GOLDEN.parent / name
    golden = np.load(folder / "golden.npz")
    model = kp.presets.load(folder)
    ids = golden["input_ids"].astype("int32")
    padding = golden["pad_mask"]  # True at padding, there
    assert padding.any()
    assert np.abs(golden["logits"]).max() > 1
    real = np.ones_like(ids)
    logits = model.predict({"token_ids": ids, "padding_mask": real}, verbose=0)
    np.testing.assert_allclose(logits, golden["logits"], atol=PARITY)
    real = 1 - padding.astype("int32")
    logits = model.predict({"token_ids": ids, "padding_mask": real}, verbose=0)
    np.testing.assert_allclose(logits, golden["logits_pad"], atol=PARITY)
    assert np.abs(golden["logits"] - golden["logits_pad"]).max() > 1e-2


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["masked_lm", "masked_lm_repeated", "text_classifier"])
def test_every_tensor_of_a_text_model_is_used(name):
    file = TensorFile(GOLDEN.parent / name / "model.safetensors")
    used = sum(np.prod(shape) for shape in file.shapes.values())
    assert kp.presets.load(GOLDEN.parent / name).count_params() == used


@pytest.mark.one_backend
def test_buffers_are_recomputed_and_everything_else_is_used(folder):
    file = TensorFile(folder / "model.safetensors")
    buffers = {name for name in file.shapes if name.endswith(".position_encoding")}
    assert len(buffers) == 1
    used = sum(np.prod(file.shapes[name]) for name in set(file.shapes) - buffers)
    assert kp.presets.load(folder).count_params() == used


def change(folder, edit):
    file = TensorFile(folder / "model.safetensors")
    tensors = {name: file.read(name) for name in file.shapes}
    edit(tensors)
    write_tensors(folder / "model.safetensors", tensors)


QUERY = "backend_model.0.cross_attn_n.0.module.attention.q_proj.weight"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda t: t.pop(QUERY), f"lacks tensor `{QUERY}`.*later_cross_attentions"),
        (lambda t: t.update(extra=np.ones(3, "f")), r"no use for `extra`.*\(3,\)"),
        (
            lambda t: t.update({QUERY: t[QUERY].T}),
            r"does not fit.*Expected shape \(19, 32\)\. Received: \(32, 19\)",
        ),
    ],
)
def test_every_tensor_is_used_and_every_weight_set(folder, edit, match):
    change(folder, edit)
    with pytest.raises(ValueError, match=match):
        kp.presets.load(folder)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda c: c["encoder"].update(rotary=True), "`encoder`.*unknown keys.*rotary"),
        (lambda c: c.update(decoder=None), "`decoder` must be an object"),
        (lambda c: c.update(num_latents=10**10), "`num_latents` must not exceed"),
        (
            lambda c: c["encoder"].update(num_self_attention_layers_per_block=10**9),
            "`layers_per_block` must not exceed",
        ),
        (lambda c: c["encoder"].update(image_shape=5), "wrong type"),
        (
            lambda c: c["encoder"].update(num_cross_attention_layers="2"),
            "`num_cross_attentions` must be a positive integer",
        ),
    ],
)
def test_configs_that_are_not_understood_are_refused(folder, edit, match):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    edit(config["model_config"])
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(folder)


@pytest.mark.one_backend
def test_labels_and_processor_come_along(folder):
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): f"digit {i}" for i in range(10)}
    (folder / "config.json").write_text(json.dumps(config))
    processor = {
        "image_mean": 0.5,
        "image_std": 0.25,
        "do_center_crop": False,
        "channels_last": True,
        "single_channel": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    preprocessor = kp.presets.load(folder).preprocessor
    assert preprocessor.get_config() == {
        "image_shape": [9, 7, 1],
        "mean": 0.5,
        "std": 0.25,
        "crop": None,
        "labels": [f"digit {i}" for i in range(10)],
    }
