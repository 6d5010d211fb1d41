"""One token through a Perceiver AR: the layers' maths, without Keras around each.

For one token, what Keras does around a layer's call, or around a function's, takes
PyTorch longer than its product, and zeroing the masked slots of a cache longer than
reading it. Nothing in a cache can be NaN: empty slots hold zeros.
"""

import keras
from keras import ops

from keras_perceiver.ops.linear import linear_of_few
from keras_perceiver.ops.masks import attention_bias_mask
from keras_perceiver.ops.norm import EPSILON
from keras_perceiver.ops.plain import plain_ops
from keras_perceiver.ops.products import MASKED
from keras_perceiver.ops.rotary import rotate


def layers(model):
    """Those of a model's stack, for one token, each with whether it rotates.

    They hold the weights as they are now: make them anew once weights may have changed.
    """
    stack = model.get_layer("stack")
    first = TokenLayer(stack.cross, stack.cross.query_norm), True
    rest = [(TokenLayer(layer, layer.norm), r) for layer, r in stack.rotary_layers]
    return [first, *rest]


class TokenLayer:
    """A layer of Perceiver AR on one token.

    Args:
        layer: a `ResidualAttention`.
        first_norm: its norm of the queries.
    """

    def __init__(self, layer, first_norm):
        attend = layer.attend
        self.num_heads = attend.num_heads
        self.norm, self.mlp_norm = norm(first_norm), norm(layer.mlp_norm)
        self.query, self.key = dense(attend.query_dense), dense(attend.key_dense)
        self.value, self.output = dense(attend.value_dense), dense(attend.output_dense)
        self.mlp_in, self.mlp_out = dense(layer.mlp_in), dense(layer.mlp_out)
        self.activation = layer.activation

    def project(self, x, rotation):
        """Query, key and value of a token.

        Args:
            x: `[B, 1, D]`.
            rotation: of the token, see `keras_perceiver.ops.rotary_angles`, or None.

        Returns:
            `[B, H, 1, K]`, rotated, and `[B * H, 1, K]`, rotated, and `[B * H, 1, V]`.
        """
        x = self.norm(x)
        query, key, value = (self._heads(f(x)) for f in (self.query, self.key, self.value))
        reshape = plain_ops().reshape
        key = reshape(rotate(key, rotation), (-1, 1, key.shape[-1]))
        value = reshape(value, (-1, 1, value.shape[-1]))
        return rotate(query, rotation), key, value

    def attention(self, query, key, value, mask):
        """What a token gets from caches.

        Args:
            query: of `project`.
            key: `[B * H, W, K]`.
            value: `[B * H, W, V]`.
            mask: of `seen`.

        Returns:
            `[B, 1, D]`.
        """
        query = query * query.shape[-1] ** -0.5
        if keras.backend.backend() == "torch":
            # Of one query two products are faster than PyTorch's fused attention.
            logits = query.flatten(0, 1) @ key.mT  # [B * H, 1, W]
            logits = logits.float().unflatten(0, query.shape[:2]) + mask
            weights = logits.softmax(dim=-1).to(value.dtype).flatten(0, 1)
            out = weights @ value  # [B * H, 1, V]
        else:
            # Turning the keys around instead would take JAX five times as long.
            logits = ops.matmul(key, ops.reshape(query, (-1, query.shape[-1], 1)))
            shape = (-1, self.num_heads, 1, key.shape[1])
            logits = ops.reshape(ops.cast(logits, "float32"), shape)
            weights = ops.softmax(ops.where(mask, logits, MASKED), axis=-1)  # [B, H, 1, W]
            weights = ops.reshape(ops.cast(weights, value.dtype), (-1, 1, key.shape[1]))
            out = ops.matmul(weights, value)  # [B * H, 1, V]
        channels = self.num_heads * value.shape[-1]
        return self.output(plain_ops().reshape(out, (-1, 1, channels)))

    def mlp(self, x):
        """`x` `[B, 1, D]` and what the MLP adds to it."""
        return x + self.mlp_out(self.activation(self.mlp_in(self.mlp_norm(x))))

    def _heads(self, x):
        """`[B, 1, C] -> [B, H, 1, C / H]`: of one token, the same numbers in a row."""
        shape = (-1, self.num_heads, 1, x.shape[-1] // self.num_heads)
        return plain_ops().reshape(x, shape)


def seen(mask):
    """What `TokenLayer.attention` takes.

    Args:
        mask: `[B, W]`, 1 where a slot holds a token, 0 elsewhere; at least one does.

    Returns:
        `[B, 1, 1, W]`: bool, or on PyTorch what to add to logits.
    """
    if keras.backend.backend() != "torch":
        return attention_bias_mask(mask)
    return MASKED * (1.0 - mask[:, None, None])


def norm(layer):
    """A LayerNormalization of this library as a function."""
    if not _plain(layer):
        return layer
    if keras.backend.backend() != "torch":
        return layer.call
    from torch.nn.functional import layer_norm

    gamma, beta = layer.gamma.value, layer.beta.value
    return lambda x: layer_norm(x, gamma.shape, gamma, beta, EPSILON)


def dense(layer):
    """A Dense as a function: its product alone, unless it is quantized or adapted."""
    if not _plain(layer) or layer.quantization_mode is not None or layer.lora_enabled:
        return layer
    product = linear_of_few(layer.kernel.value)
    if layer.bias is None:
        return product
    bias = layer.bias.value
    return lambda x: product(x) + bias


def head(embedding):
    """A `TokenEmbedding` in reverse as a function, `[B, 1, D] -> [B, 1, V]`."""
    call = plain_call(embedding)
    if call is embedding or keras.backend.backend() == "torch":
        return lambda x: call(x, reverse=True)

    def logits(x):
        # XLA would turn the table around for each token; these vectors are small.
        vectors = ops.transpose(ops.reshape(x, (-1, x.shape[-1])))
        out = ops.transpose(ops.matmul(embedding.embeddings, vectors))[:, None]
        return ops.cast(out, embedding.reverse_dtype)

    return logits


def plain_call(layer):
    """A layer as a function, without what Keras does around its call where it may."""
    quantized = getattr(layer, "quantization_mode", None) is not None
    return layer.call if _plain(layer) and not quantized else layer


def _plain(layer):
    """Whether the layer computes in the type of its weights."""
    return layer.compute_dtype == layer.variable_dtype
