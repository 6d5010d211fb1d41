"""Fourier features, patches, masks, norms and selections."""

import keras
import numpy as np
import pytest
from keras import ops

import numpy_reference as reference
from keras_perceiver import ops as kops
from keras_perceiver.ops.fourier import feature_channels
from keras_perceiver.ops.masks import hides_nothing
from tolerances import FLOAT32


@pytest.mark.parametrize("shape", [(8, 8), (9, 7)])
def test_fourier_features_are_the_papers(shape):
    empty = np.zeros((1, *shape, 0))
    expected = reference.fourier(empty, num_bands=6).reshape(*shape, -1)
    features = kops.fourier_features(shape, 6)
    assert features.dtype == np.float32
    assert features.shape == (*shape, feature_channels(2, 6))
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_fourier_features_of_one_and_three_axes():
    assert kops.fourier_features((5,), 2).shape == (5, 5)
    volume = kops.fourier_features((2, 3, 4), 2)
    assert volume.shape == (2, 3, 4, 15)
    # Axis by axis: [p_1..p_3, sines 1..3, cosines 1..3].
    np.testing.assert_allclose(volume[1, 2, 3, :3], [1, 1, 1])
    np.testing.assert_allclose(volume[0, 0, 0, :3], [-1, -1, -1])
    np.testing.assert_allclose(volume[:, 1, 2, 3:5], kops.fourier_features((2,), 2)[:, 1:3])


def test_resolution_is_independent_of_the_shape():
    """Twice the pixels over the same range: every other position agrees."""
    small = kops.fourier_features((5,), 4, max_resolution=(32,))
    large = kops.fourier_features((9,), 4, max_resolution=(32,))
    np.testing.assert_allclose(small, large[::2], atol=1e-5)
    own = kops.fourier_features((9,), 4)
    assert np.abs(own - large).max() > 0.5
    with pytest.raises(ValueError, match="`max_resolution` must have one entry per axis"):
        kops.fourier_features((9, 9), 4, max_resolution=(32,))


def test_coordinates_have_the_features_of_their_place_in_a_grid():
    axes = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype("float32")
    features = ops.convert_to_numpy(kops.coordinate_features(places, 6, (9, 7)))
    np.testing.assert_allclose(features, kops.fourier_features((9, 7), 6), atol=FLOAT32)


@pytest.mark.parametrize(("shape", "resolution"), [((5,), (9,)), ((2, 3, 4), None)])
def test_features_of_points_are_those_of_the_grid(rng, shape, resolution):
    grid = kops.fourier_features(shape, 3, resolution)
    points = rng.integers(0, np.prod(shape), (2, 7))
    some = kops.point_features(ops.convert_to_tensor(points), shape, 3, resolution)
    expected = grid.reshape(-1, grid.shape[-1])[points]
    np.testing.assert_array_equal(ops.convert_to_numpy(some), expected)


def test_coordinates_without_the_endpoint():
    features = kops.point_features(ops.arange(4), (4,), 2, endpoint=False)
    features = ops.convert_to_numpy(features)
    places = -1 + 2 * np.arange(4) / 4
    np.testing.assert_allclose(features[:, 0], places)
    np.testing.assert_allclose(features[:, 2], np.sin(2 * np.pi * places), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "patch", "expected"),
    [
        ((2, 4, 6, 3), 2, (2, 2, 3, 12)),
        ((2, 4, 6, 3), (2, 3), (2, 2, 2, 18)),
        ((2, 4, 6, 8, 1), (2, 3, 4), (2, 2, 2, 2, 24)),
        ((2, 3, 4, 4, 1), 2, (2, 3, 2, 2, 4)),
        ((2, 6, 2), 3, (2, 2, 6)),
    ],
)
def test_space_to_depth(rng, shape, patch, expected):
    x = rng.normal(size=shape).astype("float32")
    patches = kops.space_to_depth(ops.convert_to_tensor(x), patch)
    assert tuple(patches.shape) == expected
    back = kops.depth_to_space(patches, patch)
    np.testing.assert_array_equal(ops.convert_to_numpy(back), x)


def test_space_to_depth_keeps_a_patch_in_reading_order():
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    patches = ops.convert_to_numpy(kops.space_to_depth(ops.convert_to_tensor(x), 2))
    np.testing.assert_array_equal(patches[0, 0, 1], [2, 3, 6, 7])


def test_neighbourhoods_are_patches_around_each_pixel(rng):
    x = rng.normal(size=(2, 3, 4, 5, 2)).astype("float32")
    patches = ops.convert_to_numpy(kops.neighbourhoods(ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(patches, reference.neighbourhoods(x).astype("float32"))
    wider = ops.convert_to_numpy(kops.neighbourhoods(ops.convert_to_tensor(x), radius=2))
    assert wider.shape == (2, 4, 5, 3 * 5 * 5 * 2)
    middle = wider.reshape(2, 4, 5, 3, 5, 5, 2)[..., 1:4, 1:4, :].reshape(patches.shape)
    np.testing.assert_array_equal(middle, patches)
    with pytest.raises(ValueError, match=r"`x` must have shape \[B, T, H, W, C\]"):
        kops.neighbourhoods(ops.zeros((1, 4, 5, 1)))


def test_space_to_depth_refuses():
    x = ops.zeros((1, 4, 5, 1))
    with pytest.raises(ValueError, match="`patch_size` must divide"):
        kops.space_to_depth(x, 2)
    with pytest.raises(ValueError, match="`patch_size` must be a positive integer or 2"):
        kops.space_to_depth(x, (1, 2, 3))
    with pytest.raises(ValueError, match="`x` must have shape"):
        kops.space_to_depth(x[0, 0], 2)


def test_normalize_is_a_norm_without_weights(rng):
    x = rng.normal(size=(2, 3, 16)).astype("float32") * 5 + 2
    y = ops.convert_to_numpy(kops.normalize(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-4)


def test_normalize_computes_in_float32():
    """Values of 3e4 have squares that float16 cannot hold."""
    x = ops.cast(np.array([[3e4, -3e4, 1e4, 2e4]]), "float16")
    y = ops.convert_to_numpy(kops.normalize(x))
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-2)


def test_normalize_takes_integers():
    y = ops.convert_to_numpy(kops.normalize(np.array([[0, 1, 2]], "int32")))
    np.testing.assert_allclose(y, [[-1.2247, 0, 1.2247]], atol=1e-3)


def test_mask_ranks():
    padding, per_query = np.ones((2, 5)), np.ones((2, 3, 5))
    per_head = np.ones((2, 4, 3, 5))
    assert kops.attention_bias_mask() is None
    assert tuple(kops.attention_bias_mask(padding).shape) == (2, 1, 1, 5)
    assert tuple(kops.attention_bias_mask(None, per_query).shape) == (2, 1, 3, 5)
    assert tuple(kops.attention_bias_mask(padding, per_head).shape) == (2, 4, 3, 5)
    with pytest.raises(ValueError, match="`padding_mask` must have shape \\[B, M\\]"):
        kops.attention_bias_mask(per_query)
    with pytest.raises(ValueError, match="`attention_mask` must have shape"):
        kops.attention_bias_mask(None, padding)


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="TensorFlow and JAX run compiled programs, in which masks have no values yet",
)
def test_masks_known_to_hide_nothing():
    import torch

    assert hides_nothing(None, (2, 3))
    assert hides_nothing(torch.ones(2, 3), (2, 3))
    assert hides_nothing(torch.ones(2, 1), (2, 3))
    assert not hides_nothing(torch.tensor([[1, 0]]), (1, 2))
    assert not hides_nothing(torch.ones(2, 3, device="meta"), (2, 3))  # has no numbers
    # Of another shape it changes the result's, or is an error.
    for shape in ((1, 3), (2, 4), (2, 3, 1)):
        assert not hides_nothing(torch.ones(2, 3), shape)
    # Nor in a program that will get other masks.
    x = torch.ones(1, 2, 3)
    traced = torch.jit.trace(kops.zero_masked, (x, torch.ones(1, 2)))
    assert traced(x, torch.tensor([[1.0, 0.0]])).sum() == 3
    mapped = torch.vmap(kops.zero_masked)(x[None], torch.ones(1, 1, 2))
    assert mapped.sum() == 6


PADDING = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]])


def rows(indices):
    return np.asarray(indices)[..., None] * np.ones(2, "float32")


def test_last_positions():
    x = ops.convert_to_tensor(
        np.broadcast_to(rows(np.arange(6)), (3, 6, 2)).astype("float32")
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(kops.last_positions(x, 2)), rows([[4, 5]] * 3)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(kops.last_positions(x, 3, PADDING)),
        rows([[3, 4, 5], [2, 3, 4], [5, 5, 5]]),
    )


def test_spaced_positions():
    x = ops.convert_to_tensor(
        np.broadcast_to(rows(np.arange(6)), (3, 6, 2)).astype("float32")
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(kops.spaced_positions(x, 3)), rows([[0, 2, 4]] * 3)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(kops.spaced_positions(x, 3, PADDING)),
        rows([[0, 2, 4], [2, 3, 4], [5, 5, 5]]),
    )
    with pytest.raises(ValueError, match="`num_positions` must lie between 1 and"):
        kops.spaced_positions(x, 7)
