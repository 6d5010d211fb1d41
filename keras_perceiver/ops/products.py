"""The two products of attention, and what masks do to them."""

from keras import ops

# A large negative number, not minus infinity: a row with nothing to attend to
# must stay finite on its way to being zeroed, forwards and backwards.
MASKED = -1e30


def logits_of(query, key, mask):
    """`[B, H, N, K] x [B, H|1, M, K] -> [B, H, N, M]`, masked, in float32."""
    logits = per_head_matmul(query, ops.swapaxes(key, -1, -2))
    logits = ops.cast(logits, "float32")
    return logits if mask is None else ops.where(mask, logits, MASKED)


def mix(weights, value):
    """`[B, H, N, M] x [B, H|1, M, V] -> [B, H, N, V]`."""
    return per_head_matmul(ops.cast(weights, value.dtype), value)


def per_head_matmul(x, y):
    """Matrix product per head; heads that share `y` become rows of one product."""
    if y.shape[1] != 1 or x.shape[1] == 1:
        return ops.matmul(x, y)
    heads = x.shape[1]
    out = ops.matmul(merge_heads(x), y)  # [B, 1, H*N, .]
    return ops.reshape(out, (-1, heads, ops.shape(x)[2], ops.shape(out)[-1]))


def merge_heads(x):
    """Heads as rows of one: `[B, H, N, K] -> [B, 1, H * N, K]`."""
    heads, rows, channels = ops.shape(x)[1:]
    return ops.reshape(x, (-1, 1, heads * rows, channels))
