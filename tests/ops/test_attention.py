"""`attend` and `attend_folded` against plain numpy, in every form they take."""

import keras
import numpy as np
import pytest
from keras import ops

import numpy_reference as reference
from gradients import gradient
from keras_perceiver.ops import FixedSeed, attend, attend_folded, causal_mask, dropout
from tolerances import FLOAT32


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def check(actual, expected, atol=FLOAT32):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, atol=atol)


@pytest.fixture
def qkv(rng):
    """Queries, keys and values with other value than key channels."""
    return draw(rng, 2, 4, 5, 6), draw(rng, 2, 4, 7, 6), draw(rng, 2, 4, 7, 3)


MASKS = {
    "none": None,
    "padding": np.array([[1] * 5 + [0] * 2, [1] * 7]),
    "full": np.random.default_rng(1).random((2, 4, 5, 7)) > 0.4,
    "per query": np.random.default_rng(2).random((2, 1, 5, 7)) > 0.4,
    "shared": np.random.default_rng(3).random((1, 1, 5, 7)) > 0.4,
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("heads_at_once", [None, 1, 3])
def test_attend_is_the_formula(qkv, name, heads_at_once):
    mask = MASKS[name]
    full = mask[:, None, None] if name == "padding" else mask
    expected = reference.attend(*qkv, full)
    check(attend(*qkv, mask, heads_at_once=heads_at_once), expected)


@pytest.mark.parametrize("name", MASKS)
def test_scores_do_not_change_the_output(qkv, name):
    out, scores = attend(*qkv, MASKS[name], return_scores=True)
    check(attend(*qkv, MASKS[name]), ops.convert_to_numpy(out), 1e-6)
    check(ops.matmul(scores, qkv[2]), ops.convert_to_numpy(out), 1e-6)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32", "uint8"])
def test_any_mask_dtype(qkv, dtype):
    mask = MASKS["full"]
    check(attend(*qkv, mask.astype(dtype)), reference.attend(*qkv, mask))


def test_causal_is_right_aligned(qkv, rng):
    mask = np.arange(7)[None] <= np.arange(5)[:, None] + 2
    np.testing.assert_array_equal(ops.convert_to_numpy(causal_mask(5, 7)), mask)
    check(attend(*qkv, causal=True), reference.attend(*qkv, mask[None, None]))
    # With padding too: both hold.
    both = mask[None, None] & MASKS["padding"].astype(bool)[:, None, None]
    check(attend(*qkv, MASKS["padding"], causal=True), reference.attend(*qkv, both))


def test_early_queries_may_see_nothing_causally(qkv):
    """More queries than keys: the first stand before them all."""
    query, key, value = qkv[1], qkv[0], qkv[1][:, :, :5]
    mask = np.tril(np.ones((5, 5), bool))[None, None]
    expected = reference.attend(query[:, :, 2:], key, value, mask)
    for options in ({}, {"chunk_size": 3}, {"heads_at_once": 3}):
        out = ops.convert_to_numpy(attend(query, key, value, causal=True, **options))
        assert not out[:, :, :2].any()
        check(out[:, :, 2:], expected)


def test_slots_that_two_masks_hide_together_reach_nothing(qkv):
    """The mask shows the last key to the first query only, which stands before it."""
    query, key, value = qkv
    mask = np.ones((1, 1, 5, 7), bool)
    mask[:, :, 1:, 6] = False
    causal = np.tril(np.ones((5, 7), bool), 2)[None, None]
    expected = reference.attend(query, key, value, mask & causal)
    key, value = key.copy(), value.copy()
    key[:, :, 6], value[:, :, 6] = np.nan, np.nan
    check(attend(query, key, value, mask, causal=True), expected)
    padding = np.array([[1] * 6 + [0]] * 2)
    both = padding.astype(bool)[:, None, None] & causal
    expected = reference.attend(*qkv, both)
    check(attend(query, key, value, padding, causal=True), expected)


def test_one_set_of_keys_for_all_heads(qkv):
    query, key, value = qkv[0], qkv[1][:, :1], qkv[2][:, :1]
    expected = reference.attend(query, np.repeat(key, 4, 1), np.repeat(value, 4, 1))
    check(attend(query, key, value), expected)
    check(attend(query, key, value, heads_at_once=2), expected)


def test_queries_of_batch_one_stand_for_the_batch(qkv):
    query = qkv[0][:1]
    expected = reference.attend(np.repeat(query, 2, 0), *qkv[1:])
    check(attend(query, *qkv[1:]), expected)


@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_masked_slots_reach_nothing(qkv, content):
    """Not the output, and not the gradient either (M2)."""
    query, key, value = qkv
    mask = np.array([[1] * 5 + [0] * 2] * 2)
    expected = reference.attend(query, key[:, :, :5], value[:, :, :5])
    key, value = key.copy(), value.copy()
    key[:, :, 5:], value[:, :, 5:] = content, content
    check(attend(query, key, value, mask), expected)
    grads = gradient(lambda q, k, v: attend(q, k, v, mask), query, key, value)
    assert all(np.isfinite(g).all() for g in grads)
    assert np.abs(grads[0]).max() > 0


def test_nothing_to_attend_to_gives_zeros(qkv):
    """On every path: fused, with scores, with dropout, chunked (M3)."""
    mask = np.ones((2, 1, 5, 7), bool)
    mask[0, 0, 2] = False
    mask[1] = False
    seed = keras.random.SeedGenerator(0).next()
    dropped = {"dropout": 0.5, "seed": seed}
    paths = ({}, {"return_scores": True}, dropped, {"chunk_size": 3})
    for options in (*paths, *(path | {"heads_at_once": 3} for path in paths)):
        out = attend(*qkv, mask, **options)
        out, scores = out if "return_scores" in options else (out, out)
        for x in (out, scores):
            x = ops.convert_to_numpy(x)
            assert not x[0, :, 2].any()
            assert not x[1].any()
            assert np.abs(x[0, :, 1]).max() > 0
    grads = gradient(lambda q, k, v: attend(q, k, v, mask), *qkv)
    assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_folded_projections_equal_projected_keys(rng, heads, masked):
    query, context = draw(rng, 2, heads, 5, 6), draw(rng, 2, 7, 9)
    wk, wv, bias = draw(rng, 9, heads, 6), draw(rng, 9, heads, 4), draw(rng, heads, 4)
    mask = np.array([[1] * 5 + [0] * 2, [0] * 7]) if masked else None
    key = np.einsum("bmc,chk->bhmk", context, wk)
    value = np.einsum("bmc,chv->bhmv", context, wv) + bias[None, :, None]
    out, scores = attend_folded(query, context, wk, wv, bias, mask, return_scores=True)
    expected, expected_scores = attend(query, key, value, mask, return_scores=True)
    rows = slice(0, 1) if masked else slice(None)  # zeroing is up to the caller here
    check(out[rows], ops.convert_to_numpy(expected)[rows], 1e-4)  # measured 1.5e-5
    check(scores, ops.convert_to_numpy(expected_scores))
    folded = attend_folded(query, context, wk, wv, bias, mask)
    check(folded, ops.convert_to_numpy(out))


def test_folded_rows_that_see_nothing_are_zero(rng):
    query, context = draw(rng, 2, 2, 3, 4), draw(rng, 2, 5, 6)
    kernels = draw(rng, 6, 2, 4), draw(rng, 6, 2, 4), draw(rng, 2, 4)
    mask = np.array([[0] * 5, [1] * 5])
    seed = keras.random.SeedGenerator(0).next()
    for options in ({}, {"dropout": 0.5, "seed": seed}, {"heads_at_once": 1}):
        out = ops.convert_to_numpy(attend_folded(query, context, *kernels, mask, **options))
        assert not out[0].any() and out[1].any()


def test_folded_bias_under_dropout(rng):
    """The value bias is weighted by what dropout leaves of a row."""
    query, context = draw(rng, 1, 2, 5, 6), draw(rng, 1, 7, 9)
    wk, bias = draw(rng, 9, 2, 6), draw(rng, 2, 4)
    wv = np.zeros((9, 2, 4), "float32")
    seed = keras.random.SeedGenerator(3).next()
    options = {"dropout": 0.5, "seed": seed}
    out = ops.convert_to_numpy(attend_folded(query, context, wk, wv, bias, **options))
    key = np.einsum("bmc,chk->bhmk", context, wk)
    value = np.broadcast_to(bias[None, :, None], (1, 2, 7, 4)).copy()
    check(out, ops.convert_to_numpy(attend(query, key, value, **options)), 1e-4)
    assert np.ptp(out[0, 0, :, 0]) > 0  # rows do differ


def test_dropout_is_unbiased_and_drawn_by_seed(rng):
    x = ops.ones((400, 100))
    seed = keras.random.SeedGenerator(5).next()
    once, again = (ops.convert_to_numpy(dropout(x, 0.25, seed)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert abs(once.mean() - 1) < 0.02
    assert abs((once == 0).mean() - 0.25) < 0.02
    assert dropout(x, 0.25, None) is x
    assert FixedSeed(seed).next() is seed


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_softmax_is_float32(rng, dtype):
    """Logits of order 1e4 neither overflow nor lose their order (N5)."""
    query, key, value = (draw(rng, 1, 1, 4, 8) for _ in range(3))
    low = [ops.cast(x, dtype) for x in (query * 30, key * 30, value)]
    exact = reference.attend(*(ops.convert_to_numpy(ops.cast(x, "float32")) for x in low))
    out = attend(*low)
    assert keras.backend.standardize_dtype(out.dtype) == dtype
    check(ops.cast(out, "float32"), exact, 2e-2)  # 8 and 11 bits of mantissa


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"query": np.zeros((2, 3, 4))}, "`query` must have shape"),
        ({"mask": np.ones((2, 3, 4))}, "`mask` must have shape"),
        ({"heads_at_once": 0}, "`heads_at_once` must be at least 1. Received: 0"),
        (
            {"key": np.zeros((2, 4, 0, 6)), "value": np.zeros((2, 4, 0, 3))},
            "at least one key",
        ),
    ],
)
def test_bad_arguments(qkv, change, match):
    arguments = {**dict(zip(("query", "key", "value"), qkv, strict=True)), **change}
    arguments = {
        k: ops.convert_to_tensor(v) if k in "query key value mask" else v
        for k, v in arguments.items()
    }
    with pytest.raises(ValueError, match=match):
        attend(**arguments)
