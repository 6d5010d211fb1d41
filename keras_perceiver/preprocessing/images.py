"""Images of any kind and size to normalised arrays."""

import os

import numpy as np

# Weights of red, green and blue in brightness (ITU-R 601, as in Pillow).
LUMA = (0.299, 0.587, 0.114)


class ImagePreprocessor:
    """Crop, resize and normalise images: `(pixels / 255 - mean) / std`.

    Args:
        image_shape: `(height, width, channels)` that come out; 1 channel turns
            colours into grey, 3 channels repeat grey.
        mean: a number, or one per channel, in units of full brightness.
        std: likewise.
        crop: fraction of the shorter side that is kept, a centred square; None to
            keep everything. The official ImageNet models use 224 / 256.
        labels: names of the classes, or None.

    Example:
    >>> preprocess = ImagePreprocessor((8, 8, 1))
    >>> preprocess(np.zeros((28, 28), "uint8")).shape
    (1, 8, 8, 1)
    """

    def __init__(self, image_shape, mean=0.5, std=0.5, crop=None, labels=None):
        self.image_shape = tuple(image_shape)
        self.mean = mean
        self.std = std
        self.crop = crop
        self.labels = None if labels is None else [str(label) for label in labels]
        for name, value in (("mean", mean), ("std", std)):
            numbers = np.asarray(value)
            if numbers.dtype.kind not in "iuf" or numbers.shape not in (
                (),
                self.image_shape[-1:],
            ):
                raise ValueError(
                    f"`{name}` must be a number or one per channel. "
                    f"Received: {name}={value!r}, image_shape={self.image_shape}"
                )
        if np.any(np.asarray(std) <= 0):
            raise ValueError(f"`std` must be positive. Received: std={std}")
        if crop is not None and not 0 < crop <= 1:
            raise ValueError(f"`crop` must lie in (0, 1]. Received: crop={crop}")

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {
            "image_shape": list(self.image_shape),
            "mean": np.asarray(self.mean).tolist(),
            "std": np.asarray(self.std).tolist(),
            "crop": self.crop,
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __call__(self, images):
        """Model inputs `[B, height, width, channels]` in float32.

        Args:
            images: one image or a sequence: paths, PIL images, or arrays `[H, W]`,
                `[H, W, C]`, `[B, H, W, C]`; uint8, or floats in [0, 1].

        Raises:
            ValueError: no image, an array of another shape or range, NaN pixels.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:
            images = list(images)
        elif not isinstance(images, (list, tuple)):
            images = [images]
        if not images:
            raise ValueError("`images` must hold at least one image. Received none.")
        return np.stack([self._one(image) for image in images])

    def _one(self, image):
        pixels = to_pixels(image, self.image_shape[-1])  # [H, W, C], uint8 or in [0, 1]
        height, width, channels = self.image_shape
        if self.crop is not None:
            pixels = _centre_square(pixels, self.crop)
        if channels == 1 and pixels.shape[-1] == 3:
            pixels = in_unit_range(pixels) @ np.asarray(LUMA, "float32")[:, None]
        elif channels == 3 and pixels.shape[-1] == 1:
            pixels = np.repeat(pixels, 3, axis=-1)
        elif channels != pixels.shape[-1]:
            raise ValueError(
                f"`images` must have {channels} channels. Received: shape={pixels.shape}"
            )
        if pixels.shape[:2] != (height, width):
            pixels = _resize(pixels, height, width)
        mean, std = (np.asarray(x, "float32") for x in (self.mean, self.std))
        return ((in_unit_range(pixels) - mean) / std).astype("float32")


def to_pixels(image, channels, name="images"):
    """Pixels `[H, W, C]` of one image, uint8 or float32 in [0, 1].

    Args:
        image: a path, a PIL image, or an array `[H, W]` or `[H, W, C]`; uint8, or
            floats in [0, 1].
        channels: 1 to read PIL images in grey. Arrays keep their channels.
        name: of the argument, for errors.

    Raises:
        ValueError: an array of another shape or range, NaN pixels.
    """
    if isinstance(image, (str, os.PathLike)):
        image = open_image(image, name)
    elif hasattr(image, "convert"):  # a PIL image
        image = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(
            f"`{name}` must be of shape [height, width] or [height, width, channels]. "
            f"Received: shape={image.shape}"
        )
    if image.dtype == np.uint8:
        return image
    image = image.astype("float32")
    check_finite(name, image)
    if image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"`{name}` of a float type must hold values in [0, 1]. Received values "
            f"from {image.min():g} to {image.max():g}"
        )
    return image


def in_unit_range(pixels):
    """Pixels of a byte or already in [0, 1] as float32 in [0, 1]."""
    return pixels.astype("float32") / 255 if pixels.dtype == np.uint8 else pixels


def check_finite(name, array):
    """Raise a ValueError that says where, if `array` holds NaN or infinity."""
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"`{name}` must be finite. Received {array[where]} at index {where}"
        )


def open_image(path, name="images"):
    """Pixels of an image file in colours, uint8 `[H, W, 3]`.

    Args:
        path: of the file.
        name: of the argument, for errors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            # Upright: a camera may say in the file how it was held.
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"`{name}` must be image files. Received: {path}") from None


def _centre_square(pixels, fraction):
    height, width = pixels.shape[:2]
    side = max(1, int(fraction * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _resize(pixels, height, width):
    """Bicubic, each byte rounded to a byte, as transformers and torchvision do."""
    from PIL import Image

    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    resized = np.stack(planes, axis=-1)
    # Bicubic floats overshoot; bytes are clipped already.
    return resized if resized.dtype == np.uint8 else np.clip(resized, 0, 1)
