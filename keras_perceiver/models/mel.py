"""Mel spectrograms of sound, as inputs."""

import dataclasses

import keras
from keras import ops

from keras_perceiver.layers.spec import Spec, check_positive

# What a mel spectrogram is told apart in: as many decibels below a full-scale sine.
RANGE_DB = 80.0


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MelSpec(Spec):
    """A mel spectrogram: how it is made of samples.

    Args:
        num_bins: frequencies, spaced by the mel scale from 20 Hz to half of the sampling
            rate.
        fft_length: samples in the window of one Fourier transform.
        stride: samples from one window to the next.

    Raises:
        ValueError: a number that is not positive.

    Example:
    >>> MelSpec(num_bins=64, stride=128).fft_length
    512
    """

    num_bins: int = 64
    fft_length: int = 512
    stride: int = 256

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            check_positive(name, value)


def mel_spectrogram(samples, mel, sampling_rate):
    """The levels `[B, bins, frames, channels]` of samples `[B, samples, channels]`.

    Raises:
        ValueError: a length that `mel` does not divide, or that is too short for it.
    """
    _, length, channels = samples.shape
    # Keras' layer is wrong about its own shape at other lengths.
    check_divides("mel.stride", mel.stride, length)
    if length <= mel.fft_length // 2:
        raise ValueError(
            "`samples` must exceed half of `mel.fft_length`. Received: "
            f"samples={length}, mel={mel}"
        )
    # The power of a full-scale sine of a Hann window's spectrum.
    full_scale = (mel.fft_length / 4) ** 2
    # In float32 under every policy. Keras' own limit on the range, `top_db`, counts from
    # the loudest of the whole batch: no clip may depend on its neighbours.
    spectrogram = keras.layers.MelSpectrogram(
        fft_length=mel.fft_length,
        sequence_stride=mel.stride,
        sampling_rate=sampling_rate,
        num_mel_bins=mel.num_bins,
        ref_power=full_scale,
        min_power=full_scale * 10 ** (-RANGE_DB / 10),
        top_db=float("inf"),
        dtype="float32",
        name="mel_spectrogram",
    )
    # It takes one channel at a time.
    levels = ops.stack(
        [spectrogram(samples[..., i]) for i in range(channels)], axis=-1
    )  # [B, bins, frames, channels]
    return keras.layers.Rescaling(2 / RANGE_DB, offset=1.0, name="levels")(levels)


def check_divides(name, size, samples):
    """Raise a ValueError unless `size` divides `samples`."""
    if samples % size:
        raise ValueError(
            f"`{name}` must divide `samples`. Received: {name}={size}, samples={samples}"
        )
