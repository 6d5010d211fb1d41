"""Labelled sets of points by random access."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_perceiver.data.folders import class_folders
from keras_perceiver.data.images import digits
from keras_perceiver.preprocessing import read_points


class PointSource(Sequence):
    """Sets of points, of any sizes, and their labels, in memory.

    Args:
        sets: arrays `[m, channels]`, coordinates first.
        labels: `[n]`, integers from 0.

    Raises:
        ValueError: labels that are not one integer a set.

    Example:
    >>> source = PointSource([np.zeros((5, 3)), np.zeros((2, 3))], [1, 0])
    >>> points, label = source[1]
    >>> points.shape, label
    ((2, 3), 0)
    """

    def __init__(self, sets, labels):
        self.sets = list(sets)
        self.labels = np.asarray(labels)
        if self.labels.shape != (len(self.sets),) or self.labels.dtype.kind not in "iu":
            raise ValueError(
                f"`labels` must be {len(self.sets)} integers, one a set. Received: "
                f"labels.shape={self.labels.shape}, dtype={self.labels.dtype}"
            )

    def __len__(self):
        return len(self.sets)

    def __getitem__(self, index):
        return self.sets[index], int(self.labels[index])

    def __repr__(self):
        return f"PointSource({len(self)} sets)"


@dataclasses.dataclass(frozen=True)
class PointData:
    """A data set of labelled sets of points, split in two.

    Args:
        train: records to train on: a sequence of `(points, label)`.
        test: records held out.
        labels: names of the classes.

    Example:
    >>> data = digit_points()
    >>> len(data.train), len(data.test), data.labels[7]
    (1437, 360, '7')
    >>> points, label = data.test[0]
    >>> points.shape[1]
    3
    """

    train: Sequence
    test: Sequence
    labels: list[str]


def digit_points(test_size: int = 360, seed: int = 0) -> PointData:
    """The handwritten digits of `digits`, each as the set of its inked pixels.

    Args:
        test_size: number of digits held out, with every class in proportion.
        seed: of the split.

    Returns:
        A `PointData` of sets `[m, 3]`, of 16 to 42 points: `x` to the right and `y`
        upwards, from -1 to 1, and the ink in (0, 1].
    """
    data = digits(test_size, seed)
    train, test = (
        PointSource([_inked(image) for image in part.images[..., 0]], part.labels)
        for part in (data.train, data.test)
    )
    return PointData(train, test, data.labels)


def point_folder(path: str, test_fraction: float = 0.2, seed: int = 0) -> PointData:
    """Sets of points in `path/<class>/<any name>.npy`, each an array `[m, channels]`.

    Args:
        path: folder with one sub-folder a class; its name is the class's.
        test_fraction: fraction held out, with every class in proportion.
        seed: of the split.

    Returns:
        A `PointData` of sets in memory, coordinates first and from -1 to 1.

    Raises:
        ValueError: `path` is no folder, or has fewer than two classes, or a class has
            fewer than two files, or one is no such array.
    """
    *parts, labels = class_folders(path, (".npy",), test_fraction, seed)
    train, test = (PointSource(map(read_points, files), y) for files, y in parts)
    return PointData(train, test, labels)


def _inked(image):
    rows, columns = np.nonzero(image)
    y, x = (np.linspace(-1, 1, size, dtype="float32") for size in image.shape)
    return np.stack([x[columns], -y[rows], image[rows, columns]], axis=-1)
