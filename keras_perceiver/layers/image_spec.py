"""What an image encoder does to pixels before its attention, as values."""

import dataclasses

import keras

from keras_perceiver.layers.spec import Spec, check_positive

STEMS = ("conv", "pointwise")
PADDINGS = ("symmetric", "same")


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True, kw_only=True)
class StemSpec(Spec):
    """Convolutions that pixels go through before positions are added.

    Args:
        kind: `"conv"`, a convolution of 7 x 7 pixels with stride 2, batch
            normalisation, ReLU and the maximum of 3 x 3 with stride 2: a quarter of
            height and width is left; or `"pointwise"`, a linear map of the channels
            of each pixel.
        channels: that come out.
        padding: of `"conv"`. `"symmetric"`, as in transformers: 3 pixels on each side
            of the convolution, none of the maximum, so 224 become 55; or `"same"`,
            as DeepMind trained: 224 become 56.

    Raises:
        ValueError: another kind or padding, or channels that are not positive.

    Example:
    >>> StemSpec(kind="pointwise", channels=256).padding
    'symmetric'

    Reference:
        arXiv 2107.14795, appendix A; DeepMind's `io_processors.py`.
    """

    kind: str = "conv"
    channels: int = 64
    padding: str = "symmetric"

    def __post_init__(self):
        check_positive("channels", self.channels)
        for name, options in (("kind", STEMS), ("padding", PADDINGS)):
            if getattr(self, name) not in options:
                raise ValueError(
                    f"`{name}` must be one of {options}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedPositionSpec(Spec):
    """A learned vector for each place in an image, in place of Fourier features.

    Args:
        channels: of a vector.
        projection: channels that a linear map makes of it; None for no such map.
        init_scale: standard deviation of the vectors' initial values. DeepMind's
            Perceiver IO has 0.02, the first Perceiver 1.

    Raises:
        ValueError: channels that are not positive.

    Example:
    >>> LearnedPositionSpec(channels=128, projection=None).init_scale
    0.02

    Reference:
        arXiv 2107.14795, appendix A; arXiv 2103.03206, section 4.1.
    """

    channels: int = 256
    projection: int | None = 256
    init_scale: float = 0.02

    def __post_init__(self):
        check_positive("channels", self.channels)
        if self.projection is not None:
            check_positive("projection", self.projection)
