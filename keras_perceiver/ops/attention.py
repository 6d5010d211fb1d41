"""Multi-head attention: the one place where scores, softmax and mixing live."""

from keras import ops

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

    Returns:
        `[B, H, N, V]`, and with `return_scores` the weights `[B, H, N, M]`.

    Raises:
        ValueError: wrong ranks, no keys, or `heads_at_once < 1`.
    """
    query, key, value = map(ops.convert_to_tensor, (query, key, value))
    check_rank("query", query, (4,), "[B, H, N, K]")
    check_rank("key", key, (4,), "[B, H, M, K]")
    check_rank("value", value, (4,), "[B, H, M, V]")
    mask = _full_mask(mask, causal, query, key)
    key, value = _without_unseen(mask, key, value)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    out, _, scores = _grouped(
        query * ops.cast(scale, query.dtype),
        key,
        value,
        mask,
        dropout,
        seed,
        heads_at_once,
        return_scores,
    )
    return (out, scores) if return_scores else out


def attend_folded(
    query,
    context,
    key_kernel,
    value_kernel,
    value_bias,
    mask=None,
    *,
    causal=False,
    dropout=0.0,
    seed=None,
    heads_at_once=None,
    return_scores=False,
):
    """Attention to a context whose keys and values are never computed.

    With `keys = context Wk` and `values = context Wv + b`, scores are
    `query (context Wk)^T = (query Wk^T) context^T` and outputs
    `A (context Wv + b) = (A context) Wv + rowsum(A) b`: two small products on the
    query's side replace two large ones on the context's. A key bias adds the same
    number to all scores of a query, and cancels in the softmax.

    Args:
        query: `[B, H, N, K]`.
        context: `[B, M, C]`.
        key_kernel: `[C, H, K]`.
        value_kernel: `[C, H, V]`.
        value_bias: `[H, V]`, or None.
        mask: as in `attend`.
        causal: as in `attend`.
        dropout: as in `attend`.
        seed: as in `attend`.
        heads_at_once: as in `attend`.
        return_scores: as in `attend`.

    Returns:
        As `attend`.
    """
    query, context = map(ops.convert_to_tensor, (query, context))
    key_kernel, value_kernel = map(ops.convert_to_tensor, (key_kernel, value_kernel))
    shared = context[:, None]  # [B, 1, M, C]
    mask = _full_mask(mask, causal, query, shared)
    shared, _ = _without_unseen(mask, shared, shared)
    scale = ops.cast(query.shape[-1] ** -0.5, query.dtype)
    query = _project_heads(query * scale, ops.transpose(key_kernel, (1, 2, 0)))
    out, row_sums, scores = _grouped(
        query, shared, shared, mask, dropout, seed, heads_at_once, return_scores
    )
    out = _project_heads(out, ops.transpose(value_kernel, (1, 0, 2)))  # [B, H, N, V]
    if value_bias is not None:
        bias = ops.convert_to_tensor(value_bias)[None, :, None, :]  # [1, H, 1, V]
        out = out + (bias if row_sums is None else bias * row_sums)
    return (out, scores) if return_scores else out


def _full_mask(mask, causal, query, key):
    """Padding, given and causal masks as one of rank 4, or None."""
    if mask is not None:
        check_rank("mask", mask, (2, 4), "[B, M] or [B, H, N, M]")
        mask = as_bool(mask)
        mask = mask[:, None, None] if len(mask.shape) == 2 else mask
    if causal:
        lengths = (_length(query), _length(key))
        right_aligned = causal_mask(*lengths)[None, None]  # [1, 1, N, M]
        mask = right_aligned if mask is None else ops.logical_and(mask, right_aligned)
    return mask


def _length(x):
    return ops.shape(x)[2] if x.shape[2] is None else x.shape[2]


def _without_unseen(mask, key, value):
    """Zeros in the slots that no query may see. A zero weight stops no NaN."""
    if key.shape[2] == 0:
        raise ValueError(
            "There must be at least one key to attend to. Received: "
            f"key.shape={tuple(key.shape)}"
        )
    if mask is None:
        return key, value
    seen = ops.any(mask, axis=(1, 2))[:, None]  # [B, 1, M]
    same = key is value
    key = zero_masked(key, seen)
    return key, key if same else zero_masked(value, seen)


def _grouped(query, key, value, mask, dropout, seed, heads_at_once, return_scores):
    """`attend_scaled`, for groups of heads in turn."""
    if heads_at_once is not None and heads_at_once < 1:
        raise ValueError(f"`heads_at_once` must be at least 1. Received: {heads_at_once}")
    num_heads = query.shape[1]
    if heads_at_once is None or heads_at_once >= num_heads:
        return attend_scaled(query, key, value, mask, dropout, seed, return_scores)
    groups = []
    for start in range(0, num_heads, heads_at_once):
        group = slice(start, start + heads_at_once)
        parts = [
            x if x is None or x.shape[1] == 1 else x[:, group]
            for x in (query, key, value, mask)
        ]
        # Groups must not share one dropout mask.
        group_seed = None if seed is None else seed + ops.cast(start, seed.dtype)
        groups.append(attend_scaled(*parts, dropout, group_seed, return_scores))
    out, row_sums, scores = zip(*groups, strict=True)

    def join(parts):
        return None if parts[0] is None else ops.concatenate(parts, axis=1)

    return join(out), join(row_sums), join(scores)


def _project_heads(x, kernels):
    """`[B, H, N, X] x [H, X, Y] -> [B, H, N, Y]`.

    As one product per head over batch and queries together: fewer and larger, and
    TensorFlow's oneDNN (2.21) crashes on a batched product with a constant that
    it has to broadcast over the batch.
    """
    heads, (batch, _, queries, _) = x.shape[1], ops.shape(x)
    rows = ops.reshape(ops.transpose(x, (1, 0, 2, 3)), (heads, batch * queries, x.shape[3]))
    out = ops.reshape(ops.matmul(rows, kernels), (heads, batch, queries, kernels.shape[2]))
    return ops.transpose(out, (1, 0, 2, 3))
