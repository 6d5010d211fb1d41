"""Fourier features of some points of a grid, by their number."""

import math

from keras import ops

from keras_perceiver.ops.fourier import axis_features


def point_features(points, shape, num_bands, max_resolution=None, endpoint=True):
    """What `fourier_features` has at some points of a grid.

    Nothing is computed for the rest of it: a video has a million points.

    Args:
        points: integers `[...]` from 0, the grid's points counted row by row.
        shape: sizes of the grid's axes.
        num_bands: frequencies per axis.
        max_resolution: tuple as long as `shape`, or None for `shape` itself.
        endpoint: whether the last coordinate of an axis is 1; False for
            `-1 + 2 * i / size`.

    Returns:
        `[..., d * (2 * num_bands + 1)]` in float32, for `d` axes.
    """
    by_axis, stride = [], math.prod(shape)
    for size, resolution in zip(shape, max_resolution or shape, strict=True):
        stride //= size
        index = points // stride % size
        tables = axis_features(size, num_bands, resolution, endpoint)
        by_axis.append([ops.take(table, index, axis=0) for table in tables])
    # The order of the official models: positions of all axes, then sines, then cosines.
    columns = [features[kind] for kind in range(3) for features in by_axis]
    return ops.concatenate(columns, axis=-1)
