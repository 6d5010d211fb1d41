"""Bicubic interpolation of values on a grid, in numpy."""

import numpy as np

# What PyTorch has; Keras has -0.5 on some backends and this on others.
SHARPNESS = -0.75


def resize_grid(values, grid, new_grid):
    """Values at the places of one grid, at those of another over the same area.

    Equal to PyTorch's `interpolate(mode="bicubic", align_corners=False)`, and to
    `values` where the grids are equal.

    Args:
        values: `[H * W, C]`, row by row.
        grid: `(H, W)`.
        new_grid: `(new H, new W)`.

    Returns:
        `[new H * new W, C]`.
    """
    rows, columns = (
        cubic_weights(size, new_size) for size, new_size in zip(grid, new_grid, strict=True)
    )
    values = np.reshape(values, (*grid, -1))
    resized = np.einsum("ih,jw,hwc->ijc", rows, columns, values, optimize=True)
    return resized.reshape(-1, values.shape[-1])


def cubic_weights(size, new_size):
    """Weights `[new_size, size]` of cubic interpolation along an axis.

    Beyond the ends, the values at the ends repeat.
    """
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    taps = np.floor(centres)[:, None] + np.arange(-1, 3)  # the four next to each
    near = np.abs(centres[:, None] - taps)
    weights = np.where(
        near <= 1,
        (SHARPNESS + 2) * near**3 - (SHARPNESS + 3) * near**2 + 1,
        SHARPNESS * (near**3 - 5 * near**2 + 8 * near - 4),
    )
    matrix = np.zeros((new_size, size))
    places = np.clip(taps, 0, size - 1).astype(int)
    np.add.at(matrix, (np.arange(new_size)[:, None], places), weights)
    return matrix
