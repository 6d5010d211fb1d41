"""Perceiver AR: the last positions read everything before them, causally."""

import keras
from keras import ops

from keras_perceiver.layers.blocks import SelfAttentionLayer
from keras_perceiver.layers.inner import call_inner
from keras_perceiver.layers.residual import ResidualAttention, norm
from keras_perceiver.layers.spec import AttentionSpec
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.masks import attention_bias_mask, check_rank, zero_masked
from keras_perceiver.ops.rotary import rotary_angles, shifted_positions


@keras.saving.register_keras_serializable("keras_perceiver")
class CausalPrefixAttention(ResidualAttention):
    """Causal cross-attention of the last positions to a prefix and to themselves.

    Pre-norm, residual, followed by an MLP. Keys of the prefix and of the latents have
    norms of their own, those of the latents the queries' norm; latent `n` sees the
    prefix and the latents up to itself. Query and key channels are rotated by position.

    Args:
        attention: an `AttentionSpec`; `dropout` and `residual_dropout` are those of
            the weights and of what is added. The reference widens the MLP by 4.
        rotary_fraction: part of each head's channels that is rotated: 0.5 beside
            learned positions, else 1.
        init_scale: standard deviation of the kernels' initial values.

    Call arguments:
        latents: `[B, L, D]`, the last positions of the sequence.
        prefix: `[B, P, D]`, the positions before them; P may be 0.
        padding_mask: `[B, P + L]`, True at real positions, padding on the left.

    Returns:
        `[B, L, D]`.

    Raises:
        ValueError: a fraction out of (0, 1], or one that leaves no even number of
            channels to rotate.

    Example:
    >>> layer = CausalPrefixAttention(AttentionSpec(num_heads=2))
    >>> latents, prefix = keras.ops.ones((1, 4, 8)), keras.ops.ones((1, 20, 8))
    >>> tuple(layer(latents, prefix).shape)
    (1, 4, 8)

    Reference:
        arXiv 2202.07765, section 3.1; krasserm/perceiver-io, `CrossAttention`.
    """

    qkv_bias = mlp_bias = False
    causal = True

    def __init__(
        self,
        attention=AttentionSpec(widening_factor=4),  # noqa: B008 (frozen)
        rotary_fraction=0.5,
        init_scale=0.02,
        **kwargs,
    ):
        super().__init__(attention, init_scale, **kwargs)
        if not 0 < rotary_fraction <= 1:
            raise ValueError(
                "`rotary_fraction` must lie in (0, 1]. "
                f"Received: rotary_fraction={rotary_fraction}"
            )
        self.rotary_fraction = rotary_fraction

    def build(self, latents_shape, prefix_shape=None):
        """Shapes are `[B, L, D]` and `[B, P, D]`."""
        self.query_norm = norm("query_norm", self.dtype_policy)
        self.query_norm.build(latents_shape)
        self.context_norm = norm("context_norm", self.dtype_policy)
        self.context_norm.build(latents_shape)
        self._build(latents_shape, latents_shape)
        self.rotary_channels = rotary_channels(self, self.rotary_fraction)
        super().build(latents_shape)

    def call(self, latents, prefix, padding_mask=None, training=None):
        """See the class docstring."""
        check_rank("prefix", prefix, (3,), "[B, P, D]")
        prefix_length, length = ops.shape(prefix)[1], ops.shape(latents)[1]
        positions = positions_of(padding_mask, prefix_length + length)
        if padding_mask is not None:
            prefix = zero_masked(prefix, padding_mask[:, :prefix_length])
            latents = zero_masked(latents, padding_mask[:, prefix_length:])
        return self.update(
            latents,
            prefix,
            attention_bias_mask(padding_mask),
            rotary_angles(positions, self.rotary_channels),
            self.draw_seeds(training),
        )

    def update(self, latents, prefix, mask, rotation, seeds):
        """New latents; `rotation` is of prefix and latents, `[B, 1, P + L, R / 2]`."""
        queries = call_inner(self.query_norm, latents)
        projected = self.attend.project(self.keys(queries, prefix), None, rotation=rotation)
        return self.read(latents, queries, projected, mask, rotation, seeds)

    def keys(self, queries, prefix):
        """Normalised inputs of key and value projections, `[B, P + L, D]`."""
        return ops.concatenate([call_inner(self.context_norm, prefix), queries], axis=1)

    def read(self, latents, queries, projected, mask, rotation, seeds):
        """New latents, of normalised ones and projected keys and values."""
        length = ops.shape(queries)[1]
        own = tuple(part[:, :, -length:] for part in rotation)
        out = self.attend.mix(queries, projected, mask, seeds[0], rotation=own)
        x = latents + drop(out, self.attention.residual_dropout, seeds[1])
        return self._add_mlp(x, seeds[2])

    def compute_output_shape(
        self, latents_shape, prefix_shape=None, padding_mask_shape=None
    ):
        """That of the latents."""
        return latents_shape


class CausalSelfAttentionLayer(SelfAttentionLayer):
    """Pre-norm causal self-attention and MLP, without a bias anywhere."""

    qkv_bias = output_bias = mlp_bias = False
    causal = True


def rotary_channels(layer, fraction):
    """Channels per head that `layer`, which is built, rotates: an even number."""
    channels = layer.attend.key_dense.units // layer.attend.num_heads
    rotated = int(channels * fraction)
    if rotated < 2 or rotated % 2:
        raise ValueError(
            "`rotary_fraction` must leave an even number of channels per head to rotate. "
            f"Received: rotary_fraction={fraction} of {channels} channels"
        )
    return rotated


def positions_of(padding_mask, length):
    """Positions `[B, length]`, or `[1, length]` without a mask."""
    if padding_mask is None:
        return ops.arange(length, dtype="int32")[None]
    return shifted_positions(padding_mask)
