"""Position encodings: where an input stands, as part of its channels."""

import math

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.dense import Dense
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.ops.fourier import feature_channels, grid_columns
from keras_perceiver.ops.rotary import shifted_positions


@keras.saving.register_keras_serializable("keras_perceiver")
class FourierEncoding(Configured, keras.layers.Layer):
    """Concatenate Fourier features of its grid position to each input, and flatten.

    No weights. Features are computed in float32 under every dtype policy, then
    cast: in bfloat16 the angles themselves would be wrong by more than a radian.

    Args:
        num_bands: frequencies per axis, from 1 to half of the resolution.
        max_resolution: one integer per grid axis, which sets the highest
            frequency; None for the inputs' own size. Set it to feed other sizes
            than the ones trained on.

    Call arguments:
        inputs: `[B, ..., C]` with one to three grid axes of known size: samples
            `[B, T, C]`, images `[B, H, W, C]`, videos `[B, T, H, W, C]`.

    Returns:
        `[B, M, C + d * (2 * num_bands + 1)]` for `d` axes, M the product of their
        sizes; inputs first, then positions, sines and cosines of all axes.

    Raises:
        ValueError: no grid axis, one of unknown size or of size 0, or a
            `max_resolution` of another length.

    Example:
    >>> tuple(FourierEncoding(num_bands=32)(keras.ops.ones((2, 28, 28, 1))).shape)
    (2, 784, 131)

    Reference:
        arXiv 2103.03206, section 3.2 and appendix D.
    """

    def __init__(self, num_bands=64, max_resolution=None, **kwargs):
        super().__init__(**kwargs)
        check_positive("num_bands", num_bands)
        for resolution in max_resolution or ():
            check_positive("max_resolution", resolution)
        self.num_bands = num_bands
        self.max_resolution = None if max_resolution is None else tuple(max_resolution)

    def build(self, inputs_shape):
        """Check the grid."""
        self._grid(inputs_shape)
        super().build(inputs_shape)

    def call(self, inputs):
        """See the class docstring."""
        grid = self._grid(inputs.shape)
        lead = (ops.shape(inputs)[0], *grid)
        columns = [
            ops.broadcast_to(
                ops.cast(column, self.compute_dtype)[None], (*lead, column.shape[-1])
            )
            for column in grid_columns(grid, self.num_bands, self.max_resolution)
        ]
        x = ops.concatenate([ops.cast(inputs, self.compute_dtype), *columns], axis=-1)
        return ops.reshape(x, (lead[0], math.prod(grid), x.shape[-1]))  # [B, M, C + ...]

    def _grid(self, shape):
        grid = tuple(shape[1:-1])
        if not 1 <= len(grid) <= 3 or not all(grid):
            raise ValueError(
                "`inputs` must have shape [batch, ..., channels] with one to three "
                f"grid axes of known, positive size. Received: inputs.shape={tuple(shape)}"
            )
        if self.max_resolution is not None and len(self.max_resolution) != len(grid):
            raise ValueError(
                "`max_resolution` must have one entry per grid axis. Received: "
                f"max_resolution={self.max_resolution}, inputs.shape={tuple(shape)}"
            )
        return grid

    def compute_output_shape(self, inputs_shape):
        """`[B, M, C + d * (2 * num_bands + 1)]`."""
        grid = self._grid(inputs_shape)
        channels = inputs_shape[-1] + feature_channels(len(grid), self.num_bands)
        return (inputs_shape[0], math.prod(grid), channels)


@keras.saving.register_keras_serializable("keras_perceiver")
class LearnedPositions(Configured, keras.layers.Layer):
    """Add or concatenate a learned vector per position, and flatten the grid.

    Args:
        num_positions: length of the table; None for the inputs' own length. Shorter
            inputs use its beginning.
        channels: channels of a vector when concatenated; None to add vectors with
            the inputs' channels instead.
        init_scale: standard deviation of the initial values.
        projection: channels that a linear map makes of the vectors before they are
            concatenated; None for no such map. Needs `channels`.

    Call arguments:
        inputs: `[B, M, C]`, or a grid `[B, ..., C]` that is flattened row by row.
        padding_mask: `[B, M]`, True at real inputs, to count positions from the
            first of them: padding on the left then changes nothing. None to count
            from the beginning.

    Returns:
        `[B, M, C]` (added), or `[B, M, C + channels]` (concatenated), with `projection`
        in place of `channels` if there is one.

    Raises:
        ValueError: inputs longer than the table, or of unknown length without
            `num_positions`; a `projection` without `channels`.

    Example:
    >>> tuple(LearnedPositions()(keras.ops.ones((2, 10, 8))).shape)
    (2, 10, 8)
    >>> tuple(LearnedPositions(channels=4)(keras.ops.ones((2, 3, 3, 8))).shape)
    (2, 9, 12)

    Reference:
        arXiv 2103.03206, section 3.2 (learned position encodings).
    """

    def __init__(
        self,
        num_positions=None,
        channels=None,
        init_scale=0.02,
        projection=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("num_positions", num_positions),
            ("channels", channels),
            ("projection", projection),
        ):
            if value is not None:
                check_positive(name, value)
        if projection is not None and channels is None:
            raise ValueError(
                f"`projection` needs `channels`. Received: projection={projection}, "
                "channels=None"
            )
        self.num_positions = num_positions
        self.channels = channels
        self.init_scale = init_scale
        self.projection = projection
        if projection is not None:
            self.project = Dense(projection, dtype=self.dtype_policy, name="projection")

    def build(self, inputs_shape, padding_mask_shape=None):
        """Create the table."""
        length = self._length(inputs_shape)
        if self.num_positions is None and length is None:
            raise ValueError(
                "`num_positions` must be given for inputs of unknown length. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )
        self.positions = self.add_weight(
            shape=(self.num_positions or length, self.channels or inputs_shape[-1]),
            initializer=normal(self.init_scale),
            name="positions",
        )
        if self.projection is not None:
            self.project.build(self.positions.shape)
        super().build(inputs_shape)

    def call(self, inputs, padding_mask=None):
        """See the class docstring."""
        self._length(inputs.shape)
        shape = ops.shape(inputs)
        length = math.prod(shape[1:-1]) if len(shape) > 3 else shape[1]
        x = ops.reshape(inputs, (shape[0], length, inputs.shape[-1]))  # [B, M, C]
        table = ops.cast(self.positions, self.compute_dtype)[:length]
        if self.projection is not None:  # once for the batch
            table = self.project(table)
        if padding_mask is None:
            positions = table[None]
        else:
            positions = ops.take(table, shifted_positions(padding_mask), axis=0)
        if self.channels is None:
            return x + positions
        lead = (shape[0], length, table.shape[-1])
        return ops.concatenate([x, ops.broadcast_to(positions, lead)], axis=-1)

    def _length(self, shape):
        grid = tuple(shape[1:-1])
        if not grid:
            raise ValueError(
                "`inputs` must have shape [batch, ..., channels] with at least one "
                f"position axis. Received: inputs.shape={tuple(shape)}"
            )
        length = None if None in grid else math.prod(grid)
        size = self.positions.shape[0] if self.built else self.num_positions
        # An unknown size is None, or a symbol while JAX exports.
        if isinstance(length, int) and size is not None and length > size:
            raise ValueError(
                "`inputs` must not be longer than `num_positions`. Received: "
                f"inputs.shape={tuple(shape)}, num_positions={size}"
            )
        return length

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        """`[B, M, C]`, or with `channels` those more, or those of the `projection`."""
        channels = inputs_shape[-1] + (self.projection or self.channels or 0)
        return (inputs_shape[0], self._length(inputs_shape), channels)
