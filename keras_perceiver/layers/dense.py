"""Keras' projections, with the matrix product that is fast on each backend."""

import keras
from keras import ops

from keras_perceiver.ops.linear import linear


class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, without an activation, by `keras_perceiver.ops.linear`."""

    def call(self, inputs, training=None):
        """`[..., C] -> [..., E]`."""
        bias = None if self.bias is None else ops.convert_to_tensor(self.bias)
        return linear(inputs, ops.convert_to_tensor(self.kernel), bias)

    def quantize(self, mode=None, type_check=True, config=None):
        """As Keras does; it would refuse a subclass, which might compute otherwise."""
        super().quantize(mode, type_check=False, config=config)


class TokenEmbedding(keras.layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding` with tied weights, likewise."""

    def call(self, inputs, reverse=False):
        """Ids `[B, S]` to vectors `[B, S, C]`; in reverse, vectors to logits."""
        if not reverse:
            return super().call(inputs)
        kernel = ops.cast(ops.transpose(self.embeddings), inputs.dtype)
        return ops.cast(linear(inputs, kernel), self.reverse_dtype)

    def quantize(self, mode=None, type_check=True, config=None):
        """As Keras does; it would refuse a subclass, which might compute otherwise."""
        super().quantize(mode, type_check=False, config=config)


def token_embedding(vocab_size, channels, init_scale, name="token_embedding"):
    """The embedding of a text model, `[B, S] -> [B, S, C]`, float32 in reverse.

    Args:
        vocab_size: number of token ids, V.
        channels: of the vectors, C.
        init_scale: standard deviation of their initial values.
        name: of the layer.
    """
    return TokenEmbedding(
        vocab_size,
        channels,
        embeddings_initializer=keras.initializers.RandomNormal(0.0, init_scale),
        reverse_dtype="float32",
        name=name,
    )
