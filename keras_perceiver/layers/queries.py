"""Output queries: learned, or positions of a grid."""

import math

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.ops.fourier import feature_channels
from keras_perceiver.ops.fusion import cut_fusion
from keras_perceiver.ops.points import point_features


@keras.saving.register_keras_serializable("keras_perceiver")
class LearnedQueries(Configured, keras.layers.Layer):
    """An array of learned queries, repeated for each example.

    Args:
        num_queries: number of queries, O: 1 for a classifier, one per position
            for a masked language model.
        channels: channels of a query, F.
        init_scale: standard deviation of the initial values.

    Call arguments:
        reference: any tensor `[B, ...]`; only its batch size is used.
        positions: a tensor `[B, S, ...]` to answer position by position: only the
            first S queries are returned. None for all.
        points: integers `[B, K]` from 0 to O - 1: the queries to return, other ones for
            each example. None for all.

    Returns:
        `[B, O, F]`, `[B, S, F]` or `[B, K, F]`.

    Raises:
        ValueError: more positions than queries.

    Example:
    >>> tuple(LearnedQueries(3, 8)(keras.ops.ones((2, 5, 5))).shape)
    (2, 3, 8)
    """

    def __init__(self, num_queries, channels, init_scale=0.02, **kwargs):
        super().__init__(**kwargs)
        check_positive("num_queries", num_queries)
        check_positive("channels", channels)
        self.num_queries = num_queries
        self.channels = channels
        self.init_scale = init_scale

    def build(self, reference_shape, positions_shape=None, points_shape=None):
        """Create the array."""
        self.queries = self.add_weight(
            shape=(self.num_queries, self.channels),
            initializer=normal(self.init_scale),
            name="queries",
        )
        super().build(reference_shape)

    def call(self, reference, positions=None, points=None):
        """See the class docstring."""
        queries = ops.cast(self.queries, self.compute_dtype)
        if points is not None:
            return cut_fusion(ops.take(queries, points, axis=0))  # [B, K, F]
        queries = queries[None]
        length = self.num_queries
        if positions is not None:
            self._check_length(positions.shape)
            length = ops.shape(positions)[1]
            queries = queries[:, :length]
        shape = (ops.shape(reference)[0], length, self.channels)
        return ops.broadcast_to(queries, shape)  # [B, O, F]

    def _check_length(self, shape):
        # An unknown size is None, or a symbol while JAX exports.
        if isinstance(shape[1], int) and shape[1] > self.num_queries:
            raise ValueError(
                "`positions` must not be longer than `num_queries`. Received: "
                f"positions.shape={tuple(shape)}, num_queries={self.num_queries}"
            )

    def compute_output_shape(
        self, reference_shape, positions_shape=None, points_shape=None
    ):
        """`[B, O, F]`."""
        if points_shape is not None:
            return (*points_shape, self.channels)
        length = self.num_queries
        if positions_shape is not None:
            self._check_length(positions_shape)
            length = positions_shape[1]
        return (reference_shape[0], length, self.channels)


@keras.saving.register_keras_serializable("keras_perceiver")
class GridQueries(Configured, keras.layers.Layer):
    """Queries for the points of a grid: Fourier features of where they stand.

    No weights. What is asked for are pixels of an image or a video, or pieces of a
    sound; all of them, or some.

    Args:
        grid: one to three sizes of axes, for example `(height, width)`.
        num_bands: frequencies per axis, from 1 to half of the resolution.
        max_resolution: one integer per axis, which sets the highest frequency; None
            for the grid's own size.
        endpoint: whether coordinates run from -1 to 1, as those of `FourierEncoding`
            do; False for -1 + 2 * i / size, as the official models decode.

    Call arguments:
        reference: any tensor `[B, ...]`; only its batch size is used.
        points: integers `[B, K]`, the points to ask for, counted row by row from 0.
            None for all, O.

    Returns:
        `[B, O, F]`, or `[B, K, F]`, with `F = d * (2 * num_bands + 1)` for `d` axes.

    Raises:
        ValueError: a grid that is not one to three positive integers, or a
            `max_resolution` of another length.

    Example:
    >>> queries = GridQueries((4, 4), num_bands=2)
    >>> tuple(queries(ops.ones((2, 3, 8))).shape)
    (2, 16, 10)
    >>> tuple(queries(ops.ones((2, 3, 8)), ops.array([[0, 5, 15]] * 2)).shape)
    (2, 3, 10)

    Reference:
        arXiv 2107.14795, section 3.2 and appendix G.
    """

    def __init__(self, grid, num_bands=64, max_resolution=None, endpoint=True, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        if not 1 <= len(self.grid) <= 3:
            raise ValueError(f"`grid` must have one to three axes. Received: grid={grid}")
        self.max_resolution = None if max_resolution is None else tuple(max_resolution)
        for name, values in (
            ("grid", self.grid),
            ("num_bands", (num_bands,)),
            ("max_resolution", self.max_resolution or ()),
        ):
            for value in values:
                check_positive(name, value)
        if self.max_resolution and len(self.max_resolution) != len(self.grid):
            raise ValueError(
                "`max_resolution` must have one entry per axis of the grid. Received: "
                f"max_resolution={max_resolution}, grid={grid}"
            )
        self.num_bands = num_bands
        self.endpoint = endpoint

    def call(self, reference, points=None):
        """See the class docstring."""
        every = points is None
        if every:
            points = ops.arange(math.prod(self.grid), dtype="int32")[None]  # [1, O]
        features = point_features(
            points, self.grid, self.num_bands, self.max_resolution, self.endpoint
        )
        features = ops.cast(features, self.compute_dtype)
        if every:
            shape = (ops.shape(reference)[0], *features.shape[1:])
            features = ops.broadcast_to(features, shape)
        return features  # [B, O, F] or [B, K, F]

    def compute_output_shape(self, reference_shape, points_shape=None):
        """`[B, O, F]`, or `[B, K, F]`."""
        channels = feature_channels(len(self.grid), self.num_bands)
        if points_shape is not None:
            return (*points_shape, channels)
        return (reference_shape[0], math.prod(self.grid), channels)
