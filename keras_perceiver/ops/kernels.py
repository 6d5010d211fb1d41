"""Attention on scaled queries, in the form that is fast on each backend."""

import math

import keras
from keras import ops

from keras_perceiver.ops.dropout import dropout as drop

# A large negative number, not minus infinity: a row with nothing to attend to
# must stay finite on its way to being zeroed, forwards and backwards.
MASKED = -1e30
# Keys per chunk of the running softmax: 512 x 1792 scores fit the caches of a
# CPU core (1.5x faster than all keys at once on JAX, 1.2x on PyTorch).
_KEY_CHUNK = 1792
# Scores that may be held in full to spare PyTorch a gradient nobody needs: 64 MB.
_FEW_SCORES = 2**24


def attend_scaled(query, key, value, mask, dropout, seed, return_scores):
    """Attention on queries that are scaled already.

    Args:
        query: `[B, H, N, K]`, or batch 1 for the whole batch.
        key: `[B, H, M, K]` or `[B, 1, M, K]`.
        value: `[B, H, M, V]` or `[B, 1, M, V]`.
        mask: bool, broadcastable to `[B, H, N, M]`, or None.
        dropout: rate on the attention weights.
        seed: of dropout; None to drop nothing.
        return_scores: whether the weights are wanted.

    Returns:
        Output `[B, H, N, V]`; what dropout left of the sum of each row of weights,
        `[B, H, N, 1]`, or None for 1; weights `[B, H, N, M]`, or None.
    """
    if query.shape[0] == 1 and key.shape[0] != 1:
        # Few queries, few bytes.
        query = ops.broadcast_to(query, (ops.shape(key)[0], *ops.shape(query)[1:]))
    dropping = seed is not None and dropout > 0
    if not (dropping or return_scores):
        if keras.backend.backend() == "torch" and not _keys_are_constant(query, key):
            return _zero_rows(_attend_fused(query, key, value, mask), mask), None, None
        # An unknown size is None, or a symbol while JAX exports.
        if isinstance(key.shape[2], int) and key.shape[2] >= 2 * _KEY_CHUNK:
            return _zero_rows(_attend_in_chunks(query, key, value, mask), mask), None, None
    logits = _logits(query, key, mask)  # [B, H, N, M], float32
    if keras.backend.backend() == "jax" and not (dropping or return_scores):
        # Dividing after the product passes once less over the weights.
        weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, -1, keepdims=True)))
        total = ops.sum(weights, axis=-1, keepdims=True)
        out = _mix(weights, value) / ops.cast(total, value.dtype)
        return _zero_rows(out, mask), None, None
    # Of one key the weight is 1; Keras' softmax would warn.
    one = logits.shape[-1] == 1
    weights = ops.ones_like(logits) if one else ops.softmax(logits, axis=-1)
    weights = _zero_rows(weights, mask)
    if not dropping:
        return _mix(weights, value), None, weights if return_scores else None
    dropped = drop(weights, dropout, seed)
    row_sums = ops.cast(ops.sum(dropped, axis=-1, keepdims=True), value.dtype)
    return _mix(dropped, value), row_sums, weights if return_scores else None


def _keys_are_constant(query, key):
    """Whether PyTorch must differentiate by few queries, but not by the keys.

    So it is when latents read raw inputs. The fused kernel's backward pass computes
    the gradients of keys and values all the same, and the scores once more.
    """
    scores = math.prod(query.shape[:3]) * key.shape[2]
    return query.requires_grad and not key.requires_grad and scores <= _FEW_SCORES


def _attend_fused(query, key, value, mask):
    """PyTorch's fused kernel, which never holds all the scores."""
    from torch import finfo
    from torch.nn.functional import scaled_dot_product_attention

    shape = query.shape
    batch = shape[0]
    merged = key.shape[1] == value.shape[1] == 1 and (
        mask is None or mask.shape[1:3] == (1, 1)
    )
    if merged:  # all heads read the same keys: let them be rows of one head
        query = query.reshape(shape[0], 1, shape[1] * shape[2], shape[3])
    heads = query.shape[1]
    bias = None
    if mask is not None:  # additive and finite, so that masked rows stay finite
        bias = query.new_zeros(mask.shape).masked_fill(~mask, finfo(query.dtype).min)
        bias = bias.expand(batch, heads, query.shape[2], key.shape[2])
    out = scaled_dot_product_attention(
        query,
        key.expand(batch, heads, -1, -1),
        value.expand(batch, heads, -1, -1),
        attn_mask=bias,
        scale=1.0,
    )
    return out.reshape(batch, shape[1], shape[2], value.shape[-1])


def _attend_in_chunks(query, key, value, mask):
    """Chunks of keys in turn, with a running softmax (arXiv 2112.05682)."""
    num_chunks, rest = divmod(key.shape[2], _KEY_CHUNK)

    def step(state, start, size):
        out, total, peak = state
        keys = _slice_keys(key, start, size, axis=2)
        values = keys if value is key else _slice_keys(value, start, size, axis=2)
        part = mask
        if mask is not None and mask.shape[3] != 1:
            part = _slice_keys(mask, start, size, axis=3)
        logits = _logits(query, keys, part)
        new_peak = ops.maximum(peak, ops.max(logits, axis=-1, keepdims=True))
        decay = ops.exp(peak - new_peak)
        weights = ops.exp(logits - new_peak)
        total = total * decay + ops.sum(weights, axis=-1, keepdims=True)
        out = out * decay + ops.cast(_mix(weights, values), "float32")
        return out, total, new_peak

    state = _first_state(query, key, value)
    state = ops.fori_loop(
        0, num_chunks, lambda i, s: step(s, i * _KEY_CHUNK, _KEY_CHUNK), state
    )
    if rest:
        state = step(state, num_chunks * _KEY_CHUNK, rest)
    out, total, _ = state
    return ops.cast(out / total, value.dtype)


def _first_state(query, key, value):
    rows = ops.shape(query)[:3]
    zeros = ops.zeros((*rows, 1), dtype="float32")
    return ops.zeros((*rows, value.shape[-1]), dtype="float32"), zeros, zeros + MASKED


def _slice_keys(x, start, size, axis):
    starts = [0] * 4
    starts[axis] = start
    shape = [size if i == axis else n for i, n in enumerate(ops.shape(x))]
    return ops.slice(x, starts, shape)


def _logits(query, key, mask):
    """`[B, H, N, K] x [B, H|1, M, K] -> [B, H, N, M]`, masked, in float32."""
    logits = _per_head_matmul(query, ops.swapaxes(key, -1, -2))
    logits = ops.cast(logits, "float32")
    return logits if mask is None else ops.where(mask, logits, MASKED)


def _mix(weights, value):
    """`[B, H, N, M] x [B, H|1, M, V] -> [B, H, N, V]`."""
    return _per_head_matmul(ops.cast(weights, value.dtype), value)


def _per_head_matmul(x, y):
    """Matrix product per head; heads that share `y` become rows of one product."""
    if y.shape[1] != 1 or x.shape[1] == 1:
        return ops.matmul(x, y)
    heads, rows, channels = ops.shape(x)[1:]
    merged = ops.reshape(x, (-1, 1, heads * rows, channels))
    out = ops.matmul(merged, y)  # [B, 1, H*N, .]
    return ops.reshape(out, (-1, heads, rows, ops.shape(out)[-1]))


def _zero_rows(x, mask):
    """Zero the rows `[B, H, N, .]` of queries that may see no key at all."""
    if mask is None:
        return x
    some = ops.any(mask, axis=-1, keepdims=True)  # [B, H|1, N|1, 1]
    return ops.where(some, x, ops.zeros((), dtype=x.dtype))
