"""Clips of sound to arrays of samples."""

import io
import os
import struct

import numpy as np

from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.images import check_finite

# What SciPy raises over damaged files, some of it unawares.
BROKEN = (ValueError, TypeError, ZeroDivisionError, UnboundLocalError, struct.error)


class AudioPreprocessor:
    """Check clips and bring them to one type: floats in [-1, 1].

    Nothing is resampled, cut or filled up here: a clip of another rate or length is
    refused.

    Args:
        samples: length of a clip.
        channels: of a clip; 1 takes the mean of several.
        sampling_rate: samples a second.
        labels: names of the classes, or None.

    Raises:
        ValueError: a number that is not positive.

    Example:
    >>> preprocess = AudioPreprocessor(samples=4000, sampling_rate=8000)
    >>> preprocess(np.zeros(4000, "int16")).shape
    (1, 4000, 1)
    """

    def __init__(self, samples, channels=1, sampling_rate=16_000, labels=None):
        self.samples = samples
        self.channels = channels
        self.sampling_rate = sampling_rate
        self.labels = None if labels is None else [str(label) for label in labels]
        for name in ("samples", "channels", "sampling_rate"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value!r}"
                )

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {
            "samples": self.samples,
            "channels": self.channels,
            "sampling_rate": self.sampling_rate,
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __call__(self, clips):
        """Model inputs `[B, samples, channels]` in float32.

        Args:
            clips: one clip or a sequence: paths of WAV files, or arrays `[samples]`,
                `[samples, channels]`, `[B, samples, channels]` at `sampling_rate`;
                integers of 8 to 32 bits, as WAV files have them, or floats in [-1, 1].

        Raises:
            FileNotFoundError: no such file.
            ValueError: no clip, or one of another length, rate, range or number of
                channels, NaN, or a broken file.
            ImportError: a path, and SciPy is not installed.
        """
        if isinstance(clips, np.ndarray) and clips.ndim == 3:
            clips = list(clips)
        elif not isinstance(clips, (list, tuple)):
            clips = [clips]
        if not clips:
            raise ValueError("`clips` must hold at least one clip. Received none.")
        return np.stack([self._one(clip) for clip in clips])

    def _one(self, clip):
        if isinstance(clip, (str, os.PathLike)):
            rate, samples = read_wav(clip)
            if rate != self.sampling_rate:
                raise ValueError(
                    f"`clips` must have {self.sampling_rate} samples a second: resample "
                    f"them first. Received: {rate} in {clip}"
                )
        else:
            samples = _floats(clip)
        if self.channels == 1:
            samples = samples.mean(axis=-1, keepdims=True)
        if samples.shape != (self.samples, self.channels):
            raise ValueError(
                f"`clips` must have {self.samples} samples and {self.channels} channels: "
                "cut them, or fill them up with zeros. Received: "
                f"shape={samples.shape}"
            )
        return samples


def read_wav(path):
    """Sampling rate and samples of a WAV file.

    Args:
        path: of the file, of at most 64 MiB.

    Returns:
        Samples a second, and float32 `[samples, channels]` in [-1, 1].

    Raises:
        FileNotFoundError: no such file.
        ValueError: no WAV file, a broken one, or one too large.
        ImportError: SciPy is not installed.

    Example:
    >>> import tempfile
    >>> from keras_perceiver.preprocessing import write_wav
    >>> file = os.path.join(tempfile.mkdtemp(), "silence.wav")
    >>> rate, samples = read_wav(write_wav(file, np.zeros(800), sample_rate=8000))
    >>> rate, samples.shape
    (8000, (800, 1))
    """
    from scipy.io import wavfile

    content = read_bytes(path)
    try:
        rate, samples = wavfile.read(io.BytesIO(content))
    except BROKEN as error:
        raise ValueError(
            f"`clips` must be WAV files that can be read. Received: {path} ({error})"
        ) from None
    return rate, _floats(samples)


def _floats(samples):
    """Samples of any type as float32 `[samples, channels]` in [-1, 1]."""
    samples = np.asarray(samples)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or 0 in samples.shape:
        raise ValueError(
            "`clips` must be of shape [samples] or [samples, channels]. Received: "
            f"shape={samples.shape}"
        )
    if samples.dtype == np.uint8:  # the only unsigned type of WAV files
        return (samples.astype("float32") - 128) / 128
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype("float32")
    samples = samples.astype("float32")
    check_finite("clips", samples)
    if np.abs(samples).max() > 1:
        raise ValueError(
            "`clips` of another type than int16, int32 and uint8 must hold values in "
            f"[-1, 1]. Received values from {samples.min():g} to {samples.max():g}"
        )
    return samples
