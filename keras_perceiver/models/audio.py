"""Encoder and classifier of sound."""

import keras

from keras_perceiver.layers import FourierEncoding, PerceiverEncoder
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.classifier import Classifier
from keras_perceiver.models.mel import check_divides, mel_spectrogram
from keras_perceiver.models.model import EncoderModel
from keras_perceiver.preprocessing import AudioPreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(AudioPreprocessor)


@keras.saving.register_keras_serializable("keras_perceiver")
class AudioEncoder(EncoderModel):
    """Sound with Fourier positions, read into latents.

    The inputs of the Perceiver are either short pieces of the wave (raw audio, with
    one position axis: time), or the points of a mel spectrogram (with two: frequency
    and time).

    Args:
        samples: length of a clip.
        channels: of a clip: 1 for mono, 2 for stereo.
        sampling_rate: samples a second.
        patch_size: samples in one input, which it divides the clip into.
        mel: a `MelSpec` for a mel spectrogram, from 80 dB below a full-scale sine (-1) to
            that sine (1); its `stride` divides `samples`. Give this or `patch_size`.
        num_bands: Fourier frequencies per position axis.
        max_resolution: `(time,)` for patches, `(frequency, time)` for a spectrogram,
            which set the highest frequencies; None for the clip's own.
        name: of the model.
        **encoder_options: arguments of `keras_perceiver.layers.PerceiverEncoder`;
            `num_latents` and `latent_channels` are required.

    Call arguments:
        inputs: samples `[B, samples, channels]` in [-1, 1].

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: a number that is not positive, both or none of `patch_size` and
            `mel`, one that does not divide `samples`, or a clip that is too short for
            the window.

    Example:
    >>> encoder = AudioEncoder(4000, patch_size=16, num_latents=4, latent_channels=16)
    >>> encoder.output_shape
    (None, 4, 16)

    Reference:
        arXiv 2103.03206, section 4.2 (AudioSet: raw audio and mel spectrogram).
    """

    PREPROCESSOR = AudioPreprocessor
    PREPROCESSED = ("samples", "channels", "sampling_rate")

    def __init__(
        self,
        samples,
        channels=1,
        sampling_rate=16_000,
        patch_size=None,
        mel=None,
        num_bands=64,
        max_resolution=None,
        name=None,
        **encoder_options,
    ):
        for key, value in (
            ("samples", samples),
            ("channels", channels),
            ("sampling_rate", sampling_rate),
        ):
            check_positive(key, value)
        if (patch_size is None) == (mel is None):
            raise ValueError(
                "Give either `patch_size` or `mel`. Received: "
                f"patch_size={patch_size}, mel={mel}"
            )
        inputs = keras.Input((samples, channels), name="samples")
        if mel is None:
            x = _patches(inputs, patch_size)  # [B, M, patch_size * channels]
        else:
            x = mel_spectrogram(inputs, mel, sampling_rate)  # [B, bins, frames, channels]
        x = FourierEncoding(num_bands, max_resolution, name="positions")(x)  # [B, M, C]
        latents = PerceiverEncoder(**encoder_options, name="encoder")(x)  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.samples = samples
        self.channels = channels
        self.sampling_rate = sampling_rate
        self.patch_size = patch_size
        self.mel = mel
        self.num_bands = num_bands
        self.max_resolution = max_resolution
        self.encoder_options = encoder_options


@keras.saving.register_keras_serializable("keras_perceiver")
class AudioClassifier(Classifier):
    """An encoder of sound and a classification head.

    Args:
        encoder: an `AudioEncoder`. Its layers become part of this model's graph:
            `encoder.trainable = False` freezes them here.
        num_classes: number of classes, E.
        head: `"decoder"`, one learned query that reads the latents; or `"average"`,
            the mean over the latents.
        query_channels: channels of the learned query, F; None for the latents'.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the query to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        preprocessor: an `AudioPreprocessor` that makes model inputs of clips and holds
            the class labels; None for a plain one.
        name: of the model.

    Call arguments:
        inputs: samples `[B, samples, channels]` in [-1, 1].

    Returns:
        Logits `[B, E]`, in float32 under every dtype policy.

    Raises:
        ValueError: an unknown `head`, a preprocessor for other clips, or labels that are
            not one per class.

    Example:
    >>> from keras_perceiver.models import MelSpec
    >>> mel = MelSpec(num_bins=32, stride=125)
    >>> encoder = AudioEncoder(4000, mel=mel, num_latents=4, latent_channels=16)
    >>> AudioClassifier(encoder, num_classes=12).output_shape
    (None, 12)

    Reference:
        arXiv 2103.03206, section 4.2; arXiv 2107.14795, section 3.2.
    """

    def classify(self, clips, top_k=1, batch_size=32):
        """Classes of clips.

        Args:
            clips: paths of WAV files (with the `audio` extra), or arrays `[samples]`,
                `[samples, channels]` at the encoder's rate, of integers as WAV files have
                them, or floats in [-1, 1]; one, or a list, or an array
                `[B, samples, channels]`.
            top_k: how many classes to return for each, the likeliest first.
            batch_size: clips per forward pass.

        Returns:
            For each clip a list of `{"label": str, "score": float}`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no clip, one of another length or rate, NaN, a broken file, or
                `top_k` out of range.
        """
        return self._classify(self.preprocessor(clips), top_k, batch_size)


def _patches(samples, patch_size):
    check_positive("patch_size", patch_size)
    _, length, channels = samples.shape
    check_divides("patch_size", patch_size, length)
    shape = (length // patch_size, patch_size * channels)
    return keras.layers.Reshape(shape, name="patches")(samples)
