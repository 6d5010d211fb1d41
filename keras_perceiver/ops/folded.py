"""Attention whose projections are folded into the side where they cost less."""

from keras import ops

from keras_perceiver.ops.attention import (
    attend,
    grouped,
    length,
    masks_of,
    without_unseen,
    zero_rows,
)


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
    chunk_size=None,
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
        chunk_size: as in `attend`.

    Returns:
        As `attend`.
    """
    query, context = map(ops.convert_to_tensor, (query, context))
    key_kernel, value_kernel = map(ops.convert_to_tensor, (key_kernel, value_kernel))
    shared = context[:, None]  # [B, 1, M, C]
    mask, seen, seeing = masks_of(mask, causal, length(query), length(shared))
    shared, _ = without_unseen(seen, shared, shared)
    scale = ops.cast(query.shape[-1] ** -0.5, query.dtype)
    query = project_heads(query * scale, ops.transpose(key_kernel, (1, 2, 0)))
    out, row_sums, scores = grouped(
        query,
        shared,
        shared,
        mask,
        seeing,
        dropout,
        seed,
        heads_at_once,
        return_scores,
        chunk_size,
    )
    out = project_heads(out, ops.transpose(value_kernel, (1, 0, 2)))  # [B, H, N, V]
    if value_bias is not None:
        bias = ops.convert_to_tensor(value_bias)[None, :, None, :]  # [1, H, 1, V]
        out = zero_rows(out + (bias if row_sums is None else bias * row_sums), seeing)
    return (out, scores) if return_scores else out


def attend_folded_queries(query, key, value, tail, mask=None, **options):
    """Attention of many queries, never projected, to few keys.

    With `queries = query Wq + b`, scores are `query (key Wq^T)^T + b key^T`, and with
    outputs `A value Wo = A (value Wo)`: two small products on the keys' side, see
    `keras_perceiver.layers.folding`, replace two large ones on the queries' side.

    Args:
        query: `[B, N, F]`.
        key: `[B, H, M, K]`: scaled keys times the query kernel, `[B, H, M, F]`, followed
            by what meets the tail: them times the query bias, `[B, H, M, 1]`, and zeros
            if keys are to be wider.
        value: `[B, H, M, V]`: values times the output kernel, `[B, H, M, E]`, followed
            by zeros if values are to be wider.
        tail: `[K - F]`, what follows the channels of each query: a 1, and zeros.
        mask: as in `attend`.
        **options: of `attend`: `causal`, `dropout`, `seed`, `heads_at_once`,
            `return_scores`, `chunk_size`.

    Returns:
        `[B, N, V]`, outputs without their bias and then those zeros, and with
        `return_scores` the weights.
    """
    query = ops.convert_to_tensor(query)
    tail = ops.broadcast_to(tail, (*ops.shape(query)[:2], tail.shape[0]))
    query = ops.concatenate([query, tail], axis=-1)[:, None]  # [B, 1, N, K]
    query = ops.repeat(query, key.shape[1], axis=1) if key.shape[1] > 1 else query
    out = attend(query, key, value, mask, scale=1.0, **options)
    if options.get("return_scores"):
        return ops.sum(out[0], axis=1), out[1]
    return ops.sum(out, axis=1)


def project_heads(x, kernels):
    """`[B, H, N, X] x [H, X, Y] -> [B, H, N, Y]`.

    As one product per head over batch and queries together: fewer and larger, and
    TensorFlow's oneDNN (2.21) crashes on a batched product with a constant that
    it has to broadcast over the batch.
    """
    heads, (batch, _, queries, _) = x.shape[1], ops.shape(x)
    rows = ops.reshape(ops.transpose(x, (1, 0, 2, 3)), (heads, batch * queries, x.shape[3]))
    out = ops.reshape(ops.matmul(rows, kernels), (heads, batch, queries, kernels.shape[2]))
    return ops.transpose(out, (1, 0, 2, 3))
