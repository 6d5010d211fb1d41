"""Positions of inputs that stand on no grid: points with coordinates of their own."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.ops.fourier import coordinate_features, feature_channels
from keras_perceiver.ops.masks import check_rank, zero_masked


@keras.saving.register_keras_serializable("keras_perceiver")
class CoordinateEncoding(Configured, keras.layers.Layer):
    """Fourier features of given coordinates, behind what else is known of each point.

    No weights. What `FourierEncoding` gives for a position of a grid, this gives for a
    point that lies there. Features are computed in float32 under every dtype policy,
    then cast.

    Args:
        num_bands: frequencies per axis, from 1 to half of the resolution.
        max_resolution: one integer per axis, d of them: how many places from -1 to 1
            are to be told apart, which sets the highest frequency.

    Call arguments:
        coordinates: `[B, M, d]`, from -1 to 1.
        content: `[B, M, C]`, other channels of the points, for example colours; or None.
        padding_mask: `[B, M]`, True at real points; or None. Nothing of the other slots,
            NaN included, reaches the output or a gradient.

    Returns:
        `[B, M, C + d * (2 * num_bands + 1)]`; content first, then coordinates, sines and
        cosines of all axes.

    Raises:
        ValueError: a number that is not positive, or coordinates of another rank or with
            another number of axes than `max_resolution`.

    Example:
    >>> points = keras.random.uniform((2, 100, 3), -1, 1)
    >>> tuple(CoordinateEncoding(num_bands=8, max_resolution=(64, 64, 64))(points).shape)
    (2, 100, 51)

    Reference:
        arXiv 2103.03206, section 4.3 (ModelNet40) and appendix D.
    """

    def __init__(self, num_bands, max_resolution, **kwargs):
        # No cast of the inputs: coordinates need their float32.
        super().__init__(autocast=False, **kwargs)
        check_positive("num_bands", num_bands)
        for resolution in max_resolution:
            check_positive("max_resolution", resolution)
        self.num_bands = num_bands
        self.max_resolution = tuple(max_resolution)

    def build(self, coordinates_shape, content_shape=None, padding_mask_shape=None):
        """Check the number of axes."""
        if len(coordinates_shape) != 3 or coordinates_shape[-1] != len(self.max_resolution):
            raise ValueError(
                "`coordinates` must have shape [batch, points, axes] with one axis per "
                "entry of `max_resolution`. Received: coordinates.shape="
                f"{tuple(coordinates_shape)}, max_resolution={self.max_resolution}"
            )
        super().build(coordinates_shape)

    def call(self, coordinates, content=None, padding_mask=None):
        """See the class docstring."""
        # Zeros go in, rather than come out: the gradient at NaN would be NaN.
        coordinates = zero_masked(coordinates, padding_mask)
        x = coordinate_features(coordinates, self.num_bands, self.max_resolution)
        x = ops.cast(x, self.compute_dtype)  # [B, M, d * (2 * num_bands + 1)]
        if content is None:
            return x
        check_rank("content", content, (3,), "[B, M, C]")
        content = zero_masked(ops.cast(content, self.compute_dtype), padding_mask)
        return ops.concatenate([content, x], axis=-1)  # [B, M, C + ...]

    def compute_output_shape(
        self, coordinates_shape, content_shape=None, padding_mask_shape=None
    ):
        """`[B, M, C + d * (2 * num_bands + 1)]`."""
        channels = feature_channels(len(self.max_resolution), self.num_bands)
        if content_shape is not None:
            channels += content_shape[-1]
        return (*coordinates_shape[:2], channels)
