"""Learned output queries."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.ops.fusion import cut_fusion


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
        indices: integers `[B, K]`: of these, the queries to return, other ones for each
            example. None for all.

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

    def build(self, reference_shape, positions_shape=None, indices_shape=None):
        """Create the array."""
        self.queries = self.add_weight(
            shape=(self.num_queries, self.channels),
            initializer=keras.initializers.RandomNormal(0.0, self.init_scale),
            name="queries",
        )
        super().build(reference_shape)

    def call(self, reference, positions=None, indices=None):
        """See the class docstring."""
        queries = ops.cast(self.queries, self.compute_dtype)[None]
        length = self.num_queries
        if positions is not None:
            self._check_length(positions.shape)
            length = ops.shape(positions)[1]
            queries = queries[:, :length]
        if indices is not None:
            return cut_fusion(ops.take(queries[0], indices, axis=0))  # [B, K, F]
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
        self, reference_shape, positions_shape=None, indices_shape=None
    ):
        """`[B, O, F]`."""
        if indices_shape is not None:
            return (*indices_shape, self.channels)
        length = self.num_queries
        if positions_shape is not None:
            self._check_length(positions_shape)
            length = positions_shape[1]
        return (reference_shape[0], length, self.channels)
