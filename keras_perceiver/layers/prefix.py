"""Perceiver AR: the last positions read everything before them, causally."""

import keras
from keras import ops

from keras_perceiver.layers.blocks import SelfAttentionLayer
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.residual import ResidualAttention, norm, recompute
from keras_perceiver.layers.spec import AttentionSpec, check_positive, check_rate
from keras_perceiver.ops.dropout import FixedSeed
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.masks import as_bool, attention_bias_mask, check_rank, zero_masked
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
        queries = self.query_norm(latents)
        projected = self.attend.project(self.keys(queries, prefix), None, rotation=rotation)
        return self.read(latents, queries, projected, mask, rotation, seeds)

    def keys(self, queries, prefix):
        """Normalised inputs of key and value projections, `[B, P + L, D]`."""
        return ops.concatenate([self.context_norm(prefix), queries], axis=1)

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


@keras.saving.register_keras_serializable("keras_perceiver")
class PerceiverAR(Configured, keras.layers.Layer):
    """The stack of Perceiver AR: one causal cross-attention, then causal layers.

    The last `max_latents` positions become latents and read all positions before
    them once; what follows works on the latents alone, so its cost does not grow
    with the length of the sequence.

    Args:
        max_latents: largest number of latents, L.
        num_layers: causal self-attention layers after the cross-attention.
        attention: an `AttentionSpec` for all attentions and MLPs.
        num_rotary_layers: how many of these layers rotate queries and keys, the
            first ones; -1 for all. The cross-attention always does.
        rotary_fraction: part of each head's channels that is rotated: 0.5 beside
            learned positions, else 1.
        prefix_dropout: fraction of the prefix's positions that are left out in
            training; what is left out costs nothing.
        init_scale: standard deviation of the kernels' initial values.
        remat: recompute activations, layer by layer, in the backward pass.

    Call arguments:
        inputs: embedded tokens `[B, S, D]`.
        padding_mask: `[B, S]`, True at tokens; padding stands on the left.

    Returns:
        `[B, min(max_latents, S), D]`: one vector for each of the last positions,
        which depends on tokens up to it only.

    Raises:
        ValueError: a number out of its range, or inputs of another rank.

    Example:
    >>> stack = PerceiverAR(4, num_layers=1, attention=AttentionSpec(num_heads=2))
    >>> tuple(stack(keras.ops.ones((2, 100, 16))).shape)
    (2, 4, 16)

    Reference:
        arXiv 2202.07765, section 3.
    """

    def __init__(
        self,
        max_latents=512,
        num_layers=8,
        attention=AttentionSpec(widening_factor=4),  # noqa: B008 (frozen)
        num_rotary_layers=1,
        rotary_fraction=0.5,
        prefix_dropout=0.5,
        init_scale=0.02,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("max_latents", max_latents)
        check_positive("num_layers", num_layers)
        check_rate("prefix_dropout", prefix_dropout)
        if not -1 <= num_rotary_layers <= num_layers:
            raise ValueError(
                f"`num_rotary_layers` must lie between -1 and num_layers={num_layers}. "
                f"Received: num_rotary_layers={num_rotary_layers}"
            )
        self.max_latents = max_latents
        self.num_layers = num_layers
        self.attention = attention
        self.num_rotary_layers = num_rotary_layers
        self.rotary_fraction = rotary_fraction
        self.prefix_dropout = prefix_dropout
        self.init_scale = init_scale
        self.remat = remat
        self.supports_masking = True
        self._prefix_seeds = keras.random.SeedGenerator() if prefix_dropout else None
        self.cross = CausalPrefixAttention(
            attention,
            rotary_fraction,
            init_scale,
            dtype=self.dtype_policy,
            name="cross_attention",
        )
        self.layers = [
            CausalSelfAttentionLayer(
                attention, init_scale, dtype=self.dtype_policy, name=f"layer_{i}"
            )
            for i in range(num_layers)
        ]

    @property
    def rotary_layers(self):
        """Each layer with whether it rotates."""
        count = self.num_layers if self.num_rotary_layers < 0 else self.num_rotary_layers
        return [(layer, i < count) for i, layer in enumerate(self.layers)]

    def build(self, inputs_shape, padding_mask_shape=None):
        """Shape of the inputs is `[B, S, D]`."""
        if len(inputs_shape) != 3:
            raise ValueError(
                "`inputs` must have shape [batch, length, channels]. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )
        shape = (None, self.max_latents, inputs_shape[-1])
        for layer in (self.cross, *self.layers):
            layer.build(shape)
        super().build(inputs_shape)

    def call(self, inputs, padding_mask=None, training=None):
        """See the class docstring."""
        check_rank("inputs", inputs, (3,), "[B, S, D]")
        inputs = zero_masked(inputs, padding_mask)
        length = ops.shape(inputs)[1]
        if isinstance(length, int):
            prefix_length = max(length - self.max_latents, 0)
        else:
            prefix_length = ops.maximum(length - self.max_latents, 0)
        prefix, latents = inputs[:, :prefix_length], inputs[:, prefix_length:]
        positions = positions_of(padding_mask, length)
        own_mask = None if padding_mask is None else padding_mask[:, prefix_length:]
        own_positions = positions[:, prefix_length:]
        if training and self.prefix_dropout:
            prefix, positions, padding_mask = self._drop_prefix(
                prefix, positions, padding_mask, prefix_length
            )
        rotation = rotary_angles(positions, self.cross.rotary_channels)
        x = recompute(
            self.remat and training,
            lambda x, prefix, cosine, sine, *seeds: self.cross.update(
                x, prefix, attention_bias_mask(padding_mask), (cosine, sine), seeds
            ),
            latents,
            prefix,
            *rotation,
            *self.cross.draw_seeds(training),
        )
        mask = attention_bias_mask(own_mask)
        own_rotation = rotary_angles(own_positions, self.cross.rotary_channels)
        for layer, rotates in self.rotary_layers:
            x = recompute(
                self.remat and training,
                lambda x, cosine, sine, *seeds, layer=layer, rotates=rotates: layer.update(
                    x, mask, seeds, training, (cosine, sine) if rotates else None
                ),
                x,
                *own_rotation,
                *layer.draw_seeds(training),
            )
        return x

    def _drop_prefix(self, prefix, positions, padding_mask, prefix_length):
        """Prefix, positions and mask without positions drawn at random, per example."""
        batch = ops.shape(prefix)[0]
        dropped = ops.cast(
            ops.floor(ops.cast(prefix_length, "float32") * self.prefix_dropout), "int32"
        )
        if isinstance(prefix_length, int):
            dropped = int(prefix_length * self.prefix_dropout)
        kept = prefix_length - dropped
        scores = keras.random.uniform(
            (batch, prefix_length), seed=FixedSeed(self._prefix_seeds.next())
        )
        index = ops.sort(ops.argsort(scores, axis=1)[:, :kept], axis=1)  # [B, kept]

        def keep(x):
            x = ops.broadcast_to(x, (batch, ops.shape(x)[1]))
            chosen = ops.take_along_axis(x[:, :prefix_length], index, axis=1)
            return ops.concatenate([chosen, x[:, prefix_length:]], axis=1)

        if padding_mask is not None:
            padding_mask = keep(ops.cast(as_bool(padding_mask), "int32"))
        prefix = ops.take_along_axis(prefix, index[..., None], axis=1)
        return prefix, keep(positions), padding_mask

    def compute_mask(self, *args, **kwargs):
        """None: the result has no padding that anyone reads."""

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        """`[B, min(max_latents, S), D]`."""
        length = inputs_shape[1]
        length = None if length is None else min(length, self.max_latents)
        return (inputs_shape[0], length, inputs_shape[2])


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
