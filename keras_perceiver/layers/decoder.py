"""The Perceiver IO decoder: queries of any number read the latents."""

import keras

from keras_perceiver.layers.blocks import LatentCrossAttention
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.residual import in_chunks
from keras_perceiver.layers.spec import AttentionSpec, check_positive
from keras_perceiver.ops.chunks import chunk_length, scores_bytes, scores_fit
from keras_perceiver.ops.masks import attention_bias_mask, implicit_mask, zero_masked
from keras_perceiver.ops.norm import normalize


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
        chunk_size: queries to answer at a time, which bounds memory; in training, what
            a chunk computed is computed anew in the backward pass. Outputs and
            gradients are the same, except that dropout drops other weights. None to
            choose: all at once, unless their attention scores would take over 128 MB.

    Call arguments:
        queries: `[B, O, F]`.
        latents: `[B, N, D]`.
        return_attention_scores: also return the attention weights `[B, H, O, N]`, for
            which all queries are answered at once.

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
        chunk_size=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if chunk_size is not None:
            check_positive("chunk_size", chunk_size)
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.chunk_size = chunk_size
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
        if return_attention_scores:
            return self.cross(
                queries, latents, return_attention_scores=True, training=training
            )
        padding_mask = implicit_mask(latents)
        latents = normalize(zero_masked(latents, padding_mask))
        projected = self.cross.project(latents, queries.shape[1])

        def answer(queries, mask, *rest):
            projected, seeds = rest[:-3], rest[-3:]
            return self.cross.update(queries, projected, mask, seeds, training=training)

        return in_chunks(
            self.cross,
            answer,
            self._queries_at_once(queries.shape, latents.shape),
            training,
            queries,
            (attention_bias_mask(padding_mask), *projected),
            self.cross.draw_seeds(training),
        )

    def _queries_at_once(self, queries_shape, latents_shape):
        """Queries per chunk, or None for all; unknown sizes count as 1."""
        length = queries_shape[1]
        sizes = (latents_shape[0], self.cross_attention.num_heads, latents_shape[1])
        if self.chunk_size is not None or not isinstance(length, int):
            return self.chunk_size
        if scores_fit(*sizes, length):
            return None
        return chunk_length(length, scores_bytes(*sizes))

    def compute_output_spec(
        self, queries, latents, return_attention_scores=False, training=None
    ):
        """Symbolic result."""
        return self.cross.compute_output_spec(
            queries, latents, return_attention_scores=return_attention_scores
        )
