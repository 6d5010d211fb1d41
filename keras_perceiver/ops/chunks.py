"""Attention to chunks of keys in turn: never all scores at once, nor in the gradient."""

import math

import keras
from keras import ops

from keras_perceiver.ops.devices import on_accelerator
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.dropout import seed_of_part
from keras_perceiver.ops.products import (
    MASKED,
    logits_of,
    merge_heads,
    mix,
    per_head_matmul,
)

# Bytes of float32 scores that an attention may hold at once: 128 MB. What would take
# more goes in chunks, whose scores are computed anew in the backward pass.
SCORES_BUDGET = 2**27
# Those of one chunk, which fit the caches of a CPU.
_CHUNK_BYTES = 2**22
# Both are so many times larger on a GPU or TPU, which small chunks would leave idle.
_ACCELERATED = 16
# Fewer keys at a time would make slow, narrow products.
_FEWEST_KEYS = 128


def scores_bytes(*sizes):
    """Bytes of float32 scores `[B, H, N, M]`; a size that is not known counts as 1."""
    # An unknown size is None, or a symbol while JAX exports.
    return 4 * math.prod(n for n in sizes if isinstance(n, int))


def scores_fit(*sizes):
    """Whether scores of these sizes may be held at once, see `scores_bytes`."""
    return scores_bytes(*sizes) <= SCORES_BUDGET * _scale()


def _scale():
    return _ACCELERATED if on_accelerator() else 1


def chunk_length(length, bytes_each, least=1):
    """How many keys, or queries, to take at a time, of `length` that are there.

    Equal chunks without a rest, unless that takes over twice as many: putting a rest
    aside copies all that is there.

    Args:
        length: an integer.
        bytes_each: of the scores of one.
        least: to take at a time, whatever their scores are.
    """
    fewest = -(-length // max(least, _CHUNK_BYTES * _scale() // bytes_each))
    counts = (n for n in range(fewest, 2 * fewest + 1) if length % n == 0)
    return -(-length // next(counts, fewest))


def attend_in_chunks(query, key, value, mask, dropout, seed, size=None):
    """Attention to `size` keys at a time, by a running softmax (arXiv 2112.05682).

    Memory is that of the arguments and of one chunk. The gradient computes the scores
    of each chunk anew, and drops the same weights.

    Args:
        query: `[B, H, N, K]`, scaled.
        key: `[B, H, M, K]` or `[B, 1, M, K]`, M a static number.
        value: `[B, H, M, V]` or `[B, 1, M, V]`; may be `key` itself.
        mask: bool, broadcastable to `[B, H, N, M]`, or None.
        dropout: rate on the attention weights.
        seed: of dropout; each chunk has one of its own, derived from it. None to drop
            nothing.
        size: keys at a time; None for as many as suits a CPU.

    Returns:
        Output `[B, H, N, V]`; and what dropout left of the sum of each row of weights,
        `[B, H, N, 1]`, or None for 1.
    """
    length, same = key.shape[2], value is key
    if size is None:
        size = chunk_length(length, scores_bytes(*query.shape[:3]), _FEWEST_KEYS)
    size = min(size, length)
    dropping = seed is not None and dropout > 0

    def chunks(step, state):
        """`step(start, size, state)` for each chunk in turn."""
        count, rest = divmod(length, size)
        state = ops.fori_loop(0, count, lambda i, s: step(i * size, size, s), state)
        return step(count * size, rest, state) if rest else state

    def cut(query, key, value, start, size):
        """Logits, keys and values of one chunk."""
        keys = _slice(key, start, size, axis=2)
        values = keys if same else _slice(value, start, size, axis=2)
        part = mask
        if mask is not None and mask.shape[3] != 1:
            part = _slice(mask, start, size, axis=3)
        return logits_of(query, keys, part), keys, values

    def dropped(weights, start):
        return drop(weights, dropout, seed_of_part(seed, start))

    def forward(query, key, value):
        def step(start, size, state):
            out, total, peak = state
            logits, _, values = cut(query, key, value, start, size)
            new_peak = ops.maximum(peak, ops.max(logits, axis=-1, keepdims=True))
            decay = ops.exp(peak - new_peak)
            weights = ops.exp(logits - new_peak)
            total = total * decay + ops.sum(weights, axis=-1, keepdims=True)
            weights = dropped(weights, start)
            mixed = ops.cast(mix(weights, values), "float32")
            if dropping:  # what is left of the row's sum, as one more channel
                kept = ops.sum(weights, axis=-1, keepdims=True)
                mixed = ops.concatenate([mixed, kept], axis=-1)
            return out * decay + mixed, total, new_peak

        rows, channels = ops.shape(query)[:3], value.shape[-1] + dropping
        zeros = ops.zeros((*rows, 1), dtype="float32")
        state = ops.zeros((*rows, channels), dtype="float32"), zeros, zeros + MASKED
        out, total, peak = chunks(step, state)
        return out / total, total, peak

    def backward(query, key, value, out, total, peak, upstream):
        upstream = ops.cast(upstream, "float32")
        balance = ops.sum(upstream * out, axis=-1, keepdims=True)
        d_out = ops.cast(upstream[..., : value.shape[-1]], value.dtype)

        def step(start, size, state):
            d_query, *d_context = state
            logits, keys, values = cut(query, key, value, start, size)
            weights = ops.exp(logits - peak) / total
            d_weights = per_head_matmul(d_out, ops.swapaxes(values, -1, -2))
            d_weights = ops.cast(d_weights, "float32")
            if dropping:
                d_weights = dropped(d_weights + upstream[..., -1:], start)
            d_logits = ops.cast(weights * (d_weights - balance), key.dtype)
            weights = ops.cast(dropped(weights, start), value.dtype)
            parts = [_to_keys(d_logits, query, key), _to_keys(weights, d_out, value)]
            if same:
                parts = [parts[0] + parts[1]]
            d_query = d_query + ops.cast(per_head_matmul(d_logits, keys), "float32")
            return d_query, *(_write(*x, start) for x in zip(d_context, parts, strict=True))

        contexts = (key,) if same else (key, value)
        state = ops.zeros_like(query, dtype="float32"), *map(ops.zeros_like, contexts)
        d_query, *d_context = chunks(step, state)
        return ops.cast(d_query, query.dtype), *d_context

    @ops.custom_gradient
    def attend(query, *context):
        key, value = context[0], context[-1]
        out, total, peak = forward(query, key, value)
        # PyTorch would keep alive what holds its own history.
        kept = ops.stop_gradient(out)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # Keras' convention
            return backward(query, key, value, kept, total, peak, upstream)

        return ops.cast(out, value.dtype), gradient

    out = attend(query, *((key,) if same else (key, value)))
    return (out[..., :-1], out[..., -1:]) if dropping else (out, None)


def _slice(x, start, size, axis):
    starts = [0] * 4
    starts[axis] = start
    shape = [size if i == axis else n for i, n in enumerate(ops.shape(x))]
    return ops.slice(x, starts, shape)


def _to_keys(x, y, like):
    """`[B, H, N, M]^T x [B, H, N, C] -> [B, H|1, M, C]`, as many heads as `like` has."""
    if like.shape[1] == 1:
        x, y = merge_heads(x), merge_heads(y)
    return ops.matmul(ops.swapaxes(x, -1, -2), ops.cast(y, x.dtype))


def _write(x, part, start):
    """`x` with `part` from key number `start` on."""
    if keras.backend.backend() == "torch":  # in place: Keras would copy all of `x`
        x[:, :, start : start + part.shape[2]] = part
        return x
    return ops.slice_update(x, (0, 0, start, 0), ops.cast(part, x.dtype))
