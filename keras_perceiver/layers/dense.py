"""Keras' projections, with the matrix product that is fast on each backend."""

import keras
from keras import ops

from keras_perceiver.layers.initializers import normal
from keras_perceiver.ops.devices import on_accelerator
from keras_perceiver.ops.linear import linear

# Gradients of so few vectors are a product on a GPU or TPU: adding up 65,536 of them one
# by one took 1.9 ms of 11 that a training step of the byte model had (H100).
_FEW_IDS = 1024


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
            return self._product(inputs) if self._suits_product() else super().call(inputs)
        kernel = ops.cast(ops.transpose(self.embeddings), inputs.dtype)
        return ops.cast(linear(inputs, kernel), self.reverse_dtype)

    def _suits_product(self):
        return (
            keras.backend.backend() == "jax"
            and self.input_dim <= _FEW_IDS
            and self.compute_dtype in ("bfloat16", "float16")
            and on_accelerator()
        )

    def _product(self, inputs):
        """The same vectors as a product, exact in half precision: one factor is 1."""
        chosen = ops.one_hot(inputs, self.input_dim, dtype=self.compute_dtype)
        return ops.matmul(chosen, ops.cast(self.embeddings, self.compute_dtype))

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
        embeddings_initializer=normal(init_scale),
        reverse_dtype="float32",
        name=name,
    )
