"""Batches to train a causal language model on, from token ids."""

from keras_perceiver.data.rows import batched_rows, checked_rows


def causal_batches(
    tokens,
    model,
    batch_size=64,
    seed=None,
    random_shift=False,
    min_length=None,
    length=None,
):
    """Batches of rows of a corpus, and what comes after each token in them.

    Rows are consecutive pieces of the corpus; less than a row at its end is left out.

    With a seed: endless, in a new order each time through, without the incomplete
    last batch. `causal_batches(...)[k:]` resumes at step k with what an uninterrupted
    run would have seen, and `shard` gives one of several processes its part. Without
    a seed: each row once, in order.

    Args:
        tokens: integers `[N]`, of `keras_perceiver.data.tokens`.
        model: a `CausalLM`; its `preprocessor` says which tokens there are.
        batch_size: rows a batch.
        seed: of order, shifts and lengths, or None.
        random_shift: move each row to the right by a random number of tokens, so that
            rows begin elsewhere each time through. Needs a seed, and a corpus of two
            rows: there is one row less.
        min_length: cut each row to a random length of at least as many tokens, so that
            a model learns to go on from short prompts too; None for full rows. Needs a
            seed. Rows are filled up with padding at the left.
        length: of a row in tokens; None for the preprocessor's `max_length`. A row
            takes one token more of the corpus: the label of its last position.

    Returns:
        A `grain.MapDataset` of `(inputs, labels, sample_weight)`: a dict of
        `token_ids` and `padding_mask`, int32 `[B, S]`; the tokens one position on,
        int32 `[B, L]`, for the last L positions, which the model predicts; and float32
        `[B, L]`, 1 at tokens, 0 at padding. `keras_perceiver.training.TokenCrossentropy`
        is the mean over tokens.

    Raises:
        ValueError: no tokens, fewer than a batch of rows, ids out of the model's
            vocabulary, rows too long for the model, or options that need a seed
            without one: before training starts.

    Reference:
        arXiv 2202.07765, section 3; shifts and random lengths: krasserm/perceiver-io.
    """
    preprocessor, length = checked_rows(
        tokens, model, length, min_length, seed, random_shift=random_shift
    )
    # With the label of the last position.
    least = None if min_length is None else min_length + 1
    dataset = batched_rows(
        tokens, preprocessor, length + 1, batch_size, seed, random_shift, least
    )
    max_latents = model.max_latents  # no model goes to worker processes
    dataset = dataset.map(lambda batch: next_tokens(*batch[1:], max_latents))
    # After the batches, so that no batch mixes two epochs; each epoch has a new order.
    return dataset if seed is None else dataset.repeat()


def next_tokens(ids, padding_mask, max_latents):
    """What is predicted from what.

    Args:
        ids: int32 `[B, S + 1]`, padded at the left.
        padding_mask: int32 `[B, S + 1]`, 1 at tokens.
        max_latents: largest number of positions that are predicted.

    Returns:
        `(inputs, labels, sample_weight)`, as `causal_batches` gives.

    Example:
    >>> import numpy as np
    >>> ids = np.array([[0, 7, 8, 9]])
    >>> inputs, labels, weights = next_tokens(ids, np.sign(ids), max_latents=2)
    >>> inputs["token_ids"].tolist(), labels.tolist(), weights.tolist()
    ([[0, 7, 8]], [[8, 9]], [[1.0, 1.0]])
    """
    inputs = {"token_ids": ids[:, :-1], "padding_mask": padding_mask[:, :-1]}  # [B, S]
    first = max(0, ids.shape[1] - 1 - max_latents)
    # What follows padding is the first token, of which nothing is known.
    weights = inputs["padding_mask"][:, first:].astype("float32")  # [B, L]
    return inputs, ids[:, 1 + first :], weights
