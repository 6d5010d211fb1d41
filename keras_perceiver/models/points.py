"""Encoder and classifier of sets of points."""

import keras

from keras_perceiver.layers import CoordinateEncoding, PerceiverEncoder
from keras_perceiver.models.classifier import Classifier
from keras_perceiver.models.model import EncoderModel
from keras_perceiver.preprocessing import PointPreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(PointPreprocessor)


@keras.saving.register_keras_serializable("keras_perceiver")
class PointEncoder(EncoderModel):
    """Points with Fourier features of their coordinates, read into latents.

    The points are a set: their order changes nothing, nor does padding.

    Args:
        max_resolution: one integer per axis of the coordinates, d of them: how many
            places from -1 to 1 are to be told apart, which sets the highest frequency.
        content_channels: channels of a point beside its coordinates, for example 3 for
            a colour.
        num_bands: Fourier frequencies per axis.
        name: of the model.
        **encoder_options: arguments of `keras_perceiver.layers.PerceiverEncoder`;
            `num_latents` and `latent_channels` are required.

    Call arguments:
        inputs: a dict of `points` `[B, M, d + content_channels]`, coordinates first, from
            -1 to 1, any number of points; and `padding_mask` `[B, M]`, integers, 1 at
            points and 0 at padding. A set without points is read as nothing.

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: no axis, or a number out of its range.

    Example:
    >>> encoder = PointEncoder((64, 64, 64), num_latents=4, latent_channels=16)
    >>> encoder.output_shape
    (None, 4, 16)

    Reference:
        arXiv 2103.03206, section 4.3 (ModelNet40).
    """

    PREPROCESSOR = PointPreprocessor
    PREPROCESSED = ("num_axes", "content_channels")

    def __init__(
        self, max_resolution, content_channels=0, num_bands=64, name=None, **encoder_options
    ):
        max_resolution = tuple(max_resolution)
        # Its own errors are the encoder's.
        axes = len(max_resolution)
        PointPreprocessor(axes, content_channels)
        inputs = {
            "points": keras.Input((None, axes + content_channels), name="points"),
            # An integer, because tf.distribute cannot average booleans.
            "padding_mask": keras.Input((None,), dtype="int32", name="padding_mask"),
        }
        points, padding_mask = inputs["points"], inputs["padding_mask"]
        content = points[..., axes:] if content_channels else None
        x = CoordinateEncoding(num_bands, max_resolution, name="positions")(
            points[..., :axes], content, padding_mask=padding_mask
        )  # [B, M, C]
        latents = PerceiverEncoder(**encoder_options, name="encoder")(
            x, padding_mask=padding_mask
        )  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.max_resolution = max_resolution
        self.num_axes = axes
        self.content_channels = content_channels
        self.num_bands = num_bands
        self.encoder_options = encoder_options


@keras.saving.register_keras_serializable("keras_perceiver")
class PointClassifier(Classifier):
    """An encoder of sets of points and a classification head.

    Args:
        encoder: a `PointEncoder`. Its layers become part of this model's graph:
            `encoder.trainable = False` freezes them here.
        num_classes: number of classes, E.
        head: `"decoder"`, one learned query that reads the latents; or `"average"`,
            the mean over the latents.
        query_channels: channels of the learned query, F; None for the latents'.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the query to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        preprocessor: a `PointPreprocessor` that makes model inputs of sets and holds
            the class labels; None for a plain one.
        name: of the model.

    Call arguments:
        inputs: a dict of `points` `[B, M, d + content_channels]` and `padding_mask`
            `[B, M]`.

    Returns:
        Logits `[B, E]`, in float32 under every dtype policy.

    Raises:
        ValueError: an unknown `head`, a preprocessor for other points, or labels that
            are not one per class.

    Example:
    >>> encoder = PointEncoder((8, 8), 1, num_bands=4, num_latents=4, latent_channels=16)
    >>> PointClassifier(encoder, num_classes=10).output_shape
    (None, 10)

    Reference:
        arXiv 2103.03206, section 4.3; arXiv 2107.14795, section 3.2.
    """

    def classify(self, sets, top_k=1, batch_size=32):
        """Classes of sets of points.

        Args:
            sets: arrays `[m, d + content_channels]`, coordinates first, from -1 to 1, or
                paths of `.npy` files with one each; a list of them, of any sizes, or one.
            top_k: how many classes to return for each, the likeliest first.
            batch_size: sets per forward pass.

        Returns:
            For each set a list of `{"label": str, "score": float}`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no set, points with other channels, coordinates out of range,
                NaN, a broken file, or `top_k` out of range.
        """
        return self._classify(self.preprocessor(sets), top_k, batch_size)
