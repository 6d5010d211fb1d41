"""One token through a Perceiver AR: the layers' maths, without Keras around each.

For one token, what Keras does around a layer's call takes PyTorch longer than its
product, and zeroing the masked slots of a cache longer than reading it. Nothing in a
cache can be NaN: empty slots hold zeros.
"""

from keras import ops

from keras_perceiver.ops.kernels import MASKED
from keras_perceiver.ops.rotary import rotate


def attention(layer, x, key, value, mask, rotation):
    """What an `Attention` layer makes of one token and caches.

    Args:
        layer: an `Attention`.
        x: normalised, `[B, 1, D]`.
        key: `[B * H, W, K]`, rotated.
        value: `[B * H, W, V]`.
        mask: bool `[B, 1, 1, W]`, True where a slot holds a token: at least one.
        rotation: of the token, or None.

    Returns:
        `[B, 1, E]`.
    """
    query = rotate(heads(layer, dense(layer.query_dense, x)), rotation)
    query = ops.reshape(query * query.shape[-1] ** -0.5, (-1, query.shape[-1], 1))
    # Turning the keys around instead would take JAX five times as long.
    logits = ops.matmul(key, query)  # [B * H, W, 1]
    size = key.shape[1]
    logits = ops.reshape(ops.cast(logits, "float32"), (-1, layer.num_heads, 1, size))
    weights = ops.softmax(ops.where(mask, logits, MASKED), axis=-1)  # [B, H, 1, W]
    weights = ops.reshape(ops.cast(weights, value.dtype), (-1, 1, size))
    out = ops.matmul(weights, value)  # [B * H, 1, V]
    out = ops.reshape(out, (-1, 1, layer.num_heads * value.shape[-1]))
    return dense(layer.output_dense, out)


def key_and_value(layer, x, rotation):
    """Of one token `[B, 1, D]`: `[B * H, 1, K]`, rotated, and `[B * H, 1, V]`."""
    key, value = (heads(layer, dense(d, x)) for d in (layer.key_dense, layer.value_dense))
    return tuple(
        ops.reshape(y, (-1, 1, y.shape[-1])) for y in (rotate(key, rotation), value)
    )


def mlp(layer, x):
    """`x` `[B, 1, D]` and what the layer's MLP adds to it."""
    hidden = layer.activation(dense(layer.mlp_in, norm(layer.mlp_norm, x)))
    return x + dense(layer.mlp_out, hidden)


def heads(layer, x):
    """`[B, 1, C] -> [B, H, 1, C / H]`: of one token, the same numbers in a row."""
    return ops.reshape(x, (-1, layer.num_heads, 1, x.shape[-1] // layer.num_heads))


def norm(layer, x):
    """`layer(x)` of a LayerNormalization."""
    return layer.call(x) if _plain(layer) else layer(x)


def dense(layer, x):
    """`layer(x)` of a Dense: its product alone, unless it is quantized or adapted."""
    if not _plain(layer) or layer.quantization_mode is not None or layer.lora_enabled:
        return layer(x)
    x = ops.matmul(x, layer.kernel.value)
    return x if layer.bias is None else x + layer.bias.value


def _plain(layer):
    """Whether the layer computes in the type of its weights."""
    return layer.compute_dtype == layer.variable_dtype
