"""Documents as one row of ids, and pieces of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_perceiver.preprocessing import (
    chunk,
    count_shifted,
    join,
    random_truncation,
    shifted,
)

pytestmark = pytest.mark.one_backend


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5)),
    st.lists(st.integers(0, 9), max_size=2),
    st.lists(st.integers(0, 9), max_size=2),
)
def test_joining(rows, before, after):
    ids = join([np.array(row, "int32") for row in rows], before, after)
    assert ids.dtype == np.int32
    assert ids.tolist() == [i for row in rows for i in (*before, *row, *after)]


@given(st.integers(1, 60), st.integers(1, 20))
def test_chunks_are_the_beginning(size, length):
    ids = np.arange(size)
    if size < length:
        with pytest.raises(ValueError, match=f"at least {length} tokens .*: {size} tokens"):
            chunk(ids, length)
        return
    pieces = chunk(ids, length)
    assert pieces.shape == (size // length, length)
    assert pieces.ravel().tolist() == list(range(size - size % length))
    assert np.shares_memory(pieces, ids)  # a corpus need not fit twice


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 2**32))
def test_shifts(size, length, seed):
    ids = np.arange(size)
    if size < 2 * length:
        with pytest.raises(ValueError, match=f"at least {2 * length} tokens"):
            count_shifted(ids, length)
        return
    count = count_shifted(ids, length)
    assert count == len(chunk(ids, length)) - 1
    for index in range(count):
        piece = shifted(ids, index, length, np.random.default_rng(seed))
        again = shifted(ids, index, length, np.random.default_rng(seed))
        np.testing.assert_array_equal(piece, again)
        assert len(piece) == length and (np.diff(piece) == 1).all()
        assert index * length <= piece[0] < (index + 1) * length
    with pytest.raises(IndexError, match=f"`index` must lie in .0, {count}"):
        shifted(ids, count, length, np.random.default_rng(seed))


def test_every_shift_occurs(rng):
    starts = [shifted(np.arange(8), 0, 4, rng)[0] for _ in range(200)]
    assert set(starts) == {0, 1, 2, 3}


@pytest.mark.parametrize("side", ["right", "left"])
def test_random_truncation(rng, side):
    ids = np.arange(1, 2001 * 8 - 7).reshape(2000, 8)
    cut, mask = random_truncation(ids, 5, 0, rng, side)
    assert cut.shape == ids.shape and mask.dtype == np.int32
    kept = mask.sum(axis=1)
    # All lengths from 5 to 8, equally often (500 each, standard deviation 19).
    assert np.abs(np.bincount(kept, minlength=9)[5:] - 500).max() < 100
    assert kept.min() == 5 and kept.max() == 8
    for row, n, out, m in zip(ids, kept, cut, mask, strict=True):
        assert out[m == 1].tolist() == row[:n].tolist() and (out[m == 0] == 0).all()
        assert m.tolist() == sorted(m.tolist(), reverse=side == "right")


@pytest.mark.parametrize("min_length", [0, 5])
def test_bad_truncation(rng, min_length):
    with pytest.raises(
        ValueError, match=rf"`min_length` must lie in \[1, 4\].*={min_length}"
    ):
        random_truncation(np.zeros((2, 4), "int32"), min_length, 0, rng)
