"""transformers' multimodal autoencoder: there and back with equal chunks of outputs."""

import json

import numpy as np
import pytest

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec
from tolerances import PARITY
from transformers_multimodal import (
    BASE,
    inputs_and_points,
    multimodal_model,
    their_outputs,
)

VARIANTS = {
    "plain": {},
    "other frequencies": {"image_size": 5, "num_blocks": 2, "hidden_act": "gelu_new"},
    "channels": {"qk_channels": 24, "v_channels": 16, "_label_trainable_num_channels": 9},
    "wide": {"cross_attention_widening_factor": 2, "output_shape": [1, 2, 4, 12]},
}


def theirs(folder, **options):
    """A random model saved by transformers."""
    model = multimodal_model(**options)
    model.save_pretrained(folder)
    return model


# What options do does not depend on the backend, the arithmetic might.
@pytest.mark.parametrize(
    "variant",
    ["plain"]
    + [pytest.param(n, marks=pytest.mark.one_backend) for n in VARIANTS if n != "plain"],
)
def test_chunks_there_and_back(tmp_path, rng, variant):
    from transformers import PerceiverForMultimodalAutoencoding

    model = theirs(tmp_path / "theirs", **VARIANTS[variant])
    inputs, points = inputs_and_points(model, rng)
    expected = their_outputs(model, inputs, points)
    assert all(np.abs(x).max() > 0.1 for x in expected.values())

    ours = kp.presets.load(tmp_path / "theirs")
    asked = {f"{name}_points": np.tile(x, (2, 1)) for name, x in points.items()}
    outputs = {key: contract.as_numpy(x) for key, x in ours({**inputs, **asked}).items()}
    outputs["audio"] = outputs["audio"].reshape(2, -1)  # theirs joins the pieces
    for name, output in outputs.items():
        np.testing.assert_allclose(output, expected[name], atol=PARITY, err_msg=name)

    kp.converters.to_huggingface(ours, tmp_path / "back")
    again, info = PerceiverForMultimodalAutoencoding.from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info.values())
    for name, x in their_outputs(again.eval(), inputs, points).items():
        np.testing.assert_allclose(x, expected[name], atol=1e-6, err_msg=name)
    for name in BASE:
        assert getattr(again.config, name) == getattr(model.config, name)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"cross_attention_shape_for_attention": "q"}, "must be 'kv' for multimodal"),
        ({"output_shape": [2, 8, 8]}, "expected 4|not enough values"),
        ({"output_shape": [1, 2, 8, 10]}, "`patch_size` must divide"),
        ({"image_size": [2, 2]}, "must be a positive integer|wrong type"),
        ({"samples_per_patch": 5}, "`patch_size` must divide"),
        ({"num_frames": 10**9}, "must not exceed"),
        ({"output_num_channels": 8}, "does not fit `audio_output/kernel`"),
    ],
)
def test_configs_that_are_not_reproduced_are_refused(tmp_path, edit, match):
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **edit}))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path)


def autoencoder(kinds=None, encoder=None, **options):
    kinds = {
        "audio": kp.models.AudioModality(12, patch_size=3),
        "image": kp.models.VideoModality(2, 8, 8),
        "label": kp.models.LabelModality(3),
        **(kinds or {}),
    }
    shape = {"num_latents": 3, "latent_channels": 8, "layers_per_block": 1}
    encoder = kp.models.MultimodalEncoder(kinds, **{**shape, **(encoder or {})})
    return kp.models.MultimodalAutoencoder(encoder, **{"endpoint": False, **options})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: autoencoder(endpoint=True), "needs endpoint = False"),
        (lambda: autoencoder(query_residual=True), "needs query_residual = False"),
        (lambda: autoencoder(min_padding=3), "needs min_padding of the decoder = 2"),
        (
            lambda: autoencoder(encoder={"min_padding": 3}),
            "needs min_padding of the encoder = 4",
        ),
        (
            lambda: autoencoder({"text": kp.models.TextModality(5, 4)}),
            "needs modalities = .*Received: .*TextModality",
        ),
        (
            lambda: autoencoder({"image": kp.models.VideoModality(2, 8, 4)}),
            "needs max_resolution of images",
        ),
        (
            lambda: autoencoder({"image": kp.models.VideoModality(2, 8, 8, num_bands=3)}),
            "needs num_bands of image = 32",
        ),
        (
            lambda: autoencoder(cross_attention=AttentionSpec(num_heads=2)),
            "needs num_heads of the decoder = 1",
        ),
        (
            lambda: autoencoder(cross_attention=AttentionSpec(num_heads=1, qk_channels=4)),
            r"needs \(qk_channels, v_channels\) of the decoder",
        ),
    ],
)
def test_models_that_transformers_cannot_express_are_refused(tmp_path, make, match):
    with pytest.raises(ValueError, match=match):
        kp.converters.to_huggingface(make(), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
