"""Labelled images by random access: embedded, or in folders."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_perceiver.data.folders import class_folders
from keras_perceiver.preprocessing.images import check_finite

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set of labelled images, split in two.

    Args:
        train: records to train on: a sequence of `(image, label)`.
        test: records held out.
        labels: names of the classes.

    Example:
    >>> data = digits()
    >>> len(data.train), len(data.test), data.labels[7]
    (1437, 360, '7')
    >>> image, label = data.test[0]
    >>> image.shape
    (8, 8, 1)
    """

    train: Sequence
    test: Sequence
    labels: list[str]


class ArraySource(Sequence):
    """Images and labels in memory, checked once: no bad record gets past this.

    Args:
        images: `[n, height, width, channels]`, uint8, or floats in [0, 1].
        labels: `[n]`, integers from 0.

    Raises:
        ValueError: another rank, no image, pixels that are NaN or out of range,
            labels that are not one non-negative integer an image.

    Example:
    >>> source = ArraySource(np.zeros((5, 8, 8, 1), "uint8"), np.arange(5))
    >>> source[3][1]
    3
    """

    def __init__(self, images, labels):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                "`images` must be a non-empty array [n, height, width, channels]. "
                f"Received: images.shape={images.shape}"
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"`labels` must be {len(images)} integers, one an image. Received: "
                f"labels.shape={labels.shape}, dtype={labels.dtype}"
            )
        if labels.min() < 0:
            raise ValueError(f"`labels` must be 0 or more. Received: {labels.min()}")
        if images.dtype != np.uint8:
            images = images.astype("float32")
            check_finite("images", images)
            if images.min() < 0 or images.max() > 1:
                raise ValueError(
                    "`images` must be uint8 or hold values in [0, 1]. Received values "
                    f"from {images.min():g} to {images.max():g}"
                )
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(self.labels[index])

    def __repr__(self):
        return f"ArraySource({self.images.shape}, {self.images.dtype})"


def digits(test_size: int = 360, seed: int = 0) -> ImageData:
    """Handwritten digits, 8 x 8 grey pixels, that come with scikit-learn.

    1797 real digits, from the test set of UCI's "Optical Recognition of
    Handwritten Digits".

    Args:
        test_size: number of digits held out, with every class in proportion.
        seed: of the split.

    Returns:
        An `ImageData` of float32 images `[8, 8, 1]` in [0, 1].
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=test_size, random_state=seed, stratify=labels
    )
    return ImageData(
        ArraySource(train, train_labels),
        ArraySource(test, test_labels),
        [str(i) for i in range(10)],
    )


class FileSource(Sequence):
    """Image files and their labels, read when asked for."""

    def __init__(self, paths, labels):
        self.paths = paths
        self.labels = labels

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from PIL import Image, ImageOps

        with Image.open(self.paths[index]) as image:
            image = ImageOps.exif_transpose(image)
            pixels = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
        return np.atleast_3d(pixels), int(self.labels[index])

    def __repr__(self):
        return f"FileSource({len(self)} files)"


def image_folder(path: str, test_fraction: float = 0.2, seed: int = 0) -> ImageData:
    """Images in `path/<class>/<any name>.png` (or `.jpg`, `.jpeg`).

    Args:
        path: folder with one sub-folder a class; its name is the class's.
        test_fraction: fraction held out, with every class in proportion.
        seed: of the split.

    Returns:
        An `ImageData` of uint8 images `[height, width, 1 or 3]`, of any sizes.

    Raises:
        ValueError: `path` is no folder, or has fewer than two classes, or a class
            has fewer than two images.
    """
    train, test, labels = class_folders(path, IMAGE_SUFFIXES, test_fraction, seed)
    return ImageData(FileSource(*train), FileSource(*test), labels)
