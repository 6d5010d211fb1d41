"""Documents as one row of ids, and pieces of it of one length."""

import numpy as np

from keras_perceiver.preprocessing.text import pad


def join(rows, before=(), after=()):
    """Documents one after the other.

    Args:
        rows: a list of integers `[n]`, the ids of each document.
        before: ids in front of each document, for example `[tokenizer.cls_id]`.
        after: ids after each, for example `[tokenizer.eos_id]`.

    Returns:
        int32 `[N]`.

    Example:
    >>> join([[7, 8], [9]], after=[2]).tolist()
    [7, 8, 2, 9, 2]
    """
    parts = [part for row in rows for part in (before, row, after)]
    # An empty list is of floats.
    return np.concatenate([np.empty(0, "int32"), *parts]).astype("int32")


def chunk(ids, length):
    """Pieces of `length` ids; what is left over at the end is dropped.

    Args:
        ids: integers `[N]`, for example of `join`.
        length: of a piece.

    Returns:
        A view of `ids`, `[N // length, length]`.

    Raises:
        ValueError: fewer ids than one piece has.

    Example:
    >>> chunk(np.arange(7), 3).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    count = count_pieces(ids, length)
    return ids[: count * length].reshape(count, length)


def count_pieces(ids, length, spare=0):
    """Number of pieces that `chunk` makes of ids `[N]`, less `spare` ones.

    Raises:
        ValueError: not one.
    """
    count = len(ids) // length - spare
    if count < 1:
        raise ValueError(
            f"`ids` must hold at least {(1 + spare) * length} tokens for pieces of "
            f"length={length}. Received: {len(ids)} tokens"
        )
    return count


def count_shifted(ids, length):
    """Number of pieces that `shifted` can take: one less than `chunk` gives.

    Raises:
        ValueError: fewer ids than two pieces have.
    """
    return count_pieces(ids, length, spare=1)


def shifted(ids, index, length, rng):
    """Piece `index` of `chunk`, moved to the right by a random shift below `length`.

    Args:
        ids: integers `[N]`.
        index: of the piece, below `count_shifted(ids, length)`.
        length: of a piece.
        rng: a `numpy.random.Generator`.

    Returns:
        A view of `ids`, `[length]`.

    Raises:
        IndexError: no such piece.

    Reference:
        krasserm/perceiver-io, `RandomShiftDataset`.
    """
    count = count_shifted(ids, length)
    if not 0 <= index < count:
        raise IndexError(f"`index` must lie in [0, {count}). Received: index={index}")
    start = index * length + int(rng.integers(length))
    return ids[start : start + length]


def random_truncation(token_ids, min_length, pad_id, rng, side="right"):
    """Rows cut to random lengths, with padding in place of what was cut.

    Args:
        token_ids: integers `[B, S]`, without padding.
        min_length: least number of ids that a row keeps; the number is drawn
            uniformly from `min_length` to S, for each row.
        pad_id: id of padding, or None for 0.
        rng: a `numpy.random.Generator`.
        side: where padding goes, "right" or "left"; rows lose their end either way.

    Returns:
        `(token_ids, padding_mask)`, int32 `[B, S]`.

    Raises:
        ValueError: `min_length` out of [1, S].

    Reference:
        krasserm/perceiver-io, `RandomTruncateCollator`. It draws one length a batch
        and makes the batch shorter; here shapes stay, so that one compilation serves
        all steps.
    """
    length = token_ids.shape[-1]
    if not 1 <= min_length <= length:
        raise ValueError(
            f"`min_length` must lie in [1, {length}], the length of a row. Received: "
            f"min_length={min_length}"
        )
    kept = rng.integers(min_length, length, size=len(token_ids), endpoint=True)
    rows = [row[:n] for row, n in zip(token_ids, kept, strict=True)]
    return pad(rows, pad_id, length, side)
