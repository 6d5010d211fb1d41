"""Inputs of several kinds at once, read into one set of latents."""

import keras
from keras import ops

from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.layers.modality import ChannelPadding, MaskToken
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.modalities import Modality
from keras_perceiver.models.model import EncoderModel


@keras.saving.register_keras_serializable("keras_perceiver")
class MultimodalEncoder(EncoderModel):
    """Sounds, images, videos, labels, texts, sets: one array, read into latents.

    Each kind of input is made an array of vectors by its adapter. A learned vector per
    kind widens them all to the same number of channels, and says of which kind they
    are. They are concatenated in the alphabetical order of their names.

    Any of them may be missing. A learned mask token per kind then stands in the place
    of all vectors of the kind; texts and sets, whose length varies, are left out.

    Args:
        modalities: a dict of names and kinds: `AudioModality`, `ImageModality`,
            `LabelModality`, `SetModality`, `TextModality`, `VideoModality`.
        min_padding: learned channels that the widest kind gets.
        init_scale: standard deviation of the initial weights.
        name: of the model.
        **encoder_options: other arguments of
            `keras_perceiver.layers.PerceiverEncoder`; `num_latents` and
            `latent_channels` are required.

    Call arguments:
        inputs: a dict by the names: sounds `[B, samples, channels]`, images
            `[B, H, W, C]`, videos `[B, T, H, W, C]`, labels `[B]`, token ids `[B, S]`,
            sets `[B, M, C]`. What is missing for all examples is left out, or None.
            What is missing for some is told by a mask, named as the input with `_mask`
            appended: `[B]`, or for texts and sets `[B, M]`, 1 at what is there. What
            then stands in its place does not matter.

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: no modality, or no input; an input of another name, or a mask
            without its input.

    Example:
    >>> from keras_perceiver.models import AudioModality, LabelModality
    >>> encoder = MultimodalEncoder(
    ...     {"label": LabelModality(10), "sound": AudioModality(64, num_bands=4)},
    ...     num_latents=4,
    ...     latent_channels=16,
    ... )
    >>> tuple(encoder({"sound": ops.ones((2, 64, 1))}).shape)
    (2, 4, 16)

    Reference:
        arXiv 2107.14795, section 4.3 and appendix G.
    """

    def __init__(
        self, modalities, min_padding=4, init_scale=0.02, name=None, **encoder_options
    ):
        _check_modalities(modalities)
        check_positive("min_padding", min_padding)
        inputs, adapted = {}, {}
        for key in sorted(modalities):
            kind = modalities[key]
            inputs[key] = keras.Input(kind.shape, dtype=kind.dtype, name=key)
            # Masks are integers, because tf.distribute cannot average booleans.
            mask = keras.Input(kind.mask_shape, dtype="int32", name=f"{key}_mask")
            inputs[f"{key}_mask"] = mask
            adapted[key] = kind.adapt(inputs[key], mask, key, init_scale)  # [B, M, C]
        channels = min_padding + max(x.shape[-1] for x in adapted.values())
        parts, masks = [], []
        for key, x in adapted.items():
            x = ChannelPadding(channels, init_scale, name=f"{key}_padding")(x)
            mask = inputs[f"{key}_mask"]
            if not modalities[key].mask_shape:
                x = MaskToken(init_scale, name=f"{key}_mask_token")(x, mask)
                mask = ops.ones_like(x[..., 0], dtype="int32")
            parts.append(x)
            masks.append(mask)
        x = keras.layers.Concatenate(axis=1, name="inputs")(parts)  # [B, M, C]
        padding_mask = None
        if any(kind.mask_shape for kind in modalities.values()):
            padding_mask = keras.layers.Concatenate(axis=1, name="padding_mask")(masks)
        latents = PerceiverEncoder(
            **encoder_options, init_scale=init_scale, name="encoder"
        )(x, padding_mask=padding_mask)  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.modalities = modalities
        self.min_padding = min_padding
        self.init_scale = init_scale
        self.encoder_options = encoder_options

    def __call__(self, inputs, *args, **kwargs):
        """See the class docstring; Keras would refuse inputs that are not all there."""
        return super().__call__(self.complete(inputs), *args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """See the class docstring; `mask` is Keras' own and not used."""
        # Once more: JAX's training does not come by way of `__call__`.
        return super().call(self.complete(inputs), training=training)

    def complete(self, inputs):
        """All inputs and masks: what is missing is made up, and masked.

        Args:
            inputs: as of a call.

        Raises:
            ValueError: see the class docstring.
        """
        given = {key: x for key, x in as_dict(inputs).items() if x is not None}
        contents = [key for key in given if key in self.modalities]
        unknown = sorted(set(given) - set(self.input))
        if unknown or not contents:
            raise ValueError(
                f"`inputs` must be a dict of one or more of {sorted(self.modalities)}, and "
                f"their masks. Received: {sorted(given)}"
            )
        given = {key: as_tensor(x, self.input[key].dtype) for key, x in given.items()}
        batch = ops.shape(given[contents[0]])[:1]
        for key, kind in self.modalities.items():
            mask = f"{key}_mask"
            if mask in given and key not in given:
                raise ValueError(
                    f"`{mask}` must come with `{key}`. Received: {sorted(given)}"
                )
            rank = 1 + len(kind.mask_shape)
            if key not in given:
                shape = [1 if n is None else n for n in kind.shape]
                shape = (*batch, *shape)
                given[key] = ops.zeros(shape, dtype=kind.dtype)
                given[mask] = ops.zeros(shape[:rank], dtype="int32")
            elif mask not in given:
                given[mask] = ops.ones(ops.shape(given[key])[:rank], dtype="int32")
        return given


def as_tensor(x, dtype):
    """A tensor of what may be one, or an array: Keras would not take both at once."""
    return x if keras.utils.is_keras_tensor(x) else ops.convert_to_tensor(x, dtype)


def as_dict(inputs):
    """`inputs`, if they are a dict; else a ValueError."""
    if not isinstance(inputs, dict):
        raise ValueError(
            f"`inputs` must be a dict of arrays by name. Received: {type(inputs).__name__}"
        )
    return inputs


def _check_modalities(modalities):
    kinds = modalities.values() if isinstance(modalities, dict) else [None]
    if not modalities or not all(isinstance(kind, Modality) for kind in kinds):
        raise ValueError(
            "`modalities` must be a dict of names and kinds, such as ImageModality. "
            f"Received: modalities={modalities!r}"
        )
