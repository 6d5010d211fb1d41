"""Random changes of training images: seeded, one after the other, none by default.

Keras is imported by what needs it, so that worker processes start fast without it.
"""

import dataclasses
import threading

import numpy as np

# Sides of a random crop, one over the other, at most.
MAX_RATIO = 4 / 3
# On PyTorch Keras draws beta numbers from the process's one generator, which it seeds
# first: one thread of a pipeline at a time.
ONE_THREAD = threading.Lock()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of images, and mixtures of those in a batch.

    The same seed gives the same images on the same backend; `rand_augment`, `cutmix`
    and `mixup` are layers of Keras and draw from the backend's random numbers.

    Args:
        shift: largest shift along each axis, in pixels, either way.
        rotate: largest rotation in degrees, either way.
        zoom: largest change of size as a fraction, either way.
        crop: smallest fraction of the area that a random crop keeps, with sides in a
            ratio of 3/4 to 4/3; 1 for no crop. It takes the place of the
            preprocessor's crop of the centre. The papers have 0.08.
        flip: mirror half of the images, left to right.
        rand_augment: operations of `keras.layers.RandAugment` on each image of three
            channels. It computes all of its eleven to take one, so it is slow; JAX
            compiles them again for each size of images, as a `crop` makes them.
        magnitude: their strength, from 0 to 1 on Keras' scale, where 0.1 turns by up to
            36 degrees.
        cutmix: `factor` of `keras.layers.CutMix`, which pastes a part of another image
            of the batch, and mixes the labels likewise; 0 for none.
        mixup: `alpha` of `keras.layers.MixUp`, which adds up two images and their
            labels; 0 for none. With `cutmix`, each batch has one of them, by lot.

    Raises:
        ValueError: a number out of its range.

    Example:
    >>> image = np.eye(8, dtype="float32")[..., None]
    >>> Augmentation(shift=1)(image, np.random.default_rng(0)).shape
    (8, 8, 1)

    Reference:
        arXiv 2107.14795, appendix A; arXiv 1909.13719, 1905.04899, 1710.09412.
    """

    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    crop: float = 1.0
    flip: bool = False
    rand_augment: int = 0
    magnitude: float = 0.1
    cutmix: float = 0.0
    mixup: float = 0.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < np.inf:
                raise ValueError(f"`{name}` must be 0 or more. Received: {name}={value}")
        for name in ("crop", "magnitude", "cutmix"):
            if getattr(self, name) > 1:
                raise ValueError(
                    f"`{name}` must be at most 1. Received: {name}={getattr(self, name)}"
                )

    @property
    def mixes(self):
        """Whether labels are mixed as well as images."""
        return bool(self.cutmix or self.mixup)

    def __call__(self, image, rng):
        """A changed copy of `image` `[H, W, C]`; what comes in from outside is 0."""
        if self.crop < 1:
            image = _cropped(image, self.crop, rng)
        if self.flip and rng.random() < 0.5:
            image = image[:, ::-1]
        if self.shift or self.rotate or self.zoom:
            image = self._moved(image, rng)
        if self.rand_augment:
            image = self._rand_augmented(image, rng)
        return image

    def mix(self, images, labels, rng):
        """A batch `[B, H, W, C]` with labels `[B, E]`, one-hot, mixed."""
        import keras

        kinds = ((keras.layers.CutMix, self.cutmix), (keras.layers.MixUp, self.mixup))
        wanted = [(layer, strength) for layer, strength in kinds if strength]
        layer, strength = wanted[rng.integers(len(wanted))]
        layer = layer(strength, seed=_seed(rng), dtype="float32")
        with ONE_THREAD:
            mixed = layer({"images": images, "labels": labels}, training=True)
        return tuple(keras.ops.convert_to_numpy(mixed[key]) for key in ("images", "labels"))

    def _moved(self, image, rng):
        from scipy.ndimage import affine_transform

        angle = np.deg2rad(rng.uniform(-self.rotate, self.rotate))
        scale = 1 + rng.uniform(-self.zoom, self.zoom)
        shift = rng.uniform(-self.shift, self.shift, size=2)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        matrix = np.asarray([[cos, -sin], [sin, cos]])
        centre = (np.asarray(image.shape[:2]) - 1) / 2
        offset = centre - matrix @ (centre + shift)
        planes = [
            affine_transform(plane, matrix, offset, order=1)
            for plane in np.moveaxis(image, -1, 0)
        ]
        return np.stack(planes, axis=-1)

    def _rand_augmented(self, image, rng):
        import keras

        if image.shape[-1] != 3:
            raise ValueError(
                f"`rand_augment` needs images of 3 channels. Received: shape={image.shape}"
            )
        brightest = 255 if image.dtype == np.uint8 else 1
        # Made anew for each image: the layer's own seed would depend on what other
        # threads of the pipeline do.
        layer = keras.layers.RandAugment(
            (0, brightest),
            self.rand_augment,
            self.magnitude,
            seed=_seed(rng),
            dtype="float32",
        )
        pixels = keras.ops.convert_to_numpy(layer(image, training=True))
        pixels = np.clip(pixels, 0, brightest)
        return np.rint(pixels).astype("uint8") if brightest == 255 else pixels


def _cropped(image, smallest, rng):
    height, width = image.shape[:2]
    side = np.sqrt(rng.uniform(smallest, 1) * height * width)
    ratio = np.sqrt(MAX_RATIO ** rng.uniform(-1, 1))
    rows = min(height, max(1, round(side * ratio)))
    columns = min(width, max(1, round(side / ratio)))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    return image[top : top + rows, left : left + columns]


def _seed(rng):
    return int(rng.integers(2**31))
