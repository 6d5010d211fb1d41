"""Bicubic interpolation of a grid: PyTorch's, and the identity at the same size (D3)."""

import numpy as np
import pytest

from keras_perceiver.ops.resize import cubic_weights, resize_grid

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize("new_grid", [(5, 4), (10, 8), (7, 9), (3, 2), (1, 1), (23, 4)])
def test_it_is_that_of_pytorch(rng, new_grid):
    import torch

    values = rng.normal(size=(20, 3)).astype("float32")
    planes = torch.from_numpy(values.reshape(1, 5, 4, 3).transpose(0, 3, 1, 2).copy())
    expected = torch.nn.functional.interpolate(
        planes, size=new_grid, mode="bicubic", align_corners=False
    )
    resized = resize_grid(values, (5, 4), new_grid)
    assert resized.shape == (np.prod(new_grid), 3)
    expected = expected.numpy()[0].transpose(1, 2, 0).reshape(-1, 3)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_the_same_size_changes_nothing(rng):
    values = rng.normal(size=(20, 3))
    np.testing.assert_array_equal(resize_grid(values, (5, 4), (5, 4)), values)


@pytest.mark.parametrize("new_size", [1, 4, 9])
def test_weights_add_up_to_one(new_size):
    np.testing.assert_allclose(cubic_weights(6, new_size).sum(axis=1), 1, atol=1e-12)
