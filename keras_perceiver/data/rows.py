"""Rows of a corpus of token ids, and what is checked before training on them."""

import numpy as np

from keras_perceiver.data.pipeline import check_batch_size, checked_preprocessor
from keras_perceiver.preprocessing import random_truncation, shifted
from keras_perceiver.preprocessing.packing import count_pieces


def batched_rows(
    tokens, preprocessor, length, batch_size, seed, random_shift=False, min_length=None
):
    """Consecutive pieces of a corpus in batches.

    Args:
        tokens: integers `[N]`, of `keras_perceiver.data.tokens`.
        preprocessor: a `TextPreprocessor`: its side and id of padding count.
        length: of a row in tokens, S.
        batch_size: rows a batch.
        seed: of order, shifts and lengths: a new order each time through, without the
            incomplete last batch. None for each row once, in order.
        random_shift: move each row to the right by a random number of tokens.
        min_length: cut each row to a random length of at least as many tokens.

    Returns:
        A finite `grain.MapDataset` of indices of rows `[B]`, token ids and padding
        mask, int32 `[B, S]`.

    Raises:
        ValueError: fewer tokens than a batch of rows has.
    """
    import grain

    count = row_count(tokens, length, random_shift)
    check_batch_size(batch_size, count, f"rows of {length} tokens", seed)

    def row(index):
        return index, tokens[index * length : (index + 1) * length]  # [S]

    def shifted_row(index, rng):
        return index, shifted(tokens, index, length, rng)  # [S]

    def padded(batch):
        indices, ids = batch
        return indices, ids.astype("int32"), np.ones(ids.shape, "int32")  # [B, S] each

    def truncated(batch, rng):
        indices, ids, _ = batch
        side, pad_id = preprocessor.padding_side, preprocessor.tokenizer.pad_id
        return indices, *random_truncation(ids, min_length, pad_id, rng, side)

    dataset = grain.MapDataset.range(count)
    if seed is not None:
        dataset = dataset.seed(seed).shuffle()
    dataset = dataset.random_map(shifted_row) if random_shift else dataset.map(row)
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None).map(padded)
    return dataset if min_length is None else dataset.random_map(truncated)


def row_count(tokens, length, random_shift=False):
    """Number of rows that `batched_rows` makes of a corpus.

    Raises:
        ValueError: fewer tokens than a row has; with `random_shift`, than two have.
    """
    return count_pieces(tokens, length, spare=int(random_shift))


def checked_rows(tokens, model, length, min_length, seed, **drawn):
    """What rows are made with, once all that is said of them has been checked.

    Args:
        tokens: integers `[N]`.
        model: whose `preprocessor` says which tokens there are.
        length: of a row in tokens; None for the preprocessor's `max_length`.
        min_length: of rows that are cut, or None.
        seed: integer or None.
        **drawn: further options that draw at random, name to value.

    Returns:
        `(preprocessor, length)`.

    Raises:
        ValueError: no ids of the vocabulary, a length out of range, or an option that
            needs a seed without one.
    """
    preprocessor = checked_preprocessor(model)
    length = checked_length(length, preprocessor)
    check_tokens(tokens, preprocessor.vocab_size)
    check_needs_seed(seed, min_length=min_length, **drawn)
    check_min_length(min_length, length)
    return preprocessor, length


def checked_length(length, preprocessor):
    """The length of a row, by default the longest that the preprocessor makes."""
    limit = preprocessor.max_length
    if length is not None and not 1 <= length <= limit:
        raise ValueError(
            f"`length` must lie between 1 and the preprocessor's max_length, {limit}. "
            f"Received: length={length}"
        )
    return length or limit


def check_min_length(min_length, length):
    """Raise a ValueError unless rows of `length` can be cut to `min_length`."""
    if min_length is not None and not 1 <= min_length <= length:
        raise ValueError(
            f"`min_length` must lie between 1 and {length}, the length of a row. "
            f"Received: min_length={min_length}"
        )


def check_needs_seed(seed, **options):
    """Raise a ValueError if an option that draws at random is given without a seed."""
    for name, value in options.items():
        if seed is None and value not in (None, False):
            raise ValueError(
                f"`{name}` needs a `seed`. Received: seed=None, {name}={value}"
            )


def check_tokens(tokens, vocab_size):
    """Raise a ValueError unless `tokens` are ids of a vocabulary, at least one."""
    if len(tokens) == 0 or tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(
            "`tokens` must be a non-empty array of integers [N]. Received: "
            f"shape={tokens.shape}, dtype={tokens.dtype}"
        )
    low, high = tokens.min(), tokens.max()
    if low < 0 or high >= vocab_size:
        raise ValueError(
            "`tokens` must be ids of the model's vocabulary, from 0 to "
            f"{vocab_size - 1}. Received: from {low} to {high}"
        )
