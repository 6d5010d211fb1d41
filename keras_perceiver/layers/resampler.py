"""The Perceiver Resampler of Flamingo: any length in, N latents out."""

import keras
from keras import ops

from keras_perceiver.layers.blocks import LatentCrossAttention
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.inner import call_inner
from keras_perceiver.layers.residual import norm
from keras_perceiver.layers.spec import AttentionSpec, check_positive
from keras_perceiver.ops.loops import recompute
from keras_perceiver.ops.masks import (
    as_bool,
    attention_bias_mask,
    implicit_mask,
    zero_masked,
)
from keras_perceiver.ops.norm import normalize


@keras.saving.register_keras_serializable("keras_perceiver")
class PerceiverResampler(Configured, keras.layers.Layer):
    """Pool features of any length into a fixed number of latents.

    A stack of cross-attentions from learned latents to the features, each with
    weights of its own, and a final norm. Usable alone in any Keras model: between
    an image or speech encoder and a language model, or as attention pooling.

    Args:
        num_latents: number of latents that come out, N.
        num_layers: cross-attention layers.
        attention: an `AttentionSpec`; Flamingo's MLP has a widening factor of 4.
        latent_channels: channels of a latent, D; None for the features' channels.
        latents_as_keys: let the latents also attend to themselves: keys and values
            come from features and latents together, as in Flamingo.
        init_scale: standard deviation of the initial latents and kernels.
        remat: recompute activations, layer by layer, in the backward pass.

    Call arguments:
        inputs: features `[B, M, C]`; C must be D if `latents_as_keys`.
        padding_mask: `[B, M]`, True at real features.

    Returns:
        `[B, N, D]`.

    Raises:
        ValueError: `latents_as_keys` with other channels than the features have.

    Example:
    >>> tuple(PerceiverResampler(num_latents=4)(keras.ops.ones((2, 50, 16))).shape)
    (2, 4, 16)

    Reference:
        Flamingo, arXiv 2204.14198, section 3.1 and appendix A.1.1. We differ in the
        MLP's activation (exact GELU) and in biases, which projections have here.
    """

    def __init__(
        self,
        num_latents=64,
        num_layers=6,
        attention=AttentionSpec(widening_factor=4),  # noqa: B008 (frozen)
        latent_channels=None,
        latents_as_keys=True,
        init_scale=0.02,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_latents", num_latents)
        check_positive("num_layers", num_layers)
        self.num_latents = num_latents
        self.num_layers = num_layers
        self.attention = attention
        self.latent_channels = latent_channels
        self.latents_as_keys = latents_as_keys
        self.init_scale = init_scale
        self.remat = remat
        self.supports_masking = True
        self.layers = [
            LatentCrossAttention(
                attention, init_scale=init_scale, dtype=self.dtype_policy, name=f"layer_{i}"
            )
            for i in range(num_layers)
        ]
        self.norm = norm("norm", self.dtype_policy)

    def build(self, inputs_shape):
        """Shape is `[B, M, C]`."""
        if len(inputs_shape) != 3:
            raise ValueError(
                "`inputs` must have shape [batch, length, channels]. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )
        channels = self.latent_channels or inputs_shape[-1]
        if self.latents_as_keys and channels != inputs_shape[-1]:
            raise ValueError(
                "With `latents_as_keys`, latents and inputs must have equal channels. "
                f"Received: latent_channels={channels}, inputs.shape={tuple(inputs_shape)}"
            )
        self.latents = self.add_weight(
            shape=(self.num_latents, channels),
            initializer=normal(self.init_scale),
            name="latents",
        )
        latents_shape = (None, self.num_latents, channels)
        for layer in self.layers:
            layer.build(latents_shape, inputs_shape)
        self.norm.build(latents_shape)
        super().build(inputs_shape)

    def call(self, inputs, padding_mask=None, training=None):
        """See the class docstring."""
        if padding_mask is None:
            padding_mask = implicit_mask(inputs)
        x = normalize(zero_masked(inputs, padding_mask))
        latents = ops.cast(self.latents, self.compute_dtype)[None]  # [1, N, D]
        if self.latents_as_keys:
            shape = (ops.shape(x)[0], *latents.shape[1:])
            latents = ops.broadcast_to(latents, shape)
            if padding_mask is not None:
                ones = ops.ones(shape[:2], dtype="bool")
                padding_mask = ops.concatenate([as_bool(padding_mask), ones], axis=1)
        mask = attention_bias_mask(padding_mask)

        for layer in self.layers:

            def read(latents, x, mask, *seeds, layer=layer):
                keys = x
                if self.latents_as_keys:
                    keys = ops.concatenate([x, normalize(latents)], axis=1)
                projected = layer.project(keys, self.num_latents)
                return layer.update(latents, projected, mask, seeds)

            latents = recompute(
                self.remat and training, read, latents, x, mask, *layer.draw_seeds(training)
            )
        return call_inner(self.norm, latents)

    def compute_mask(self, *args, **kwargs):
        """None: latents have no padding."""

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        """`[B, N, D]`."""
        channels = self.latent_channels or inputs_shape[-1]
        return (inputs_shape[0], self.num_latents, channels)
