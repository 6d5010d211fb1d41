"""The Perceiver IO decoder: queries of any number read the latents."""

import keras

from keras_perceiver.layers.blocks import LatentCrossAttention
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.spec import AttentionSpec


@keras.saving.register_keras_serializable("keras_perceiver")
class PerceiverDecoder(Configured, keras.layers.Layer):
    """One cross-attention from output queries to latents, and its MLP.

    What the queries are (a learned array, positions, the inputs themselves) and
    what becomes of the outputs (a `Dense`, a tied embedding) is up to the model.

    Args:
        cross_attention: an `AttentionSpec`; one head by default, as in the
            official image models.
        query_residual: add the queries to what attention returns. Off in the
            official language, flow and multimodal models.
        init_scale: standard deviation of the kernels' initial values.

    Call arguments:
        queries: `[B, O, F]`.
        latents: `[B, N, D]`.
        return_attention_scores: also return the attention weights `[B, H, O, N]`.

    Returns:
        `[B, O, F]`. Each output depends on its own query alone.

    Example:
    >>> decoder = PerceiverDecoder()
    >>> tuple(decoder(keras.ops.ones((2, 7, 6)), keras.ops.ones((2, 4, 16))).shape)
    (2, 7, 6)

    Reference:
        arXiv 2107.14795, section 3.2.
    """

    def __init__(
        self,
        cross_attention=AttentionSpec(num_heads=1),  # noqa: B008 (frozen)
        query_residual=True,
        init_scale=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.cross = LatentCrossAttention(
            cross_attention,
            residual=query_residual,
            init_scale=init_scale,
            dtype=self.dtype_policy,
            name="cross_attention",
        )

    def build(self, queries_shape, latents_shape):
        """Shapes are `[B, O, F]` and `[B, N, D]`."""
        self.cross.build(queries_shape, latents_shape)
        super().build(queries_shape)

    def call(self, queries, latents, return_attention_scores=False, training=None):
        """See the class docstring."""
        return self.cross(
            queries,
            latents,
            return_attention_scores=return_attention_scores,
            training=training,
        )

    def compute_output_spec(
        self, queries, latents, return_attention_scores=False, training=None
    ):
        """Symbolic result."""
        return self.cross.compute_output_spec(
            queries, latents, return_attention_scores=return_attention_scores
        )
