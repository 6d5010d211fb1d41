"""Masking of words and tokens: how much, of what, and with what."""

from pydoc_data.topics import topics

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from keras_perceiver.preprocessing import (
    ByteTokenizer,
    JsonTokenizer,
    Masking,
    TextPreprocessor,
)

pytestmark = pytest.mark.one_backend

TOKENIZER = ByteTokenizer()
MASK = TOKENIZER.mask_id


@pytest.fixture(scope="module")
def batch():
    """About 20,000 words of CPython's documentation, 128,000 bytes."""
    prepare = TextPreprocessor(TOKENIZER, 2048, truncate=True)
    texts = sorted(topics.values(), key=len)[-70:]
    inputs = prepare(texts, pad_to=2048)
    return inputs["token_ids"], inputs["padding_mask"]


def masked(batch, seed=0, **options):
    return Masking(**options)(*batch, TOKENIZER, np.random.default_rng(seed))


def by_word(ids, values):
    """Values [W, k] at the first and last token of each word of the batch."""
    words = TOKENIZER.word_ids(ids)
    out = []
    for row, value in zip(words, values, strict=True):
        kept = np.flatnonzero(row >= 0)
        _, first = np.unique(row[kept], return_index=True)
        out += np.split(value[kept], first[1:])
    return out


@pytest.mark.parametrize("rate", [0.15, 0.5])
@pytest.mark.parametrize("whole_words", [True, False])
def test_fractions(batch, rate, whole_words):
    ids, padding = batch
    out, weights = masked(batch, rate=rate, whole_words=whole_words)
    assert out.dtype == np.int32 and weights.dtype == np.float32
    if whole_words:
        words = [w for w in by_word(ids, np.stack([ids, out, weights], -1)) if len(w)]
        selected = np.array([w[0, 2] for w in words]) == 1
        # A word of one byte may be drawn as itself, so ask longer ones.
        masks = np.array([(w[:, 1] == MASK).all() for w in words])
        kept = np.array([(w[:, 1] == w[:, 0]).all() for w in words])
    else:
        real = (padding == 1) & ~TOKENIZER.is_special(ids)
        selected = weights[real] == 1
        masks, kept = (out == MASK)[real], (out == ids)[real]
    np.testing.assert_allclose(selected.mean(), rate, atol=0.02)
    np.testing.assert_allclose(masks[selected].mean(), 0.8, atol=0.03)
    np.testing.assert_allclose(kept[selected].mean(), 0.1, atol=0.03)
    assert kept[~selected].all()


def test_words_stay_whole(batch):
    ids, _ = batch
    out, weights = masked(batch)
    for word in by_word(ids, np.stack([ids, out, weights], -1)):
        assert len(set(word[:, 2])) == 1
        assert len(set(word[:, 1] == MASK)) == 1


def test_tokens_are_drawn_for_themselves(batch):
    _, weights = masked(batch, whole_words=False)
    words = by_word(batch[0], weights)
    assert np.mean([len(set(word)) == 2 for word in words if len(word) > 4]) > 0.4


@settings(deadline=None)
@given(
    ids=st.lists(st.integers(0, 261), min_size=1, max_size=40),
    real=st.integers(0, 40),
    rate=st.floats(0.01, 1),
    whole_words=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_what_is_special_or_padding_stays(ids, real, rate, whole_words, seed):
    ids = np.array([ids])
    padding = (np.arange(ids.shape[1]) < real)[None]
    options = {"rate": rate, "whole_words": whole_words}
    out, weights = masked((ids, padding), seed, **options)
    fixed = (ids < 6) | ~padding
    assert (weights[fixed] == 0).all()
    np.testing.assert_array_equal(out[weights == 0], ids[weights == 0])
    # Random replacements are never special.
    assert ((out[weights == 1] >= 6) | (out[weights == 1] == MASK)).all()
    again, _ = masked((ids, padding), seed, **options)
    np.testing.assert_array_equal(out, again)
    if rate == 1:
        assert (weights[~fixed] == 1).all()


def test_random_tokens_are_all_tokens(batch):
    out, weights = masked(batch, rate=1.0, whole_words=False)
    replaced = out[(weights == 1) & (out != MASK) & (out != batch[0])]
    assert set(replaced) == set(range(6, 262))


def test_seeds_differ(batch):
    assert (masked(batch, 0)[0] != masked(batch, 1)[0]).any()


def test_rows_differ():
    ids = np.tile(TOKENIZER.encode("some words to mask, the same in each row"), (50, 1))
    out, _ = masked((ids, np.ones_like(ids)))
    assert len(np.unique(out, axis=0)) > 20


def test_tokens_need_no_words():
    bpe = tokenizers.Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    bpe.add_special_tokens(["[MASK]"])
    tokenizer = JsonTokenizer(bpe.to_str())
    ids, ones = np.array([[0, 1] * 50]), np.ones((1, 100), bool)
    rng = np.random.default_rng(0)
    out, _ = Masking(whole_words=False, rate=1.0)(ids, ones, tokenizer, rng)
    assert set(out.ravel()) == {0, 1, 2}
    with pytest.raises(ValueError, match="tokens say where a word begins"):
        Masking()(ids, ones, tokenizer, rng)


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan")])
def test_bad_rates(rate):
    with pytest.raises(ValueError, match="`rate` must lie in .0, 1.. Received: rate="):
        Masking(rate=rate)


def test_bad_input():
    words = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    ids, rng = np.zeros((1, 3), "int32"), np.random.default_rng(0)
    with pytest.raises(ValueError, match="`tokenizer` must have a mask token. .*JsonTok"):
        Masking()(ids, ids, JsonTokenizer(words.to_str()), rng)
    with pytest.raises(
        ValueError, match=r"`padding_mask` must be of .* \(1, 2\) and \(1, 3\)"
    ):
        Masking()(ids, ids[:, 1:], TOKENIZER, rng)
    with pytest.raises(ValueError, match="`ids` must be integers from 0 to 261"):
        Masking()(ids + 262, ids, TOKENIZER, rng)
