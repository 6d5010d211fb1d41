"""Which projections of an attention layer to fold into the other side, and how.

Few queries that read a long context do so for less if the key and value projections are
folded into the queries' side (`ops.attend_folded`); many queries that read few keys, if
the query and output projections are folded into the keys' side
(`ops.attend_folded_queries`).
"""

import keras
from keras import ops

from keras_perceiver.ops.devices import on_accelerator
from keras_perceiver.ops.folded import project_heads

# Channels that a vector unit takes at a time.
_WIDTH = 8


def best_folding(attention, num_queries, num_keys):
    """What costs the least arithmetic: `"context"`, `"queries"`, or None for neither.

    Counted per example, from the static sizes; an unknown number of keys counts as
    many, and of an unknown number of queries nothing is folded.

    Args:
        attention: a built `Attention` layer.
        num_queries: N, or None if unknown.
        num_keys: M, or None if unknown.
    """
    dense = (
        attention.query_dense,
        attention.key_dense,
        attention.value_dense,
        attention.output_dense,
    )
    # An unknown size is None, or a symbol while JAX exports.
    known = isinstance(num_queries, int)
    if not known or any(d.quantization_mode is not None for d in dense):
        return None
    num_keys = num_keys if isinstance(num_keys, int) else 10**6
    return min(
        (None, "context", "queries"),
        key=lambda folding: attention_flops(attention, num_queries, num_keys, folding),
    )


def attention_flops(attention, num_queries, num_keys, folding=None):
    """FLOPs of the matrix products of an attention layer, for one example."""
    heads = attention.num_heads
    query_channels, qk_channels = attention.query_dense.kernel.shape
    context_channels, _ = attention.key_dense.kernel.shape
    v_channels, output_channels = attention.output_dense.kernel.shape
    query_side = query_channels * qk_channels + v_channels * output_channels
    context_side = context_channels * (qk_channels + v_channels)
    if folding == "context":
        per_score, query_side = 2 * heads * context_channels, query_side + context_side
        context_side = 0
    elif folding == "queries":
        per_score = heads * sum(_folded_channels(query_channels, output_channels))
        context_side, query_side = context_side + query_side + qk_channels, 0
    else:
        per_score = qk_channels + v_channels
    scores = num_queries * num_keys * per_score
    return 2 * (num_queries * query_side + num_keys * context_side + scores)


def folded_queries(attention, key, value):
    """Keys and values with the query and output projections folded in.

    Args:
        attention: a built `Attention` layer.
        key: `[B, H, M, K]`.
        value: `[B, H, M, V]`.

    Returns:
        Key, value and tail, see `keras_perceiver.ops.attend_folded_queries`.
    """
    heads, dtype = attention.num_heads, attention.compute_dtype
    key = key * ops.cast(key.shape[-1] ** -0.5, dtype)

    def by_head(x):  # [., H*K] -> [H, K, .]
        x = ops.reshape(ops.cast(x, dtype), (-1, heads, key.shape[-1]))
        return ops.transpose(x, (1, 2, 0))

    if attention.qkv_bias:
        key_bias = project_heads(key, by_head(attention.query_dense.bias))
    else:
        key_bias = ops.zeros_like(key[..., :1])
    output = ops.cast(attention.output_dense.kernel, dtype)  # [H*V, E]
    output = ops.reshape(output, (heads, value.shape[-1], output.shape[-1]))
    key = project_heads(key, by_head(attention.query_dense.kernel))  # [B, H, M, F]
    value = project_heads(value, output)
    channels = key.shape[-1]
    key_channels, value_channels = _folded_channels(channels, value.shape[-1])
    key = _widened(ops.concatenate([key, key_bias], axis=-1), key_channels)
    tail = ops.cast(ops.arange(key_channels - channels) == 0, dtype)  # 1, 0, 0, ...
    return key, _widened(value, value_channels), tail


def _folded_channels(query_channels, output_channels):
    """Channels of keys and values that `folded_queries` gives.

    One more than queries have, and those of outputs; and with zeros after them as many
    of both, if that takes at most a quarter more, where PyTorch's fused attention on a
    CPU would else hold all the scores.
    """
    key, value = query_channels + 1, output_channels
    widest = _WIDTH * -(-max(key, value) // _WIDTH)
    fused = keras.backend.backend() == "torch" and not on_accelerator()
    return (widest, widest) if fused and 8 * widest <= 5 * (key + value) else (key, value)


def _widened(x, channels):
    """`x` `[B, H, M, C]` with zeros after its channels."""
    return ops.pad(x, (*[(0, 0)] * 3, (0, channels - x.shape[-1])))


def folded_kernels(attention, scale=None, offset=None):
    """What `ops.attend_folded` takes, by head, a norm folded in.

    With a context `c * scale + offset`, the scale goes into both kernels. The offset
    adds one number to all scores of a query, which cancels in the softmax, and
    `offset Wv` to the value bias.

    Args:
        attention: a built `Attention` layer.
        scale: `[C]`, or None for a context without a norm.
        offset: `[C]`, or None.

    Returns:
        `[C, H, K]`, `[C, H, V]`, and `[H, V]` or None.
    """

    def cast(weight):
        return ops.cast(weight, attention.compute_dtype)

    def by_head(x, heads=attention.num_heads):
        return ops.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads))

    key_kernel = cast(attention.key_dense.kernel)  # [C, H*K]
    value_kernel = cast(attention.value_dense.kernel)  # [C, H*V]
    bias = None
    if attention.qkv_bias:
        # The key bias cancels in the softmax. Its gradient is then zero, and must
        # not be missing: optimizers warn about weights without one.
        absent = 0 * ops.sum(cast(attention.key_dense.bias))
        bias = cast(attention.value_dense.bias) + absent  # [H*V]
    if scale is not None:
        shift = ops.matmul(cast(offset)[None], value_kernel)[0]  # [H*V]
        bias = shift if bias is None else bias + shift
        scale = cast(scale)[:, None]
        key_kernel, value_kernel = key_kernel * scale, value_kernel * scale
    bias = None if bias is None else by_head(bias)
    return by_head(key_kernel), by_head(value_kernel), bias
