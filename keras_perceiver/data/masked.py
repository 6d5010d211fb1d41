"""Batches to train a masked language model on, from token ids."""

import numpy as np

from keras_perceiver.data.rows import batched_rows, checked_rows
from keras_perceiver.preprocessing import Masking

# Of the masks of held-out data, which are the same in each run.
HELD_OUT_SEED = 0


def masked_batches(
    tokens,
    model,
    batch_size=64,
    seed=None,
    masking=Masking(),  # noqa: B008 (frozen)
    static_masking=False,
    random_shift=False,
    min_length=None,
    unmasked_weight=0.0,
    mask_selection_length=None,
    length=None,
):
    """Batches of masked rows of a corpus for `fit` and `evaluate`.

    Rows are consecutive pieces of the corpus; less than a row at its end is left out.

    With a seed: endless, in a new order each time through, without the incomplete
    last batch. `masked_batches(...)[k:]` resumes at step k with what an uninterrupted
    run would have seen, and `shard` gives one of several processes its part. Without
    a seed: each row once, in order, with the same masks in each run and for each
    `batch_size`.

    Args:
        tokens: integers `[N]`, of `keras_perceiver.data.tokens`.
        model: a `MaskedLM`; its `preprocessor` says which tokens there are.
        batch_size: rows a batch.
        seed: of order, masks, shifts and lengths, or None.
        masking: a `Masking`.
        static_masking: whether a row has the same masks each time through; otherwise
            they are drawn anew.
        random_shift: move each row to the right by a random number of tokens, so that
            rows begin elsewhere each time through. Needs a seed, and a corpus of two
            rows: there is one row less.
        min_length: cut each row to a random length of at least as many tokens; None
            for full rows. Needs a seed. Rows are filled up with padding.
        unmasked_weight: weight in the loss of tokens that were not selected, to repeat
            as they are. Above 0 the model first learns which position is which, without
            which a small one stays for thousands of steps at what frequencies alone
            give. Needs a seed: held-out loss is of what was selected.
        mask_selection_length: number of positions K of each row that the model is asked
            for, the selected ones first: the same loss for less work, if at most K are
            selected; of more, K are drawn. None for all positions. Needs a seed.
        length: of a row in tokens; None for the preprocessor's `max_length`.

    Returns:
        A `grain.MapDataset` of `(inputs, labels, sample_weight)`: a dict of
        `token_ids` and `padding_mask`, int32 `[B, S]`; the token ids before masking,
        int32 `[B, S]`; and float32 `[B, S]`, 1 at what was selected to be predicted,
        else 0. `keras_perceiver.training.TokenCrossentropy` is the mean over what was
        selected; Keras' own losses divide by all positions. With
        `mask_selection_length`, inputs have `mask_positions` too, int32 `[B, K]`,
        ascending, and labels and weights are those at them.

    Raises:
        ValueError: no tokens, fewer than a batch of rows, ids out of the model's
            vocabulary, rows too long for the model, or options that need a seed
            without one: before training starts.

    Reference:
        arXiv 2107.14795, section 4.1; shifts and random lengths: krasserm/perceiver-io.
    """
    preprocessor, length = checked_rows(
        tokens,
        model,
        length,
        min_length,
        seed,
        random_shift=random_shift,
        unmasked_weight=unmasked_weight,
        mask_selection_length=mask_selection_length,
    )
    _check_options(static_masking, random_shift, unmasked_weight)
    if mask_selection_length is not None and not 1 <= mask_selection_length <= length:
        raise ValueError(
            f"`mask_selection_length` must lie between 1 and {length}, the length of a "
            f"row. Received: mask_selection_length={mask_selection_length}"
        )

    def mask(batch, rng):
        return masked(*batch[1:], masking, preprocessor.tokenizer, rng)

    def mask_by_row(batch):
        # A row with its own seed has the same masks wherever the order puts it.
        base = HELD_OUT_SEED if seed is None else seed
        return _masked_by_row(batch, masking, preprocessor.tokenizer, base)

    def select(batch, rng):
        return selected(*batch, mask_selection_length, rng)

    def weighted(batch):
        inputs, labels, weights = batch
        others = inputs["padding_mask"] * np.float32(unmasked_weight)  # [B, S]
        if mask_selection_length is not None:
            others = np.take_along_axis(others, inputs["mask_positions"], axis=1)
        return inputs, labels, np.maximum(weights, others)

    dataset = batched_rows(
        tokens, preprocessor, length, batch_size, seed, random_shift, min_length
    )
    if static_masking or seed is None:
        dataset = dataset.map(mask_by_row)
    else:
        dataset = dataset.random_map(mask)
    if mask_selection_length is not None:
        dataset = dataset.random_map(select)
    if unmasked_weight:
        dataset = dataset.map(weighted)
    # After the batches, so that no batch mixes two epochs; each epoch has a new order.
    return dataset if seed is None else dataset.repeat()


def masked(ids, padding_mask, masking, tokenizer, rng):
    """`(inputs, labels, sample_weight)` of ids and padding mask, int32 `[B, S]` each."""
    masked_ids, weights = masking(ids, padding_mask, tokenizer, rng)
    return {"token_ids": masked_ids, "padding_mask": padding_mask}, ids, weights


def selected(inputs, labels, weights, count, rng):
    """`(inputs, labels, sample_weight)` of `masked` at `count` positions of each row.

    Those with a weight come first, then other tokens, then padding, in random order.
    """
    rank = rng.random(labels.shape) - 2 * weights - inputs["padding_mask"]  # [B, S]
    positions = np.sort(np.argsort(rank, axis=1)[:, :count], axis=1)  # [B, K]
    labels, weights = (np.take_along_axis(x, positions, 1) for x in (labels, weights))
    return {**inputs, "mask_positions": positions.astype("int32")}, labels, weights


def _masked_by_row(batch, masking, tokenizer, base):
    rows = []
    for index, ids, padding_mask in zip(*batch, strict=True):
        rng = np.random.default_rng([base, index])
        rows.append(masked(ids[None], padding_mask[None], masking, tokenizer, rng))
    inputs, labels, weights = zip(*rows, strict=True)
    inputs = {key: np.concatenate([x[key] for x in inputs]) for key in inputs[0]}
    return inputs, np.concatenate(labels), np.concatenate(weights)


def _check_options(static_masking, random_shift, unmasked_weight):
    if not 0 <= unmasked_weight <= 1:
        raise ValueError(
            "`unmasked_weight` must lie between 0 and 1. Received: "
            f"unmasked_weight={unmasked_weight}"
        )
    if static_masking and random_shift:
        raise ValueError(
            "`static_masking` needs rows that stay the same. Received: random_shift=True"
        )
