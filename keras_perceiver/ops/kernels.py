"""Attention on scaled queries, in the form that is fast on each backend."""

import keras
from keras import ops

from keras_perceiver.ops.chunks import (
    attend_in_chunks,
    chunk_length,
    scores_bytes,
    scores_fit,
)
from keras_perceiver.ops.devices import has_flash_attention, on_accelerator
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.dropout import seed_of_part
from keras_perceiver.ops.loops import map_chunks, recompute
from keras_perceiver.ops.products import logits_of, mix

# From so many keys on, chunks are faster than all at once on a CPU (1.5x on JAX).
_MANY_KEYS = 3584
# Channels per head up to which cuDNN has flash attention, in steps of 8.
_CUDNN_CHANNELS = 128


def attend_scaled(query, key, value, mask, dropout, seed, return_scores, chunk_size=None):
    """Attention on queries that are scaled already.

    Args:
        query: `[B, H, N, K]`, or batch 1 for the whole batch.
        key: `[B, H, M, K]` or `[B, 1, M, K]`.
        value: `[B, H, M, V]` or `[B, 1, M, V]`.
        mask: bool, broadcastable to `[B, H, N, M]`, or None.
        dropout: rate on the attention weights.
        seed: of dropout; None to drop nothing.
        return_scores: whether the weights are wanted.
        chunk_size: keys at a time; None to choose.

    Returns:
        Output `[B, H, N, V]`; what dropout left of the sum of each row of weights,
        `[B, H, N, 1]`, or None for 1; weights `[B, H, N, M]`, or None. The rows of all
        three are finite and mean nothing where a query sees nothing.
    """
    if query.shape[0] == 1 and key.shape[0] != 1:
        # Few queries, few bytes.
        query = ops.broadcast_to(query, (ops.shape(key)[0], *ops.shape(query)[1:]))
    dropping = seed is not None and dropout > 0
    if not return_scores:
        fits = _fits(query, key)
        if chunk_size is None and not dropping and _suits_fused(query, key, value, fits):
            fused = {"torch": _attend_sdpa, "jax": _attend_cudnn}[keras.backend.backend()]
            return fused(query, key, value, mask), None, None
        if chunk_size is None and not fits and _more_queries(query, key):
            return *_attend_in_parts(query, key, value, mask, dropout, seed), None
        if chunk_size or not fits or (_is_long(key) and not (dropping or on_accelerator())):
            chunked = attend_in_chunks(query, key, value, mask, dropout, seed, chunk_size)
            return *chunked, None
    logits = logits_of(query, key, mask)  # [B, H, N, M], float32
    if keras.backend.backend() == "jax" and not (dropping or return_scores):
        # Dividing after the product passes once less over the weights.
        weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, -1, keepdims=True)))
        total = ops.sum(weights, axis=-1, keepdims=True)
        out = mix(weights, value) / ops.cast(total, value.dtype)
        return out, None, None
    # Of one key the weight is 1; Keras' softmax would warn.
    one = logits.shape[-1] == 1
    weights = ops.ones_like(logits) if one else ops.softmax(logits, axis=-1)
    if not dropping:
        return mix(weights, value), None, weights if return_scores else None
    dropped = drop(weights, dropout, seed)
    row_sums = ops.cast(ops.sum(dropped, axis=-1, keepdims=True), value.dtype)
    return mix(dropped, value), row_sums, weights if return_scores else None


def _attend_in_parts(query, key, value, mask, dropout, seed):
    """One head and some queries at a time, computed anew in the backward pass.

    Returns:
        As `attend_scaled`, without the weights.
    """
    length = query.shape[2]
    size = chunk_length(length, scores_bytes(query.shape[0], key.shape[2]))
    dropping = seed is not None and dropout > 0

    def attend(query, key, value, mask, seed):
        out, row_sums, _ = attend_scaled(query, key, value, mask, dropout, seed, False)
        return ops.concatenate([out, row_sums], axis=-1) if dropping else out

    def head(index, query, key, value, mask):
        def part(start, query, mask):
            own = seed_of_part(seed, index * length + start)
            return recompute(True, attend, query, key, value, mask, own)

        return map_chunks(part, size, 2, query, mask)

    out = map_chunks(head, 1, 1, query, key, value, mask)
    return (out[..., :-1], out[..., -1:]) if dropping else (out, None)


def _more_queries(query, key):
    return isinstance(query.shape[2], int) and query.shape[2] >= key.shape[2]


def _is_long(key):
    # An unknown size is None, or a symbol while JAX exports.
    return isinstance(key.shape[2], int) and key.shape[2] >= _MANY_KEYS


def _fits(query, key):
    """Whether all scores may be held at once. So they are if nobody knows the keys."""
    length = key.shape[2]
    return not isinstance(length, int) or scores_fit(*query.shape[:3], length)


def _suits_fused(query, key, value, fits):
    """Whether the backend has a fused kernel, and it is the best there is.

    On PyTorch: with other channels of values than of keys it holds all scores, and is
    slower than plain products on a CPU, and on a GPU fails (cuDNN's, PyTorch 2.11). On a
    CPU not where queries must be differentiated by, but not the keys, which is so when
    latents read raw inputs, unless they are long: its backward pass computes the
    gradients of keys and values all the same, and the scores once more.

    On JAX: cuDNN's, on a GPU, in half precision.
    """
    if keras.backend.backend() == "jax":
        return _suits_cudnn(query, key, value)
    if keras.backend.backend() != "torch":
        return False
    if key.shape[-1] != value.shape[-1]:
        return False
    if not fits or on_accelerator():
        return True
    return key.requires_grad or not query.requires_grad or _is_long(key)


def _suits_cudnn(query, key, value):
    channels, sizes = query.shape[-1], (*query.shape, key.shape[2])
    return (
        has_flash_attention()
        and query.dtype == key.dtype == value.dtype
        and query.dtype in ("bfloat16", "float16")
        and query.shape[1] == key.shape[1] == value.shape[1]
        and channels == value.shape[-1] <= _CUDNN_CHANNELS
        and channels % 8 == 0
        # Not while JAX exports, nor a token at a time; with a mask, even lengths only.
        and all(isinstance(n, int) for n in sizes)
        and query.shape[2] % 2 == key.shape[2] % 2 == 0
    )


def _attend_cudnn(query, key, value, mask):
    """Flash attention of cuDNN, which never holds all the scores."""
    import jax

    query, key, value = (ops.swapaxes(x, 1, 2) for x in (query, key, value))
    if mask is not None:
        mask = ops.broadcast_to(mask, (*mask.shape[:2], query.shape[1], key.shape[1]))
    out = jax.nn.dot_product_attention(
        query, key, value, mask=mask, scale=1.0, implementation="cudnn"
    )
    return ops.swapaxes(out, 1, 2)


def _attend_sdpa(query, key, value, mask):
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
