"""The stack of Perceiver AR."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.prefix import (
    CausalPrefixAttention,
    CausalSelfAttentionLayer,
    positions_of,
)
from keras_perceiver.layers.spec import AttentionSpec, check_positive, check_rate
from keras_perceiver.ops.dropout import FixedSeed
from keras_perceiver.ops.loops import recompute
from keras_perceiver.ops.masks import as_bool, attention_bias_mask, check_rank, zero_masked
from keras_perceiver.ops.rotary import rotary_angles


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
        # Slices count from the end, so that any length will do, known or not.
        first = -self.max_latents
        prefix, latents = inputs[:, :first], inputs[:, first:]
        positions = positions_of(padding_mask, ops.shape(inputs)[1])
        own_mask = None if padding_mask is None else padding_mask[:, first:]
        own_positions = positions[:, first:]
        if training and self.prefix_dropout:
            prefix, positions, padding_mask = self._drop_prefix(
                prefix, positions, padding_mask, ops.shape(prefix)[1]
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
        if isinstance(prefix_length, int):
            dropped = int(prefix_length * self.prefix_dropout)
        else:  # in the precision of Python's product
            dropped = ops.cast(prefix_length, "float64") * self.prefix_dropout
            dropped = ops.cast(ops.floor(dropped), "int32")
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
