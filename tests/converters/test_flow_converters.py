"""Optical flow models of transformers, there and back, and of krasserm/perceiver-io."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_perceiver as kp
import numpy_reference as reference
from keras_perceiver.files import TensorFile
from keras_perceiver.layers import AttentionSpec
from tolerances import PARITY
from transformers_models import random_model

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "optical_flow"
# The models divide by 100 at last: ten times the flow is of order 10, as their logits.
SCALE = 10
BASE = {
    "num_latents": 4,
    "d_latents": 16,
    "num_blocks": 1,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 1,
    "train_size": [5, 6],
}
VARIANTS = {
    "plain": {},
    "wide": {
        "num_blocks": 2,
        "num_cross_attention_heads": 2,
        "cross_attention_widening_factor": 3,
        "self_attention_widening_factor": 2,
        "train_size": [7, 4],
    },
    "channels": {"qk_channels": 24, "v_channels": 16, "num_cross_attention_heads": 4},
    "queries": {"cross_attention_shape_for_attention": "q", "hidden_act": "gelu_new"},
    "queries and channels": {
        "cross_attention_shape_for_attention": "q",
        "qk_channels": 24,
        "v_channels": 16,
    },
}


def theirs(folder, **options):
    """A random model saved by transformers."""
    model = random_model("PerceiverForOpticalFlow", {**BASE, **options})
    model.save_pretrained(folder)
    return model


def their_flow(model, frames):
    """Of patches, which that library leaves to its users to make."""
    import torch

    patches = reference.neighbourhoods(frames).astype("float32")
    patches = patches.reshape(*patches.shape[:3], 2, 27).transpose(0, 3, 4, 1, 2)
    with torch.no_grad():
        return SCALE * model(inputs=torch.from_numpy(patches.copy())).logits.numpy()


def call(model, frames):
    return keras.ops.convert_to_numpy(model(frames))


@pytest.mark.parametrize("variant", VARIANTS)
def test_flow_there_and_back(tmp_path, rng, variant):
    from transformers import PerceiverForOpticalFlow

    model = theirs(tmp_path / "theirs", **VARIANTS[variant])
    size = model.config.train_size
    frames = rng.uniform(-1, 1, size=(2, 2, *size, 3)).astype("float32")
    expected = their_flow(model, frames)
    assert np.abs(expected - expected[:, :1, :1]).max() > 100 * PARITY

    ours = kp.presets.load(tmp_path / "theirs")
    flow = SCALE * call(ours, frames)
    np.testing.assert_allclose(flow, expected, atol=PARITY)

    kp.converters.to_huggingface(ours, tmp_path / "back")
    again, info = PerceiverForOpticalFlow.from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info.values())
    np.testing.assert_allclose(their_flow(again.eval(), frames), expected, atol=PARITY)
    for name in {**BASE, **VARIANTS[variant]}:
        assert getattr(again.config, name) == getattr(model.config, name)


def test_flow_of_krasserms_model_is_the_original():
    golden = np.load(GOLDEN / "golden.npz")
    model = kp.presets.load(GOLDEN)
    frames = model.preprocessor((golden["frame1"], golden["frame2"]))
    expected = SCALE * golden["flow"]
    flow = SCALE * call(model, frames)
    np.testing.assert_allclose(flow, expected, atol=PARITY)
    assert np.abs(expected - expected[:, :1, :1]).max() > 100 * PARITY
    patches = reference.neighbourhoods(frames)
    patches = patches.reshape(1, *patches.shape[1:3], 2, 27).transpose(0, 3, 4, 1, 2)
    np.testing.assert_allclose(patches, golden["patch_features"], atol=1e-6)


@pytest.mark.one_backend
def test_buffers_are_recomputed_and_everything_else_is_used():
    file = TensorFile(GOLDEN / "model.safetensors")
    buffers = {name for name in file.shapes if name.endswith(".position_encoding")}
    assert len(buffers) == 1
    used = sum(np.prod(file.shapes[name]) for name in set(file.shapes) - buffers)
    assert kp.presets.load(GOLDEN).count_params() == used


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (
            lambda c: c["decoder"].update(image_shape=[8, 8]),
            r"`image_shape of the decoder` must be \[8, 10\].*Received: \[8, 8\]",
        ),
        (
            lambda c: c["encoder"].update(num_patch_input_channels=3),
            "`num_patch_input_channels` must be 27",
        ),
        (lambda c: c["decoder"].update(num_classes=2), "`decoder`.*unknown keys"),
        (lambda c: c["encoder"].update(num_frequency_bands=10**9), "must not exceed"),
        (lambda c: c["encoder"].update(image_shape=5), "`image_shape of the decoder`"),
        (lambda c: c["decoder"].update(rescale_factor="x"), "wrong type"),
        (
            lambda c: c["encoder"].update(num_patch_hidden_channels=8),
            "does not fit `patch_projection/kernel`|does not fit",
        ),
    ],
)
def test_krasserms_configs_that_are_not_understood_are_refused(tmp_path, edit, match):
    folder = pathlib.Path(shutil.copytree(GOLDEN, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    edit(config["model_config"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(folder)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"train_size": 5}, "wrong type"),
        ({"train_size": [5]}, r"`image_shape` must be \(height, width\)"),
        ({"train_size": [5, 10**9]}, "`image_shape` must not exceed"),
        ({"use_query_residual": False}, "`use_query_residual`.*Received: False"),
        ({"d_latents": 32}, "does not fit"),
    ],
)
def test_configs_that_are_not_reproduced_are_refused(tmp_path, edit, match):
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **edit}))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path)


def flow_model(encoder=None, **options):
    encoder = {
        "num_latents": 3,
        "latent_channels": 8,
        "layers_per_block": 1,
        **(encoder or {}),
    }
    return kp.models.OpticalFlow(kp.models.OpticalFlowEncoder((4, 5), **encoder), **options)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: flow_model({"patch_channels": 8}), "needs patch_channels = 64"),
        (lambda: flow_model({"num_bands": 8}), "needs num_bands = 64"),
        (lambda: flow_model(query_residual=True), "needs query_residual = False"),
        (lambda: flow_model(rescale_factor=10.0), "needs rescale_factor = 100"),
        (
            lambda: flow_model(cross_attention=AttentionSpec(num_heads=2)),
            "needs num_heads of the decoder = 1",
        ),
        (
            lambda: flow_model(cross_attention=AttentionSpec(num_heads=1, qk_channels=4)),
            r"needs \(qk_channels, v_channels\) of the decoder = \(8, 8\)",
        ),
        # The decoder's channels demand "q", the inputs' attention "kv".
        (
            lambda: flow_model(cross_attention=AttentionSpec(num_heads=1, qk_channels=322)),
            "one qk_channels and one v_channels",
        ),
        (
            lambda: flow_model({"num_blocks": 2, "num_cross_attentions": 2}),
            "needs num_cross_attentions = 1",
        ),
    ],
)
def test_models_that_transformers_cannot_express_are_refused(tmp_path, make, match):
    with pytest.raises(ValueError, match=match):
        kp.converters.to_huggingface(make(), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
