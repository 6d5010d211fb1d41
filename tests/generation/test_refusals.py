"""What cannot be generated is refused, with what would be right."""

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_ar
from keras_perceiver.generation import TopK, generate
from tiny_ar import MAX_LATENTS, MAX_LENGTH

pytestmark = pytest.mark.one_backend


def refused(match, token_ids=None, padding_mask=None, count=4, **options):
    token_ids = tiny_ar.ids(1, 11) if token_ids is None else np.asarray(token_ids)
    mask = np.ones(token_ids.shape, "int32") if padding_mask is None else padding_mask
    with pytest.raises(ValueError, match=match):
        generate(tiny_ar.shared_lm(), token_ids, mask, count, **options)


def test_prompts():
    refused("at least one token each", np.zeros((1, 0), "int32"))
    refused("at least one token each", np.zeros((0, 3), "int32"))
    refused("of shape \\[B, S\\]", np.zeros((3,), "int32"))
    refused("of shape \\[B, S\\]", padding_mask=np.ones((1, 3)))
    refused("ids from 0 to 261. Received: dtype=int64, from 0 to 262", [[0, 262]])
    refused("ids from 0 to 261. Received: dtype=int64, from -1 to 5", [[-1, 5]])
    refused("must be token ids.*dtype=float64", [[0.5, 1.0]])
    refused("padded on the left", [[1, 2]], np.array([[1, 0]]))
    refused("must hold a token each", [[1, 2]], np.array([[0, 0]]))
    refused("not be longer than max_length=40. Received: 41", tiny_ar.ids(1, 41))


@pytest.mark.parametrize(
    ("length", "num_latents", "fewest", "most"),
    [
        (11, 0, 1, MAX_LATENTS),
        (11, MAX_LATENTS + 1, 1, MAX_LATENTS),
        (5, 6, 1, 5),
        (MAX_LENGTH, 7, 8, 8),
        (MAX_LENGTH - 3, 4, 5, 8),
    ],
)
def test_the_range_of_latents_is_told(length, num_latents, fewest, most):
    match = f"between {fewest} and {most} for a prompt of {length} tokens. .*={num_latents}"
    refused(match, tiny_ar.ids(1, length), num_latents=num_latents)


def test_options():
    refused("`max_new_tokens` must be at least 1. Received: 0", count=0)
    refused("`use_cache` must be True, False or 'exact'", use_cache="rolling")
    refused("`freed_latents` must.*1 and.*7", use_cache="exact", freed_latents=8)
    refused("`freed_latents` must.*1 and.*7", use_cache="exact", freed_latents=-1)
    refused("`sampler` must be a name or a sampler", sampler=5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 0}, "`k` must be at least 1. Received: k=0"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"temperature": float("nan")}, "`temperature` must be positive"),
    ],
)
def test_samplers(options, match):
    with pytest.raises(ValueError, match=match):
        TopK(**options)


@pytest.mark.parametrize(
    ("prompt", "options", "match"),
    [
        ("", {}, "`prompts` must not be empty"),
        (["a", ""], {}, r"prompts\[1\]=''"),
        ([], {}, "at least one token"),
        ("x" * 41, {}, "at most 40"),
        ("a", {"stop": "ab"}, "strings of one token each. Received: 'ab'"),
        ("a", {"stop": ["x", 262]}, "Received: 262"),
        ("a", {"stop": ""}, "strings of one token each"),
        ("a", {"num_latents": 2}, "between 1 and 1 for a prompt of 1"),
    ],
)
def test_texts(prompt, options, match):
    with pytest.raises(ValueError, match=match):
        tiny_ar.shared_lm().generate(prompt, 4, **options)


def test_a_model_without_tokenizer_takes_ids_only():
    model = tiny_ar.causal_lm(vocab_size=50, num_layers=1)
    with pytest.raises(ValueError, match="no `preprocessor`"):
        model.generate("text", 2)
    assert model.generate([1, 2, 3], 2).shape == (5,)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"channels": 0}, "`channels` must be a positive integer"),
        ({"max_length": 4}, "`max_latents` must not exceed `max_length`"),
        ({"num_rotary_layers": 5}, "between -1 and num_layers=2"),
        ({"vocab_size": 99, "preprocessor": "bytes"}, "must have the model's vocabulary"),
        ({"preprocessor": "long"}, "must not exceed the model's"),
        ({"preprocessor": "right"}, "`preprocessor.padding_side` must be 'left'"),
    ],
)
def test_models(options, match):
    kind = options.get("preprocessor")
    if kind is not None:
        preprocessor = kp.preprocessing.TextPreprocessor(
            kp.preprocessing.ByteTokenizer(),
            max_length=99 if kind == "long" else 10,
            add_special_tokens=False,
            padding_side="right" if kind == "right" else "left",
        )
        options = {**options, "preprocessor": preprocessor}
    with pytest.raises(ValueError, match=match):
        tiny_ar.causal_lm(**options)
