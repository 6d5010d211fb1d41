"""Kinds of inputs that are grids: images, videos and sounds."""

import dataclasses
import math

import keras

from keras_perceiver.layers import FourierEncoding, GridQueries
from keras_perceiver.layers.modality import SpaceToDepth
from keras_perceiver.models.modalities import Modality
from keras_perceiver.ops.fourier import feature_channels


class _Grid(Modality):
    """Patches of a grid, each with the Fourier features of its place."""

    def __post_init__(self):
        super().__post_init__()
        pairs = zip(self.shape, self.patches, strict=False)
        if any(size % patch for size, patch in pairs):
            raise ValueError(
                f"`patch_size` must divide the sizes {self.shape[:-1]}. "
                f"Received: patch_size={self.patch_size}"
            )

    @property
    def patch_grid(self):
        """How many patches there are along each axis."""
        pairs = zip(self.shape, self.patches, strict=False)
        return tuple(size // patch for size, patch in pairs)

    def adapt(self, content, mask, name, init_scale):
        """See `Modality`."""
        x = SpaceToDepth(self.patches, name=f"{name}_patches")(content)
        encoding = FourierEncoding(
            self.num_bands, self.resolution, name=f"{name}_positions"
        )
        return encoding(x)  # [B, M, C]

    def queries(self, name, endpoint, init_scale):
        """See `Modality`."""
        return GridQueries(
            self.grid,
            self.num_bands,
            self.resolution,
            endpoint,
            name=f"{name}_queries",
        )

    def by_point(self, content):
        """Numpy content `[B, *shape]` as it is asked for: `[B, num_points, E]`."""
        return content.reshape(len(content), self.num_points, self.point_channels)

    @property
    def num_points(self):
        """Pixels, or pieces of sound."""
        return math.prod(self.grid)

    @property
    def query_channels(self):
        """Of the features of a place."""
        return feature_channels(len(self.grid), self.num_bands)

    @property
    def output_shape(self):
        """Shape of one reconstructed example."""
        return self.shape


class _Pixels(_Grid):
    """Read by patches, answered pixel by pixel."""

    @property
    def resolution(self):
        """What sets the highest frequencies, of inputs and outputs."""
        return tuple(self.max_resolution or self.patch_grid)

    @property
    def grid(self):
        """The points to ask for."""
        return self.shape[:-1]

    @property
    def point_channels(self):
        """Of an answer."""
        return self.channels


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class ImageModality(_Pixels):
    """Images, in square patches; reconstructed pixel by pixel.

    Args:
        height: in pixels.
        width: in pixels.
        channels: of a pixel.
        patch_size: pixels on a side of a patch; 1 for single pixels.
        num_bands: Fourier frequencies per axis.
        max_resolution: `(height, width)` that set the highest frequencies; None for
            the number of patches.

    Raises:
        ValueError: a number that is not positive, or patches that do not fit.

    Example:
    >>> ImageModality(8, 8, 1, patch_size=2).patch_grid
    (4, 4)
    """

    height: int
    width: int
    channels: int = 3
    patch_size: int = 4
    num_bands: int = 32
    max_resolution: tuple[int, int] | None = None

    @property
    def shape(self):
        """Of one example."""
        return (self.height, self.width, self.channels)

    @property
    def patches(self):
        """Size of a patch along each axis."""
        return (self.patch_size,) * 2


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class VideoModality(_Pixels):
    """Videos, frame by frame in square patches; reconstructed pixel by pixel.

    Args:
        frames: number of frames.
        height: in pixels.
        width: in pixels.
        channels: of a pixel.
        patch_size: pixels on a side of a patch; 1 for single pixels.
        num_bands: Fourier frequencies per axis.
        max_resolution: `(frames, height, width)` that set the highest frequencies; None
            for the number of patches.

    Raises:
        ValueError: a number that is not positive, or patches that do not fit.

    Example:
    >>> VideoModality(16, 224, 224).patch_grid
    (16, 56, 56)
    """

    frames: int
    height: int
    width: int
    channels: int = 3
    patch_size: int = 4
    num_bands: int = 32
    max_resolution: tuple[int, int, int] | None = None

    @property
    def shape(self):
        """Of one example."""
        return (self.frames, self.height, self.width, self.channels)

    @property
    def patches(self):
        """Size of a patch along each axis."""
        return (1, self.patch_size, self.patch_size)


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class AudioModality(_Grid):
    """Sounds, read and reconstructed in pieces of a few samples.

    Args:
        samples: number of samples.
        channels: of a sample.
        patch_size: samples of a piece.
        num_bands: Fourier frequencies, the highest set by `samples`.

    Raises:
        ValueError: a number that is not positive, or pieces that do not fit.

    Example:
    >>> AudioModality(30720).num_points
    1920
    """

    samples: int
    channels: int = 1
    patch_size: int = 16
    num_bands: int = 192

    @property
    def shape(self):
        """Of one example."""
        return (self.samples, self.channels)

    @property
    def patches(self):
        """Size of a piece."""
        return (self.patch_size,)

    @property
    def resolution(self):
        """What sets the highest frequency, of inputs and outputs."""
        return (self.samples,)

    @property
    def grid(self):
        """The points to ask for."""
        return self.patch_grid

    @property
    def point_channels(self):
        """Of an answer."""
        return self.patch_size * self.channels
