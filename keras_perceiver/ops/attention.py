"""Multi-head attention: the one place where scores, softmax and mixing live."""

from keras import ops

from keras_perceiver.ops.dropout import seed_of_part
from keras_perceiver.ops.kernels import attend_scaled
from keras_perceiver.ops.masks import as_bool, causal_mask, check_rank, zero_masked


def attend(
    query,
    key,
    value,
    mask=None,
    *,
    causal=False,
    scale=None,
    dropout=0.0,
    seed=None,
    heads_at_once=None,
    return_scores=False,
    chunk_size=None,
):
    """Scaled dot-product attention over heads.

    Softmax is computed in float32 whatever the inputs' dtype. Query and value
    channels may differ. What sits in a slot that no query may see, NaN included,
    reaches no output; a query with nothing to attend to gives zeros.

    Args:
        query: `[B, H, N, K]`. Batch 1 stands for the whole batch (latents before
            they have met an input), and is then projected only once.
        key: `[B, H, M, K]`, or `[B, 1, M, K]` if all heads share it.
        value: `[B, H, M, V]` or `[B, 1, M, V]`.
        mask: bool, int or float, broadcastable to `[B, H, N, M]`, True where a
            query may see a key; or a padding mask `[B, M]`.
        causal: let query `n` see keys up to `n + M - N` only (right-aligned).
        scale: factor on the scores; None for `K ** -0.5`.
        dropout: rate on the attention weights.
        seed: seed tensor for dropout; None outside training.
        heads_at_once: process the heads in groups of this many, to bound the
            memory that the scores take; None for all at once.
        return_scores: also return the attention weights (before dropout).
        chunk_size: keys to attend to at a time, by a running softmax, so that no more
            scores exist at once, in the gradient neither; None to choose, by the size
            of all scores. Without effect if the scores are to be returned.

    Returns:
        `[B, H, N, V]`, and with `return_scores` the weights `[B, H, N, M]`.

    Raises:
        ValueError: wrong ranks, no keys, or `heads_at_once` or `chunk_size` below 1.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    check_rank("query", query, (4,), "[B, H, N, K]")
    check_rank("key", key, (4,), "[B, H, M, K]")
    check_rank("value", value, (4,), "[B, H, M, V]")
    mask, seen, seeing = masks_of(mask, causal, length(query), length(key))
    key, value = without_unseen(seen, key, value)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    out, _, scores = grouped(
        query * ops.cast(scale, query.dtype),
        key,
        value,
        mask,
        seeing,
        dropout,
        seed,
        heads_at_once,
        return_scores,
        chunk_size,
    )
    return (out, scores) if return_scores else out


def masks_of(mask, causal, num_queries, num_keys):
    """What may be seen.

    Args:
        mask: given, or of padding; or None.
        causal: as in `attend`.
        num_queries: N, a tensor if it is not known yet.
        num_keys: M, likewise.

    Returns:
        `mask`, broadcastable to `[B, H, N, M]`; `seen`, broadcastable to `[B, 1, M]`,
        the keys that some query sees; `seeing`, broadcastable to `[B, H, N, 1]`, the
        queries that see some key. None stands for all.
    """
    if mask is not None:
        check_rank("mask", mask, (2, 4), "[B, M] or [B, H, N, M]")
        mask = as_bool(mask)
        mask = mask[:, None, None] if len(mask.shape) == 2 else mask
    given = mask
    if causal:
        right_aligned = causal_mask(num_queries, num_keys)[None, None]  # [1, 1, N, M]
        mask = right_aligned if mask is None else ops.logical_and(mask, right_aligned)
    seen = seeing = None
    if given is not None:
        # Causality hides no key from the last query.
        same_for_all = given.shape[2] == 1
        seen = ops.any(given if same_for_all else mask, axis=(1, 2))[:, None]
    if not every_query_sees(given, causal, num_queries, num_keys):
        seeing = ops.any(mask, axis=-1, keepdims=True)
    return mask, seen, seeing


def every_query_sees(mask, causal, num_queries, num_keys):
    """Whether every query is known to see some key: arguments as of `masks_of`."""
    if mask is not None or not causal:
        return mask is None
    known = isinstance(num_queries, int) and isinstance(num_keys, int)
    return known and num_queries <= num_keys


def length(x):
    """How many queries or keys `[..., N, K]` holds, a tensor if it is not known yet."""
    return ops.shape(x)[-2] if x.shape[-2] is None else x.shape[-2]


def without_unseen(seen, key, value):
    """Zeros in the slots that no query may see. A zero weight stops no NaN."""
    if key.shape[2] == 0:
        raise ValueError(
            "There must be at least one key to attend to. Received: "
            f"key.shape={tuple(key.shape)}"
        )
    if seen is None:
        return key, value
    same = key is value
    key = zero_masked(key, seen)
    return key, key if same else zero_masked(value, seen)


def grouped(query, key, value, mask, seeing, dropout, seed, heads_at_once, *options):
    """`attend_scaled`, for groups of heads in turn, and zeros where nothing is seen."""
    for name, size in (("heads_at_once", heads_at_once), ("chunk_size", options[-1])):
        if size is not None and size < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {size}")
    num_heads = query.shape[1]
    if heads_at_once is None or heads_at_once >= num_heads:
        results = attend_scaled(query, key, value, mask, dropout, seed, *options)
        return [zero_rows(x, seeing) for x in results]
    groups = []
    for start in range(0, num_heads, heads_at_once):
        group = slice(start, start + heads_at_once)
        parts = [
            x if x is None or x.shape[1] == 1 else x[:, group]
            for x in (query, key, value, mask)
        ]
        # Groups must not share one dropout mask.
        group_seed = seed_of_part(seed, start)
        groups.append(attend_scaled(*parts, dropout, group_seed, *options))

    def join(parts):
        return None if parts[0] is None else ops.concatenate(parts, axis=1)

    return [zero_rows(join(parts), seeing) for parts in zip(*groups, strict=True)]


def zero_rows(x, seeing):
    """Zero the rows `[B, H, N, .]` of queries that see no key at all."""
    if x is None or seeing is None:
        return x
    return ops.where(seeing, x, ops.zeros((), dtype=x.dtype))
