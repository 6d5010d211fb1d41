"""transformers' Fourier image classifier: there and back with equal logits."""

import json

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec
from tolerances import FLOAT32, PARITY
from transformers_images import BASE, call, their_logits
from transformers_models import random_model

VARIANTS = {
    "plain": {},
    "wide": {
        "num_blocks": 1,
        "num_self_attention_heads": 4,
        "cross_attention_widening_factor": 3,
        "self_attention_widening_factor": 2,
        "num_latents": 7,
    },
    "channels": {"qk_channels": 24, "v_channels": 16, "num_cross_attention_heads": 4},
    "values": {"v_channels": 16},
    "queries": {
        "cross_attention_shape_for_attention": "q",
        "num_cross_attention_heads": 2,
        "hidden_act": "gelu_new",
        "num_labels": 2,
    },
}
SIZE = (24, 20)


def theirs(folder, **options):
    """A random model saved by transformers, for small images."""
    model = random_model("PerceiverForImageClassificationFourier", {**BASE, **options})
    model.save_pretrained(folder)
    sizes = {
        "size": {"height": SIZE[0], "width": SIZE[1]},
        "crop_size": {"height": SIZE[0] + 6, "width": SIZE[1] + 5},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(sizes))
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_there_and_back(tmp_path, rng, variant):
    from transformers import PerceiverForImageClassificationFourier

    model = theirs(tmp_path / "theirs", **VARIANTS[variant])
    images = rng.normal(size=(2, *SIZE, 3)).astype("float32")
    expected = their_logits(model, images)
    assert np.abs(expected).max() > 0.1

    ours = kp.presets.load(tmp_path / "theirs")
    np.testing.assert_allclose(call(ours, images), expected, atol=PARITY)

    kp.converters.to_huggingface(ours, tmp_path / "back")
    again, info = PerceiverForImageClassificationFourier.from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info.values())
    np.testing.assert_allclose(their_logits(again.eval(), images), expected, atol=1e-6)
    for name in BASE:
        assert getattr(again.config, name) == getattr(model.config, name)


@pytest.mark.one_backend
def test_images_of_the_original_size_need_no_processor(tmp_path):
    theirs(tmp_path / "theirs", num_self_attends_per_block=1)
    (tmp_path / "theirs" / "preprocessor_config.json").unlink()
    model = kp.presets.load(tmp_path / "theirs")
    assert model.encoder.image_shape == (224, 224, 3)
    assert model.preprocessor.crop == 224 / 256
    assert model.preprocessor.mean == [0.485, 0.456, 0.406]
    assert model.preprocessor.labels is None


@pytest.mark.one_backend
@pytest.mark.parametrize("crop_size", [None, (256, 256), (30, 25), (27, 22.5)])
def test_the_processor_is_read_and_written(tmp_path, rng, crop_size):
    """transformers' own processor and ours make the same pixels of an image."""
    from transformers.models.perceiver.image_processing_pil_perceiver import (
        PerceiverImageProcessorPil,
    )

    size = (32, 32) if crop_size == (256, 256) else SIZE
    settings = {"size": dict(zip(("height", "width"), size, strict=True))}
    if crop_size is None:
        settings["do_center_crop"] = False
    else:
        settings["crop_size"] = dict(zip(("height", "width"), crop_size, strict=True))
    theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "preprocessor_config.json").write_text(json.dumps(settings))
    kp.converters.to_huggingface(kp.presets.load(tmp_path / "theirs"), tmp_path / "back")
    processor = PerceiverImageProcessorPil.from_pretrained(tmp_path / "back")
    model = kp.presets.load(tmp_path / "back")
    image = rng.integers(0, 256, (300, 350, 3), "uint8")
    expected = processor(image, return_tensors="np").pixel_values
    np.testing.assert_allclose(
        model.preprocessor(image), expected.transpose(0, 2, 3, 1), atol=FLOAT32
    )


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"hidden_act": "quick_gelu"}, "`hidden_act`.*Received: 'quick_gelu'"),
        ({"hidden_act": ["gelu"]}, "wrong type"),
        ({"use_query_residual": False}, "`use_query_residual`.*Received: False"),
        ({"cross_attention_shape_for_attention": "v"}, "`cross_attention_shape_for_"),
        ({"architectures": ["PerceiverModel"]}, "`architectures`.*PerceiverModel"),
        (
            {"num_self_attends_per_block": 3},
            r"lacks tensor `perceiver.encoder.self_attends.2",
        ),
        (
            {"num_self_attends_per_block": 1},
            r"no use for `perceiver.encoder.self_attends.1",
        ),
        ({"num_self_attends_per_block": 10**9}, "`layers_per_block` must not exceed"),
        ({"d_latents": 10**9}, "`latent_channels` must not exceed"),
        ({"d_latents": "16"}, "must be a positive integer|wrong type"),
        ({"id2label": {"0": "x"}}, r"does not fit `logits/kernel`"),
        ({"id2label": 3}, "wrong type"),
        ({"model_type": "bert"}, "`model_type`.*Received: 'bert'"),
    ],
)
def test_configs_that_are_not_reproduced_are_refused(tmp_path, edit, match):
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **edit}))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"do_rescale": False}, "rescale"),
        ({"resample": 0}, "resample"),
        ({"crop_size": 0}, "division"),
        ({"rescale_factor": [1]}, "wrong type"),
        ({"size": "big"}, "positive integer|wrong type"),
        (
            {"size": {"height": 24, "width": 20}, "crop_size": 32},
            "must crop a square.*0.75 and 0.625",
        ),
    ],
)
def test_processors_that_do_something_else_are_refused(tmp_path, edit, match):
    theirs(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(edit))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path)


def classifier(encoder=None, **options):
    encoder = {
        "num_bands": 64,
        "max_resolution": (224, 224),
        "num_latents": 3,
        "latent_channels": 8,
        "layers_per_block": 1,
        **(encoder or {}),
    }
    shape = encoder.pop("image_shape", (8, 8, 3))
    return kp.models.ImageClassifier(kp.models.ImageEncoder(shape, **encoder), 3, **options)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: classifier(head="average"), "needs head = decoder"),
        (
            lambda: classifier({"num_blocks": 2, "num_cross_attentions": 2}),
            "needs num_cross_attentions = 1",
        ),
        (
            lambda: classifier({"num_blocks": 2, "share_first_block": False}),
            "needs share_first_block",
        ),
        (lambda: classifier({"num_bands": 8}), "needs num_bands = 64"),
        (lambda: classifier({"max_resolution": None}), "needs max_resolution"),
        (lambda: classifier({"image_shape": (8, 8, 1)}), "needs image channels = 3"),
        (lambda: classifier(query_channels=4), "needs query_channels = 8"),
        (lambda: classifier(query_residual=False), "needs query_residual = True"),
        (
            lambda: classifier({"self_attention": AttentionSpec(residual_dropout=0.1)}),
            "needs residual_dropout of the attention to latents = 0",
        ),
        (
            lambda: classifier({"self_attention": AttentionSpec(dropout=0.1)}),
            "needs dropout of the attention to inputs = 0.1",
        ),
        (
            lambda: classifier({"self_attention": AttentionSpec(v_channels=16)}),
            "one qk_channels and one v_channels",
        ),
        (lambda: classifier().encoder, "must be one of.*ImageClassifier.*ImageEncoder"),
    ],
)
def test_models_that_transformers_cannot_express_are_refused(tmp_path, make, match):
    with pytest.raises(ValueError, match=match):
        kp.converters.to_huggingface(make(), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
