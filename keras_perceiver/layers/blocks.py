"""Pre-norm residual layers: latents read inputs, latents read each other."""

import keras

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.inner import call_inner
from keras_perceiver.layers.residual import ResidualAttention, norm
from keras_perceiver.layers.spec import AttentionSpec, check_positive
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.fusion import cut_fusion
from keras_perceiver.ops.loops import recompute
from keras_perceiver.ops.masks import attention_bias_mask, implicit_mask, zero_masked
from keras_perceiver.ops.norm import normalize


@keras.saving.register_keras_serializable("keras_perceiver")
class LatentCrossAttention(ResidualAttention):
    """Cross-attention of latents (or output queries) to inputs, and an MLP.

    Pre-norm: `x = latents + attention(norm(latents), norm(inputs))`, then
    `x + mlp(norm(x))`. The building block of encoder and decoder.

    Args:
        attention: an `AttentionSpec`.
        residual: add the latents to what attention returns. The decoders of the
            official language, flow and multimodal models do not.
        init_scale: standard deviation of the kernels' initial values.

    Call arguments:
        latents: `[B, N, D]`, or `[1, N, D]` if all examples share them.
        inputs: `[B, M, C]`.
        padding_mask: `[B, M]`, True at real inputs.
        attention_mask: `[B, N, M]` or `[B, H, N, M]`, True where a latent may look.
        return_attention_scores: also return the attention weights `[B, H, N, M]`.

    Returns:
        `[B, N, D]`.

    Example:
    >>> layer = LatentCrossAttention(AttentionSpec(num_heads=1))
    >>> tuple(layer(keras.ops.ones((2, 4, 8)), keras.ops.ones((2, 30, 5))).shape)
    (2, 4, 8)

    Reference:
        arXiv 2107.14795, section 3.1 and figure 5.
    """

    def __init__(
        self,
        attention=AttentionSpec(),  # noqa: B008 (frozen)
        residual=True,
        init_scale=0.02,
        **kwargs,
    ):
        super().__init__(attention, init_scale, **kwargs)
        self.residual = residual

    def build(self, latents_shape, inputs_shape):
        """Shapes are `[B, N, D]` and `[B, M, C]`."""
        self.query_norm = norm("query_norm", self.dtype_policy)
        self.query_norm.build(latents_shape)
        self.context_norm = norm("context_norm", self.dtype_policy)
        self.context_norm.build(inputs_shape)
        self._build(latents_shape, inputs_shape)
        super().build(latents_shape)

    def call(
        self,
        latents,
        inputs,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        """See the class docstring."""
        if padding_mask is None:
            padding_mask = implicit_mask(inputs)
        return self.update(
            latents,
            self.project(normalize(zero_masked(inputs, padding_mask)), latents.shape[1]),
            attention_bias_mask(padding_mask, attention_mask),
            self.draw_seeds(training),
            return_attention_scores,
            training,
        )

    def project(self, normalized, num_latents):
        """Keys and values of normalised inputs, computed once for all repeats."""
        scale, offset = self._context_affine()
        return self.attend.project(normalized, num_latents, scale, offset)

    def update(
        self,
        latents,
        projected,
        mask,
        seeds,
        return_attention_scores=False,
        training=None,
        chunk_size=None,
    ):
        """New latents, from inputs that `project` prepared."""
        scale, offset = self._context_affine()
        out = self.attend.mix(
            call_inner(self.query_norm, latents),
            projected,
            mask,
            seeds[0],
            scale,
            offset,
            return_attention_scores,
            chunk_size=chunk_size,
        )
        out, scores = out if return_attention_scores else (out, None)
        out = drop(out, self.attention.residual_dropout, seeds[1])
        x = latents + out if self.residual else out
        out = self._add_mlp(cut_fusion(x) if training else x, seeds[2])
        return (out, scores) if return_attention_scores else out

    def _context_affine(self):
        return self.context_norm.gamma, self.context_norm.beta

    def compute_output_spec(
        self,
        latents,
        inputs,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        """Symbolic result."""
        batch = inputs.shape[0] if latents.shape[0] in (1, None) else latents.shape[0]
        out = keras.KerasTensor((batch, *latents.shape[1:]), self.compute_dtype)
        if not return_attention_scores:
            return out
        shape = (batch, self.attention.num_heads, latents.shape[1], inputs.shape[1])
        return out, keras.KerasTensor(shape, "float32")


@keras.saving.register_keras_serializable("keras_perceiver")
class SelfAttentionLayer(ResidualAttention):
    """Pre-norm self-attention and MLP. One layer of a `SelfAttentionBlock`."""

    def build(self, latents_shape):
        """Shape is `[B, N, D]`."""
        self.norm = norm("norm", self.dtype_policy)
        self.norm.build(latents_shape)
        self._build(latents_shape, latents_shape)
        super().build(latents_shape)

    def call(self, latents, padding_mask=None, training=None):
        """New latents `[B, N, D]`."""
        latents = zero_masked(latents, padding_mask)
        mask = attention_bias_mask(padding_mask)
        return self.update(latents, mask, self.draw_seeds(training), training)

    def update(self, latents, mask, seeds, training=None, rotation=None):
        """New latents, with seeds drawn by the caller."""
        queries = call_inner(self.norm, latents)
        projected = self.attend.project(queries, None, rotation=rotation)
        return self.read(latents, queries, projected, mask, seeds, training, rotation)

    def read(self, latents, queries, projected, mask, seeds, training=None, rotation=None):
        """New latents, of normalised ones and projected keys and values."""
        out = self.attend.mix(queries, projected, mask, seeds[0], rotation=rotation)
        x = latents + drop(out, self.attention.residual_dropout, seeds[1])
        return self._add_mlp(cut_fusion(x) if training else x, seeds[2])

    def compute_output_shape(self, latents_shape, padding_mask_shape=None):
        """Unchanged."""
        return latents_shape


@keras.saving.register_keras_serializable("keras_perceiver")
class SelfAttentionBlock(Configured, keras.layers.Layer):
    """A stack of self-attention layers over latents.

    Args:
        num_layers: number of layers, each with weights of its own.
        attention: an `AttentionSpec`.
        init_scale: standard deviation of the kernels' initial values.
        remat: recompute each layer's activations in the backward pass instead of
            storing them: less memory for about a third more arithmetic. Gradients
            are the same, under dropout too.

    Call arguments:
        latents: `[B, N, D]`.
        padding_mask: `[B, N]`, True at real latents (they all are, in a Perceiver).

    Returns:
        `[B, N, D]`.

    Example:
    >>> block = SelfAttentionBlock(num_layers=2, attention=AttentionSpec(num_heads=2))
    >>> tuple(block(keras.ops.ones((3, 4, 8))).shape)
    (3, 4, 8)

    Reference:
        arXiv 2103.03206, section 3.1 (the latent transformer).
    """

    def __init__(
        self,
        num_layers=6,
        attention=AttentionSpec(),  # noqa: B008 (frozen)
        init_scale=0.02,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_layers", num_layers)
        self.num_layers = num_layers
        self.attention = attention
        self.init_scale = init_scale
        self.remat = remat
        self.supports_masking = True
        self.layers = [
            SelfAttentionLayer(
                attention, init_scale, dtype=self.dtype_policy, name=f"layer_{i}"
            )
            for i in range(num_layers)
        ]

    def build(self, latents_shape):
        """Shape is `[B, N, D]`."""
        for layer in self.layers:
            layer.build(latents_shape)
        super().build(latents_shape)

    def call(self, latents, padding_mask=None, training=None):
        """See the class docstring."""
        if padding_mask is None:
            padding_mask = implicit_mask(latents)
        latents = zero_masked(latents, padding_mask)
        mask = attention_bias_mask(padding_mask)
        for layer in self.layers:
            latents = recompute(
                self.remat and training,
                lambda x, mask, *seeds, layer=layer: layer.update(x, mask, seeds, training),
                latents,
                mask,
                *layer.draw_seeds(training),
            )
        return latents

    def compute_output_shape(self, latents_shape, padding_mask_shape=None):
        """Unchanged."""
        return latents_shape
