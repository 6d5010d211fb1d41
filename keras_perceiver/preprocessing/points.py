"""Sets of points, of any sizes, to arrays of one size with a mask."""

import os

import numpy as np

from keras_perceiver.preprocessing.files import check_regular
from keras_perceiver.preprocessing.images import check_finite


class PointPreprocessor:
    """Check and pad sets of points.

    Args:
        num_axes: coordinates of a point, d.
        content_channels: channels of a point beside its coordinates.
        labels: names of the classes, or None.

    Raises:
        ValueError: a number out of its range.

    Example:
    >>> inputs = PointPreprocessor(2)([np.zeros((1, 2)), np.ones((3, 2))])
    >>> inputs["points"].shape, inputs["padding_mask"].tolist()
    ((2, 3, 2), [[1, 0, 0], [1, 1, 1]])
    """

    def __init__(self, num_axes, content_channels=0, labels=None):
        for name, value, least in (
            ("num_axes", num_axes, 1),
            ("content_channels", content_channels, 0),
        ):
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"`{name}` must be an integer from {least}. Received: {name}={value!r}"
                )
        self.num_axes = num_axes
        self.content_channels = content_channels
        self.labels = None if labels is None else [str(label) for label in labels]

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {
            "num_axes": self.num_axes,
            "content_channels": self.content_channels,
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __call__(self, sets, pad_to=None):
        """Model inputs of sets.

        Args:
            sets: arrays `[m, num_axes + content_channels]`, coordinates first, from -1
                to 1, or paths of `.npy` files with one each; a sequence of them, of any
                sizes, or one. A set may be empty.
            pad_to: number of slots, for shapes that stay the same; None for the size of
                the largest set.

        Returns:
            A dict of `points` `[B, M, num_axes + content_channels]`, float32, and
            `padding_mask` `[B, M]`, int32, 1 at points and 0 at padding.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no set, an array of another shape, coordinates out of range,
                NaN, a set larger than `pad_to`, or a broken file.
        """
        is_array = isinstance(sets, np.ndarray) and sets.ndim == 2
        if is_array or isinstance(sets, (str, os.PathLike)):
            sets = [sets]
        sets = [self._checked(points) for points in sets]
        if not sets:
            raise ValueError("`sets` must hold at least one set. Received none.")
        largest = max(map(len, sets))
        # One slot at least: attention to none is an error, to masked ones is defined.
        length = max(largest, 1) if pad_to is None else pad_to
        if largest > length:
            raise ValueError(
                f"`sets` must hold at most pad_to={length} points each. Received: {largest}"
            )
        channels = self.num_axes + self.content_channels
        points = np.zeros((len(sets), length, channels), "float32")
        sizes = np.asarray([len(x) for x in sets])
        padding_mask = np.arange(length) < sizes[:, None]
        points[padding_mask] = np.concatenate(sets)
        return {"points": points, "padding_mask": padding_mask.astype("int32")}

    def _checked(self, points):
        if isinstance(points, (str, os.PathLike)):
            points = read_points(points)
        points = np.asarray(points, "float32")
        channels = self.num_axes + self.content_channels
        if points.ndim != 2 or points.shape[1] != channels:
            raise ValueError(
                f"`sets` must be arrays [points, {channels}], {self.num_axes} coordinates "
                f"first. Received: shape={points.shape}"
            )
        check_finite("sets", points)
        largest = np.abs(points[:, : self.num_axes]).max(initial=0)
        if largest > 1:
            raise ValueError(
                "`sets` must have coordinates from -1 to 1: scale them, in training and "
                f"afterwards alike. Received one of size {largest:g}"
            )
        return points


def read_points(path):
    """The set of points in a `.npy` file, as `numpy.save` writes it.

    Args:
        path: of the file.

    Returns:
        Float32 `[m, channels]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such file of numbers, a broken one, or another shape.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "points.npy")
    >>> np.save(path, np.zeros((5, 3)))
    >>> read_points(path).shape
    (5, 3)
    """
    check_regular(path)
    try:
        # Mapped: a header that promises more than the file has allocates nothing.
        points = np.load(path, mmap_mode="r", allow_pickle=False)
        points = np.array(points, "float32")
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise ValueError(
            f"`sets` must be .npy files of numbers that can be read. Received: {path} "
            f"({error})"
        ) from None
    if points.ndim != 2:
        raise ValueError(
            f"{path} must hold an array [points, channels]. Received: shape={points.shape}"
        )
    return points
