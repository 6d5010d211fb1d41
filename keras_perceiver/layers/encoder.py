"""The Perceiver encoder: inputs of any length into a fixed number of latents."""

import keras
from keras import ops

from keras_perceiver.layers.blocks import LatentCrossAttention, SelfAttentionBlock
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.spec import AttentionSpec, check_positive
from keras_perceiver.ops.loops import recompute
from keras_perceiver.ops.masks import (
    attention_bias_mask,
    check_rank,
    implicit_mask,
    zero_masked,
)
from keras_perceiver.ops.norm import normalize


@keras.saving.register_keras_serializable("keras_perceiver")
class PerceiverEncoder(Configured, keras.layers.Layer):
    """Latents that read the inputs by cross-attention and process what they read.

    The first of `num_blocks` steps is a cross-attention and a block of
    self-attention layers. The first `num_cross_attentions` steps have a
    cross-attention (repeated cross-attention, the original Perceiver), the others
    self-attention only (Perceiver IO has one cross-attention). Cross-attentions 2
    to P share their weights, and so do blocks 2 to L; sharing with the first is
    optional for each.

    Args:
        num_latents: number of latents, N; None to take them as a call argument.
        latent_channels: channels of a latent, D.
        cross_attention: an `AttentionSpec` for latents reading inputs. One head by
            default, as in the official image models.
        self_attention: an `AttentionSpec` for latents reading each other.
        num_cross_attentions: cross-attentions, P; `1 <= P <= num_blocks`.
        num_blocks: self-attention blocks, L.
        layers_per_block: self-attention layers in each block.
        share_first_cross_attention: let the first cross-attention share the
            others' weights. The papers found it unstable.
        share_first_block: let the first block share the others' weights.
        init_scale: standard deviation of the initial latents and kernels.
        remat: recompute activations, layer by layer, in the backward pass.
        chunk_size: inputs to read at a time in a cross-attention, by a running softmax,
            which bounds memory. Latents and gradients are the same, except that
            dropout drops other weights. None to choose: all at once, unless their
            attention scores would take over 128 MB or it is slower.

    Call arguments:
        inputs: `[B, M, C]`, with positions already added or concatenated.
        padding_mask: `[B, M]`, bool, int or float, True at real inputs.
        latents: initial latents `[B, N, D]` instead of the learned array, for
            example of an earlier call, or `keras_perceiver.ops.last_positions(x, N)`.
        return_attention_scores: also return a list with the weights
            `[B, H, N, M]` of each cross-attention.

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: a number out of its range, empty inputs or inputs of another
            rank, latents both learned and given, or neither.

    Example:
    >>> encoder = PerceiverEncoder(num_latents=4, latent_channels=16, layers_per_block=1)
    >>> tuple(encoder(keras.ops.ones((2, 100, 3))).shape)
    (2, 4, 16)

    Reference:
        arXiv 2103.03206, section 3; arXiv 2107.14795, section 3.1.
    """

    def __init__(
        self,
        num_latents,
        latent_channels,
        cross_attention=AttentionSpec(num_heads=1),  # noqa: B008 (frozen)
        self_attention=AttentionSpec(),  # noqa: B008 (frozen)
        num_cross_attentions=1,
        num_blocks=1,
        layers_per_block=6,
        share_first_cross_attention=False,
        share_first_block=True,
        init_scale=0.02,
        remat=False,
        chunk_size=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("num_latents", num_latents), ("chunk_size", chunk_size)):
            if value is not None:
                check_positive(name, value)
        for name, value in (
            ("latent_channels", latent_channels),
            ("num_cross_attentions", num_cross_attentions),
            ("num_blocks", num_blocks),
        ):
            check_positive(name, value)
        if num_cross_attentions > num_blocks:
            raise ValueError(
                "`num_cross_attentions` must not exceed `num_blocks`. Received: "
                f"num_cross_attentions={num_cross_attentions}, num_blocks={num_blocks}"
            )
        self.num_latents = num_latents
        self.latent_channels = latent_channels
        self.cross_attention = cross_attention
        self.self_attention = self_attention
        self.num_cross_attentions = num_cross_attentions
        self.num_blocks = num_blocks
        self.layers_per_block = layers_per_block
        self.share_first_cross_attention = share_first_cross_attention
        self.share_first_block = share_first_block
        self.init_scale = init_scale
        self.remat = remat
        self.chunk_size = chunk_size
        self.supports_masking = True

        def cross(name):
            return LatentCrossAttention(
                cross_attention, init_scale=init_scale, dtype=self.dtype_policy, name=name
            )

        def block(name):
            return SelfAttentionBlock(
                layers_per_block,
                self_attention,
                init_scale,
                remat,
                dtype=self.dtype_policy,
                name=name,
            )

        self.first_cross = cross("first_cross_attention")
        self.first_block = block("first_block")
        self.later_cross = self.first_cross
        if num_cross_attentions > 1 and not share_first_cross_attention:
            self.later_cross = cross("later_cross_attentions")
        self.later_block = self.first_block
        if num_blocks > 1 and not share_first_block:
            self.later_block = block("later_blocks")

    @property
    def steps(self):
        """`(cross-attention or None, self-attention block)` of each step."""
        return [
            (
                None
                if step >= self.num_cross_attentions
                else (self.later_cross if step else self.first_cross),
                self.later_block if step else self.first_block,
            )
            for step in range(self.num_blocks)
        ]

    def build(self, inputs_shape, latents_shape=None):
        """Shape of the inputs is `[B, M, C]`."""
        if len(inputs_shape) != 3:
            raise ValueError(
                "`inputs` must have shape [batch, length, channels]: flatten images "
                "and add positions first, for example with FourierEncoding. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )
        if self.num_latents is not None:
            self.latents = self.add_weight(
                shape=(self.num_latents, self.latent_channels),
                initializer=normal(self.init_scale),
                name="latents",
            )
        latents_shape = (None, self.num_latents, self.latent_channels)
        for layer in {id(x): x for x in (self.first_cross, self.later_cross)}.values():
            layer.build(latents_shape, inputs_shape)
        for layer in {id(x): x for x in (self.first_block, self.later_block)}.values():
            layer.build(latents_shape)
        super().build(inputs_shape)

    def call(
        self,
        inputs,
        padding_mask=None,
        latents=None,
        return_attention_scores=False,
        training=None,
    ):
        """See the class docstring."""
        check_rank("inputs", inputs, (3,), "[B, M, C]")
        if padding_mask is None:
            padding_mask = implicit_mask(inputs)
        latents = self._initial_latents(latents)
        mask = attention_bias_mask(padding_mask)
        # What all cross-attentions share: normalised inputs, once; and keys and
        # values (or what stands for them), once for those that share weights.
        normalized = normalize(zero_masked(inputs, padding_mask))
        projections = {}
        scores = []
        for cross, block in self.steps:
            if cross is not None:
                if cross.name not in projections:
                    projections[cross.name] = cross.project(normalized, latents.shape[1])
                latents = self._read(
                    cross,
                    latents,
                    projections[cross.name],
                    mask,
                    return_attention_scores,
                    training,
                )
                if return_attention_scores:
                    latents, weights = latents
                    scores.append(weights)
            latents = block(latents, training=training)
        return (latents, scores) if return_attention_scores else latents

    def _read(self, cross, latents, projected, mask, return_scores, training):
        def read(latents, mask, *rest):
            keys, seeds = rest[: len(projected)], rest[len(projected) :]
            return cross.update(
                latents, keys, mask, seeds, return_scores, training, self.chunk_size
            )

        return recompute(
            self.remat and training,
            read,
            latents,
            mask,
            *projected,
            *cross.draw_seeds(training),
        )

    def _initial_latents(self, latents):
        """Given latents `[B, N, D]`, or the learned ones as `[1, N, D]`.

        The learned ones stay at batch 1 until they have met an input: their norm,
        query projection and folding are computed once, not once per example.
        """
        if (latents is None) == (self.num_latents is None):
            raise ValueError(
                "`latents` must be given exactly if the encoder has none of its own. "
                f"Received: num_latents={self.num_latents}, latents="
                f"{None if latents is None else tuple(latents.shape)}"
            )
        if latents is None:
            return ops.cast(self.latents, self.compute_dtype)[None]
        check_rank("latents", latents, (3,), "[B, N, D]")
        if latents.shape[-1] != self.latent_channels:
            raise ValueError(
                "`latents` must have `latent_channels` channels (project them with a "
                f"Dense layer first). Received: latents.shape={tuple(latents.shape)}, "
                f"latent_channels={self.latent_channels}"
            )
        return ops.cast(latents, self.compute_dtype)

    def compute_mask(self, *args, **kwargs):
        """None: latents have no padding."""

    def compute_output_spec(
        self,
        inputs,
        padding_mask=None,
        latents=None,
        return_attention_scores=False,
        training=None,
    ):
        """Symbolic result."""
        num_latents = self.num_latents if latents is None else latents.shape[1]
        shape = (inputs.shape[0], num_latents, self.latent_channels)
        out = keras.KerasTensor(shape, self.compute_dtype)
        if not return_attention_scores:
            return out
        heads = self.cross_attention.num_heads
        weights = (inputs.shape[0], heads, num_latents, inputs.shape[1])
        return out, [
            keras.KerasTensor(weights, "float32") for _ in range(self.num_cross_attentions)
        ]
