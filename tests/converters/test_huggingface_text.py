"""transformers' text models: there and back with equal logits."""

import keras
import numpy as np
import pytest

import keras_perceiver as kp
import tiny_text
from keras_perceiver.layers import AttentionSpec
from tolerances import PARITY
from transformers_models import random_model

BASE = {
    "num_latents": 4,
    "d_latents": 16,
    "d_model": 24,
    "max_position_embeddings": 30,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 2,
}
CHANNELS = {"qk_channels": 8, "v_channels": 16, "vocab_size": 262}
CASES = [
    ("PerceiverForMaskedLM", CHANNELS),
    ("PerceiverForMaskedLM", {"vocab_size": 70, "hidden_act": "gelu_new"}),
    (
        "PerceiverForMaskedLM",
        {"cross_attention_shape_for_attention": "q", "num_blocks": 2},
    ),
    ("PerceiverForSequenceClassification", {**CHANNELS, "num_labels": 3}),
    (
        "PerceiverForSequenceClassification",
        {"num_labels": 2, "cross_attention_widening_factor": 2, "num_blocks": 3},
    ),
]


def theirs(folder, architecture, **options):
    """A random model saved by transformers."""
    model = random_model(architecture, {**BASE, **options})
    model.save_pretrained(folder)
    return model


def their_logits(model, inputs):
    import torch

    with torch.no_grad():
        ids, mask = (torch.from_numpy(inputs[k]) for k in ("token_ids", "padding_mask"))
        return model(input_ids=ids.long(), attention_mask=mask).logits.numpy()


@pytest.mark.parametrize(("architecture", "options"), CASES)
def test_logits_there_and_back(tmp_path, architecture, options):
    import transformers

    model = theirs(tmp_path / "theirs", architecture, **options)
    inputs = tiny_text.batch(2, 20)
    inputs["token_ids"] %= model.config.vocab_size
    # They decode all positions, we those there are.
    expected = their_logits(model, inputs)[:, :20]
    assert np.abs(expected).max() > 0.1

    ours = kp.presets.load(tmp_path / "theirs")
    actual = keras.ops.convert_to_numpy(ours(inputs))
    np.testing.assert_allclose(actual, expected, atol=PARITY)

    kp.converters.to_huggingface(ours, tmp_path / "back")
    again, info = getattr(transformers, architecture).from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info.values())
    back = their_logits(again.eval(), inputs)[:, :20]
    np.testing.assert_allclose(back, expected, atol=1e-6)
    for name in (*BASE, "vocab_size", "hidden_act", "num_blocks"):
        assert getattr(again.config, name) == getattr(model.config, name)


@pytest.mark.one_backend
def test_the_tokenizer_goes_along(tmp_path):
    from transformers import AutoTokenizer

    spec = AttentionSpec(num_heads=8, qk_channels=256, v_channels=8)
    model = kp.models.MaskedLM(
        tiny_text.encoder(
            cross_attention=AttentionSpec(qk_channels=8, v_channels=16, num_heads=2)
        ),
        cross_attention=spec,
    )
    kp.converters.to_huggingface(model, tmp_path / "back")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "back")
    text = "Read [MASK] ☃"
    ids = model.preprocessor(text)["token_ids"][0]
    assert tokenizer(text).input_ids == ids.tolist()
    assert tokenizer.model_max_length == model.preprocessor.max_length
    assert kp.presets.load(tmp_path / "back").fill_mask(text, top_k=1)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: tiny_text.masked_lm(), "num_heads of the decoder = 8. Received: 2"),
        (lambda: tiny_text.masked_lm(query_channels=6), "query_channels = None"),
        (lambda: tiny_text.encoder(), "`model` must be one of.*TextEncoder"),
        (
            lambda: kp.models.TextClassifier(tiny_text.encoder(), 2, head="average"),
            "head = decoder",
        ),
        (
            lambda: tiny_text.text_classifier(num_blocks=2, num_cross_attentions=2),
            "num_cross_attentions = 1",
        ),
    ],
)
def test_what_transformers_lacks_is_refused(tmp_path, make, match):
    with pytest.raises(ValueError, match=match):
        kp.converters.to_huggingface(make(), tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.one_backend
def test_other_classes_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "perceiver", "architectures": ["PerceiverForPointClouds"]}'
    )
    with pytest.raises(ValueError, match="`architectures`.*must hold one of.*PointClouds"):
        kp.presets.load(tmp_path)
