"""Image encoder and image classifier."""

import keras
import numpy as np

from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.classifier import Classifier
from keras_perceiver.models.image_inputs import stem_outputs, with_positions
from keras_perceiver.models.model import EncoderModel
from keras_perceiver.ops.resize import resize_grid
from keras_perceiver.preprocessing.images import ImagePreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(ImagePreprocessor)


@keras.saving.register_keras_serializable("keras_perceiver")
class ImageEncoder(EncoderModel):
    """Pixels with their positions, read into latents.

    Every pixel is an input: no patches, and without a `stem` no convolutions.

    Args:
        image_shape: `(height, width, channels)`.
        num_bands: Fourier frequencies per image axis.
        max_resolution: `(height, width)` that set the highest frequencies; None
            for the image's own, or what the stem leaves of it.
        stem: a `StemSpec`, convolutions that the pixels go through first; or None.
        positions: a `LearnedPositionSpec`; None for Fourier features.
        name: of the model.
        **encoder_options: arguments of `keras_perceiver.layers.PerceiverEncoder`;
            `num_latents` and `latent_channels` are required.

    Call arguments:
        inputs: normalised images `[B, height, width, channels]`, channels last.

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: an image shape that is not three positive integers, or a
            `max_resolution` beside learned positions.

    Example:
    >>> encoder = ImageEncoder((8, 8, 1), num_bands=4, num_latents=4, latent_channels=16)
    >>> encoder.output_shape
    (None, 4, 16)

    Reference:
        arXiv 2103.03206, section 4.1; arXiv 2107.14795, appendix A.
    """

    PREPROCESSOR = ImagePreprocessor
    PREPROCESSED = ("image_shape",)

    def __init__(
        self,
        image_shape,
        num_bands=64,
        max_resolution=None,
        stem=None,
        positions=None,
        name=None,
        **encoder_options,
    ):
        image_shape = tuple(image_shape)
        if len(image_shape) != 3:
            raise ValueError(
                "`image_shape` must be (height, width, channels). "
                f"Received: image_shape={image_shape}"
            )
        for size in image_shape:
            check_positive("image_shape", size)
        inputs = keras.Input(image_shape, name="images")
        x = stem_outputs(inputs, stem)  # [B, H, W, C]
        grid = x.shape[1:3]
        x = with_positions(x, positions, num_bands, max_resolution)  # [B, M, C]
        latents = PerceiverEncoder(**encoder_options, name="encoder")(x)  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.image_shape = image_shape
        self.num_bands = num_bands
        self.max_resolution = max_resolution
        self.stem = stem
        self.positions = positions
        self.grid = grid
        self.encoder_options = encoder_options

    def resized(self, size):
        """An encoder of the same weights for images of another size.

        Learned positions are interpolated, bicubically as in transformers; Fourier
        features keep the frequencies of this encoder's resolution.

        Args:
            size: `(height, width)`.

        Returns:
            An `ImageEncoder` with weights of its own.
        """
        config = self.get_config()
        config["image_shape"] = (*size, self.image_shape[-1])
        if self.positions is None:
            config["max_resolution"] = self.max_resolution or self.grid
        encoder = self.from_config(config)
        _copy_weights(self, encoder, self.grid, encoder.grid)
        return encoder


def _copy_weights(source, target, grid, new_grid):
    """Set weights by path; those that another grid makes longer or shorter, resized."""
    values = {weight.path: np.asarray(weight, "float32") for weight in source.weights}
    for weight in target.weights:
        value = values[weight.path]
        same = value.shape == tuple(weight.shape)
        weight.assign(value if same else resize_grid(value, grid, new_grid))


@keras.saving.register_keras_serializable("keras_perceiver")
class ImageClassifier(Classifier):
    """An image encoder and a classification head.

    Args:
        encoder: an `ImageEncoder`. Its layers become part of this model's graph:
            `encoder.trainable = False` freezes them here.
        num_classes: number of classes, E.
        head: `"decoder"`, one learned query that reads the latents (Perceiver IO);
            or `"average"`, the mean over the latents (original Perceiver).
        query_channels: channels of the learned query, F; None for the latents'.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the query to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        preprocessor: an `ImagePreprocessor` that makes model inputs of images and
            holds the class labels; None for a plain one of the encoder's shape.
        name: of the model.

    Call arguments:
        inputs: normalised images `[B, height, width, channels]`.

    Returns:
        Logits `[B, E]`, in float32 under every dtype policy.

    Raises:
        ValueError: an unknown `head`, or labels that are not one per class.

    Example:
    >>> encoder = ImageEncoder((8, 8, 1), num_bands=4, num_latents=4, latent_channels=16)
    >>> ImageClassifier(encoder, num_classes=10).output_shape
    (None, 10)

    Reference:
        arXiv 2107.14795, section 3.2; arXiv 2103.03206, section 3.1 (average).
    """

    def classify(self, images, top_k=1, batch_size=32):
        """Classes of raw images.

        Args:
            images: paths, PIL images, or arrays `[H, W]`, `[H, W, C]`, of any size,
                uint8 or floats in [0, 1]; one, or a list, or an array
                `[B, H, W, C]`.
            top_k: how many classes to return for each, the likeliest first.
            batch_size: images per forward pass.

        Returns:
            For each image a list of `{"label": str, "score": float}`.

        Raises:
            ValueError: no image, NaN pixels, or `top_k` out of range.
        """
        return self._classify(self.preprocessor(images), top_k, batch_size)

    def resized(self, size):
        """A classifier of the same weights for images of another size.

        Args:
            size: `(height, width)`. See `ImageEncoder.resized`.

        Returns:
            An `ImageClassifier` with weights of its own, whose preprocessor makes
            images of that size.
        """
        encoder = self.encoder.resized(size)
        preprocessor = self.preprocessor.get_config() | {"image_shape": encoder.image_shape}
        parts = {
            "encoder": encoder,
            "preprocessor": ImagePreprocessor.from_config(preprocessor),
        }
        model = self.from_config(self.get_config() | parts)
        _copy_weights(self, model, self.encoder.grid, encoder.grid)
        return model
