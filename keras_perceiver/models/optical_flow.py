"""Optical flow: how far each pixel of a frame moves until the next."""

import itertools

import keras
import numpy as np

from keras_perceiver.layers import (
    AttentionSpec,
    FourierEncoding,
    PerceiverDecoder,
    PerceiverEncoder,
)
from keras_perceiver.layers.dense import Dense
from keras_perceiver.layers.initializers import PixelDifferences
from keras_perceiver.layers.neighbourhoods import Neighbourhoods
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.model import ConfiguredModel, EncoderModel
from keras_perceiver.preprocessing.flow import FlowPreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(FlowPreprocessor)


@keras.saving.register_keras_serializable("keras_perceiver")
class OpticalFlowEncoder(EncoderModel):
    """Two frames, pixel by pixel, read into latents.

    An input is the 3 x 3 pixels around a place in both frames, projected, and the
    place's Fourier position.

    Args:
        image_shape: `(height, width)` of the frames; the official model's by default.
        patch_channels: channels that the pixels around a place are projected to.
        num_bands: Fourier frequencies per image axis.
        init_scale: standard deviation of the encoder's initial weights.
        name: of the model.
        **encoder_options: other arguments of
            `keras_perceiver.layers.PerceiverEncoder`; `num_latents` and
            `latent_channels` are required.

    Call arguments:
        inputs: pairs of frames `[B, 2, height, width, 3]`, values in [-1, 1].

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: a number that is not positive, or an image shape that is not two.

    Example:
    >>> encoder = OpticalFlowEncoder((8, 12), 16, 4, num_latents=4, latent_channels=16)
    >>> encoder.output_shape
    (None, 4, 16)

    Reference:
        arXiv 2107.14795, section 4.2 and appendix H.
    """

    PREPROCESSOR = FlowPreprocessor
    PREPROCESSED = ("image_shape",)

    def __init__(
        self,
        image_shape=(368, 496),
        patch_channels=64,
        num_bands=64,
        init_scale=0.02,
        name=None,
        **encoder_options,
    ):
        image_shape = tuple(image_shape)
        if len(image_shape) != 2:
            raise ValueError(
                "`image_shape` must be (height, width). "
                f"Received: image_shape={image_shape}"
            )
        for size in image_shape:
            check_positive("image_shape", size)
        check_positive("patch_channels", patch_channels)
        inputs = keras.Input((2, *image_shape, 3), name="frames")
        x = Neighbourhoods(name="patches")(inputs)  # [B, height, width, 2 * 9 * 3]
        x = Dense(
            patch_channels,
            kernel_initializer=PixelDifferences(),
            name="patch_projection",
        )(x)  # [B, height, width, patch_channels]
        x = FourierEncoding(num_bands, name="positions")(x)  # [B, M, C]
        latents = PerceiverEncoder(
            **encoder_options, init_scale=init_scale, name="encoder"
        )(x)  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.image_shape = image_shape
        self.patch_channels = patch_channels
        self.num_bands = num_bands
        self.init_scale = init_scale
        self.encoder_options = encoder_options


@keras.saving.register_keras_serializable("keras_perceiver")
class OpticalFlow(ConfiguredModel):
    """Where each pixel of a first frame is in a second one.

    Each place asks the latents by what the encoder was told of it.

    Args:
        encoder: an `OpticalFlowEncoder`. Its layers become part of this model's graph:
            `encoder.trainable = False` freezes them here.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the queries to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        rescale_factor: what the head's output is divided by.
        preprocessor: a `FlowPreprocessor` that cuts frames of any size into tiles of
            the model's; None for a plain one.
        name: of the model.

    Call arguments:
        inputs: pairs of frames `[B, 2, height, width, 3]`, values in [-1, 1].

    Returns:
        Flow `[B, height, width, 2]`, (x, y), to the right and down; in 20 pixels, as
        the official model gives it. In float32 under every dtype policy.

    Raises:
        ValueError: a preprocessor of another shape, or a factor that is not positive.

    Example:
    >>> encoder = OpticalFlowEncoder((8, 12), 16, 4, num_latents=4, latent_channels=16)
    >>> model = OpticalFlow(encoder)
    >>> model.output_shape
    (None, 8, 12, 2)
    >>> first, second = np.zeros((2, 10, 30, 3), "uint8")
    >>> model.estimate((first, second), verbose=0).shape
    (10, 30, 2)

    Reference:
        arXiv 2107.14795, section 4.2 and appendix H.
    """

    def __init__(
        self,
        encoder,
        cross_attention=AttentionSpec(num_heads=1),  # noqa: B008 (frozen)
        query_residual=False,
        init_scale=0.02,
        rescale_factor=100.0,
        preprocessor=None,
        name=None,
    ):
        if not rescale_factor > 0:
            raise ValueError(
                "`rescale_factor` must be positive. "
                f"Received: rescale_factor={rescale_factor}"
            )
        queries = encoder.get_layer("positions").output  # [B, O, F]
        x = PerceiverDecoder(cross_attention, query_residual, init_scale, name="decoder")(
            queries, encoder.output
        )  # [B, O, F]
        x = Dense(
            2,
            kernel_initializer=keras.initializers.RandomNormal(0.0, init_scale),
            dtype="float32",
            name="head",
        )(x)  # [B, O, 2]
        x = keras.layers.Rescaling(1 / rescale_factor, dtype="float32", name="rescaling")(x)
        flow = keras.layers.Reshape(
            (*encoder.image_shape, 2), dtype="float32", name="flow"
        )(x)  # [B, height, width, 2]
        super().__init__(inputs=encoder.input, outputs=flow, name=name)
        self.encoder = encoder
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.rescale_factor = rescale_factor
        self.preprocessor = encoder.checked_preprocessor(preprocessor)

    def estimate(self, frame_pairs, batch_size=1, verbose=1):
        """Flow between raw frames, in pixels.

        Frames larger than the model's are cut into overlapping tiles, whose flows are
        blended.

        Args:
            frame_pairs: a pair of frames; a sequence of pairs; or a video, three frames
                or more, for the flow from each to the next. A frame is a path, a PIL
                image, or an array `[H, W, 3]` or `[H, W]`, uint8 or floats in [0, 1],
                not smaller than the model's. The pairs of a sequence may differ in size.
            batch_size: tiles per forward pass.
            verbose: 1 for a progress bar, 0 for none.

        Returns:
            Flow `[H, W, 2]`, (x, y), to the right and down: a pixel of the first frame
            at (x, y) is at (x, y) + flow in the second. One array for a pair, otherwise
            a list with one for each.

        Raises:
            ValueError: frames that are no pairs, differ in size, are too small, or
                hold NaN.
        """
        check_positive("batch_size", batch_size)
        pairs, single = self.preprocessor.read(frame_pairs)
        sizes = [first.shape[:2] for first, _ in pairs]
        counts = [len(self.preprocessor.grid(size)) for size in sizes]
        progress = keras.utils.Progbar(sum(counts), verbose=verbose, unit_name="tile")
        tiles = itertools.chain.from_iterable(map(self.preprocessor.tiles, pairs))
        flows = []
        while batch := list(itertools.islice(tiles, batch_size)):
            # The last batch is filled up: one shape, one compilation.
            inputs = np.stack(batch + (batch_size - len(batch)) * batch[-1:])
            flows.extend(self.predict_on_batch(inputs)[: len(batch)])
            progress.add(len(batch))
        remaining = iter(flows)
        results = [
            self.preprocessor.blend(list(itertools.islice(remaining, count)), size)
            for count, size in zip(counts, sizes, strict=True)
        ]
        return results[0] if single else results
