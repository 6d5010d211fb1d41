"""Attention to chunks of keys: the same as to all at once, and so is its gradient (D1)."""

import keras
import numpy as np
import pytest
from keras import ops

import numpy_reference as reference
from gradients import gradient
from keras_perceiver.ops import attend, attend_folded, dropout, kernels
from keras_perceiver.ops import chunks as module
from keras_perceiver.ops.dropout import seed_of_part
from tolerances import BFLOAT16, FLOAT32

B, H, N, M, K, V = 2, 3, 4, 19, 6, 5


def draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def check(actual, expected, atol=FLOAT32):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, atol=atol)


@pytest.fixture
def qkv(rng):
    return draw(rng, B, H, N, K), 3 * draw(rng, B, H, M, K), draw(rng, B, H, M, V)


def masks():
    rng = np.random.default_rng(1)
    full = rng.random((B, H, N, M)) > 0.5
    full[0, :, 1] = False  # a query that may see nothing
    padding = np.arange(M)[None] < np.array([[11], [0]])  # an example without inputs
    per_query = np.broadcast_to(full[:, :1, :, :1], (B, 1, N, 1))
    return {"none": None, "padding": padding, "full": full, "per query": per_query}


# All in one, in two with a remainder of one, without a remainder, with one.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("none", 50),
        ("none", 1),
        ("padding", 18),
        ("full", 19),
        ("full", 4),
        ("per query", 6),
    ],
)
def test_any_size_gives_the_whole_and_its_gradient(qkv, name, size):
    mask = masks()[name]
    full = mask[:, None, None] if name == "padding" else mask
    check(attend(*qkv, mask, chunk_size=size), reference.attend(*qkv, full))
    # PyTorch may compute the whole in its fused kernel, the others do not.
    whole = gradient(lambda *x: attend(*x, mask), *qkv)
    parts = gradient(lambda *x: attend(*x, mask, chunk_size=size), *qkv)
    for expected, actual in zip(whole, parts, strict=True):
        check(actual, expected, FLOAT32 * max(1, np.abs(expected).max()))
        assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize(("name", "dropping"), [("none", True), ("padding", False)])
def test_a_folded_context_too(rng, name, dropping):
    """Keys that are the values, and shared by all heads; what dropout leaves of a row."""
    arrays = (
        draw(rng, B, H, N, K),
        draw(rng, B, M, 9),
        draw(rng, 9, H, K),
        draw(rng, 9, H, V),
        draw(rng, H, V),
    )
    options = {"mask": masks()[name]}
    if dropping:
        options |= {"dropout": 0.4, "seed": keras.random.SeedGenerator(1).next()}

    def folded(*x):
        return attend_folded(*x, **options, chunk_size=7)

    def plain(query, context, key_kernel, value_kernel, bias):
        key = ops.einsum("bmc,chk->bhmk", context, key_kernel)
        value = ops.einsum("bmc,chv->bhmv", context, value_kernel)
        value = ops.add(value, bias[None, :, None])
        return attend(query, key, value, **options, chunk_size=7)

    rows = slice(0, 1) if name == "padding" else slice(None)  # zeroing is the caller's
    grads = [
        gradient(lambda *x, f=function: f(*x)[rows], *arrays)
        for function in (folded, plain)
    ]
    for actual, expected in zip(*grads, strict=True):
        check(actual, expected, 1e-4 * np.abs(expected).max())


def test_masked_slots_reach_nothing(qkv):
    """NaN in a masked slot: not the output, not the gradient (M2)."""
    query, key, value = (x.copy() for x in qkv)
    mask = np.arange(M)[None] < np.array([[11], [11]])
    key[:, :, 11:], value[:, :, 11:] = np.nan, np.nan
    expected = reference.attend(query, key[:, :, :11], value[:, :, :11])
    check(attend(query, key, value, mask, chunk_size=4), expected)
    grads = gradient(lambda *x: attend(*x, mask, chunk_size=4), query, key, value)
    assert all(np.isfinite(g).all() for g in grads)
    assert not grads[1][:, :, 11:].any()


def test_dropout_drops_by_seed_and_the_gradient_knows_what(qkv):
    """Against all scores at once, dropped by the masks of the chunks."""
    size, rate, seed = 8, 0.4, keras.random.SeedGenerator(2).next()
    masks = [
        dropout(ops.ones((B, H, N, stop - start)), rate, seed_of_part(seed, start))
        for start, stop in ((0, 8), (8, 16), (16, 19))
    ]
    kept = ops.concatenate(masks, axis=-1)
    assert 0.2 < (ops.convert_to_numpy(kept) == 0).mean() < 0.6
    first, second = (ops.convert_to_numpy(x) for x in masks[:2])
    assert (first != second).any()

    def plain(query, key, value):
        logits = ops.matmul(query * K**-0.5, ops.swapaxes(key, -1, -2))
        return ops.matmul(ops.softmax(logits) * kept, value)

    def chunked(*x):
        return attend(*x, dropout=rate, seed=seed, chunk_size=size)

    check(chunked(*qkv), ops.convert_to_numpy(plain(*qkv)))
    for actual, expected in zip(
        gradient(chunked, *qkv), gradient(plain, *qkv), strict=True
    ):
        check(actual, expected, FLOAT32 * max(1, np.abs(expected).max()))


def test_bfloat16(qkv):
    low = [ops.cast(x, "bfloat16") for x in qkv]
    exact = reference.attend(*(ops.convert_to_numpy(ops.cast(x, "float32")) for x in low))
    out = attend(*low, chunk_size=4)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    check(ops.cast(out, "float32"), exact, BFLOAT16)
    grads = gradient(
        lambda *x: ops.cast(
            attend(*(ops.cast(y, "bfloat16") for y in x), chunk_size=4), "float32"
        ),
        *qkv,
    )
    for actual, expected in zip(grads, gradient(attend, *qkv), strict=True):
        check(actual, expected, BFLOAT16 * np.abs(expected).max())


def test_chunks_are_chosen_where_scores_would_not_fit(qkv, monkeypatch):
    sizes = []

    def spy(*args):
        sizes.append(args[-1])
        return module.attend_in_chunks(*args)

    monkeypatch.setattr(kernels, "attend_in_chunks", spy)
    out = ops.convert_to_numpy(attend(*qkv))
    assert sizes == []
    monkeypatch.setattr(module, "SCORES_BUDGET", 4 * B * H * N * M - 1)
    check(attend(*qkv), out)
    assert sizes == [None]
    _, scores = attend(*qkv, return_scores=True)  # all of them are wanted
    assert scores.shape[-1] == M
    assert len(sizes) == 1


@pytest.mark.parametrize(("name", "dropping"), [("none", True), ("full", False)])
def test_many_queries_go_head_by_head(rng, monkeypatch, name, dropping):
    """And some at a time, where all scores would not fit; 4 queries for each 19 here."""
    query, key, value = draw(rng, B, H, M, K), draw(rng, B, H, N, K), draw(rng, B, H, N, V)
    mask = masks()[name]
    options = {"mask": mask if mask is None else np.swapaxes(mask, 2, 3)}
    if dropping:
        options |= {"dropout": 0.4, "seed": keras.random.SeedGenerator(1).next()}
    whole = [query, key, value, options]
    calls = []

    def spy(*args):
        calls.append(tuple(args[0].shape))
        return attend_scaled(*args)

    attend_scaled = kernels.attend_scaled
    expected = gradient(lambda *x: attend(*x, options["mask"]), *whole[:3])
    monkeypatch.setattr(kernels, "attend_scaled", spy)
    monkeypatch.setattr(module, "SCORES_BUDGET", 4 * B * H * N * M - 1)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 4 * B * N * 4)

    def parts(*x):
        return attend(*x, **options)

    out = ops.convert_to_numpy(parts(*whole[:3]))
    assert {shape[1:3] for shape in calls} == {(1, 4), (1, 3)}
    actual = gradient(parts, *whole[:3])
    if not dropping:
        check(out, reference.attend(query, key, value, options["mask"]))
        for x, y in zip(actual, expected, strict=True):
            check(x, y, FLOAT32 * max(1, np.abs(y).max()))
        return
    values = np.ones_like(value)  # what is left of each row of weights: 1 on average
    rows = ops.convert_to_numpy(parts(query, key, values))[..., 0]
    assert 0.8 < rows.mean() < 1.2
    assert len(np.unique(rows[0], axis=0)) == H  # each head drops others
    assert all(np.isfinite(x).all() for x in actual)


@pytest.mark.one_backend
def test_sizes_of_chunks():
    """Equal, and their scores fit; unknown sizes count as 1."""
    assert module.scores_bytes(2, 3, 4, 5) == 480
    assert module.scores_bytes(None, 3, 4, 5) == 240
    each = module.scores_bytes(1, 1, 2048)
    length = module.chunk_length(182528, each)
    assert length * each <= module._CHUNK_BYTES
    assert length > 0.9 * module._CHUNK_BYTES / each
    assert module.chunk_length(1000, module._CHUNK_BYTES, least=300) == 250


def test_a_size_below_one_is_refused(qkv):
    with pytest.raises(ValueError, match="`chunk_size` must be at least 1. Received: 0"):
        attend(*qkv, chunk_size=0)
