"""Fourier position features of grids and of points (arXiv 2103.03206, section 3.2)."""

import numpy as np
from keras import ops


def band_frequencies(resolution, num_bands):
    """Frequencies `[bands]` of one axis, in float64.

    Linearly from 1 to half the resolution (the Nyquist frequency): linearly, not as
    powers of two.
    """
    return np.linspace(1.0, resolution / 2, num_bands)


def axis_features(size, num_bands, max_resolution=None, endpoint=True):
    """Fourier features of one axis, in float32.

    Coordinates run from -1 to 1.

    Args:
        size: number of positions on the axis.
        num_bands: number of frequencies.
        max_resolution: the resolution that sets the highest frequency; None for
            `size`. Keep it fixed to feed other sizes than a model was trained on.
        endpoint: whether the last coordinate is 1; False for `-1 + 2 * i / size`.

    Returns:
        `positions` `[size, 1]`, `sines` `[size, bands]`, `cosines` `[size, bands]`.
    """
    positions = np.linspace(-1.0, 1.0, size, endpoint=endpoint)[:, None]
    frequencies = band_frequencies(max_resolution or size, num_bands)
    angles = np.pi * positions * frequencies  # [size, bands]
    return tuple(
        part.astype("float32") for part in (positions, np.sin(angles), np.cos(angles))
    )


def feature_channels(num_axes, num_bands):
    """Channels of the Fourier features of a place on `num_axes` axes."""
    return num_axes * (2 * num_bands + 1)


def coordinate_features(coordinates, num_bands, max_resolution):
    """Fourier features of given points, the same as of a grid where one lies there.

    Args:
        coordinates: `[..., d]`, from -1 to 1, never rounded to bfloat16: the angles
            would be wrong by more than a radian.
        num_bands: frequencies per axis.
        max_resolution: `d` numbers; half of each is the highest frequency of its axis.

    Returns:
        `[..., d * (2 * num_bands + 1)]` in float32, in the order of `fourier_features`.
    """
    coordinates = ops.cast(coordinates, "float32")
    frequencies = [band_frequencies(size, num_bands) for size in max_resolution]
    radians = ops.convert_to_tensor(np.pi * np.stack(frequencies), "float32")
    angles = coordinates[..., None] * radians  # [..., d, bands]
    lead = ops.shape(coordinates)[:-1]
    angles = ops.reshape(angles, (*lead, len(frequencies) * num_bands))
    return ops.concatenate([coordinates, ops.sin(angles), ops.cos(angles)], axis=-1)


def fourier_features(shape, num_bands, max_resolution=None):
    """Fourier features of a whole grid.

    Args:
        shape: sizes of the grid's axes, for example `(height, width)`.
        num_bands: frequencies per axis.
        max_resolution: tuple as long as `shape`, or None for `shape` itself.

    Returns:
        A numpy array `[*shape, d * (2 * num_bands + 1)]` in float32, for `d` axes in
        the order `[p_1 .. p_d, sin(axis 1) .. sin(axis d), cos(axis 1) .. cos(axis d)]`
        of the official models.
    """
    columns = grid_columns(shape, num_bands, max_resolution)
    return np.concatenate(
        [np.broadcast_to(c, (*shape, c.shape[-1])) for c in columns], axis=-1
    )


def grid_columns(shape, num_bands, max_resolution=None):
    """The features of `fourier_features`, as pieces that broadcast to the grid.

    Each piece depends on one axis only and has size 1 on the others: a model
    need not store, nor compute the sine of, `H x W x channels` numbers.
    """
    shape = tuple(shape)
    resolution = tuple(max_resolution or shape)
    if len(resolution) != len(shape):
        raise ValueError(
            "`max_resolution` must have one entry per axis of the grid. Received: "
            f"max_resolution={resolution}, grid={shape}"
        )
    per_axis = []
    for axis, (size, axis_resolution) in enumerate(zip(shape, resolution, strict=True)):
        layout = [size if other == axis else 1 for other in range(len(shape))]
        per_axis.append(
            [
                part.reshape(*layout, part.shape[-1])
                for part in axis_features(size, num_bands, axis_resolution)
            ]
        )
    return [features[kind] for kind in range(3) for features in per_axis]
