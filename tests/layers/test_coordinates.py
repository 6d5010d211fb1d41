"""Fourier features of given coordinates: on a grid those of the grid, elsewhere too."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_perceiver as kp
from gradients import weight_gradients
from tolerances import FLOAT32


def as_numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def grid(*shape):
    axes = [np.linspace(-1, 1, size) for size in shape]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return places.reshape(1, -1, len(shape)).astype("float32")


@pytest.mark.parametrize("shape", [(9,), (8, 6), (3, 4, 5)])
def test_on_a_grid_it_is_the_encoding_of_the_grid(shape):
    content = np.random.default_rng(0).normal(size=(1, *shape, 2)).astype("float32")
    expected = kp.layers.FourierEncoding(6)(content)
    layer = kp.layers.CoordinateEncoding(6, max_resolution=shape)
    out = layer(grid(*shape), content.reshape(1, -1, 2))
    np.testing.assert_allclose(as_numpy(out), as_numpy(expected), atol=FLOAT32)


def test_resolution_is_a_choice():
    wide = kp.layers.FourierEncoding(6, max_resolution=(20, 30))
    expected = wide(np.zeros((1, 5, 4, 0), "float32"))
    out = kp.layers.CoordinateEncoding(6, (20, 30))(grid(5, 4))
    np.testing.assert_allclose(as_numpy(out), as_numpy(expected), atol=FLOAT32)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_features_are_computed_in_float32(policy):
    """Inputs included: coordinates in bfloat16 would be off by whole pixels (N3)."""
    places = grid(224)
    exact = kp.ops.fourier_features((224,), 64)
    layer = kp.layers.CoordinateEncoding(64, (224,), dtype=policy)
    out = layer(ops.convert_to_tensor(places))
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    # Half of the last of 8 bits, and what float32 loses of an angle of 352 radians.
    assert np.abs(as_numpy(out)[0] - exact).max() <= 2**-8 + 1e-4


def test_masked_slots_reach_neither_output_nor_gradient():
    """M2, where coordinates are learned: NaN in a masked one stays alone."""
    learned = kp.layers.LearnedQueries(3, 2)
    layer = kp.layers.CoordinateEncoding(4, (8, 8))
    mask = np.array([[1, 1, 0]])

    def features():
        places = learned(np.zeros((1, 1), "float32"))
        return layer(places, content=places, padding_mask=mask)

    features()
    results = []
    for hidden in (0.3, np.nan, np.inf):
        values = np.array([[0.1, -0.7], [0.5, 0.2], [hidden, hidden]])
        learned.queries.assign(values)
        _, gradients = weight_gradients(learned, lambda: ops.sum(ops.square(features())))
        results.append((as_numpy(features()), *gradients.values()))
    for out, gradient in results:
        np.testing.assert_array_equal(out, results[0][0])
        np.testing.assert_array_equal(gradient, results[0][1])
        assert np.isfinite(out).all()
        assert np.abs(gradient[:2]).min() > 0
        assert not gradient[2].any()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: kp.layers.CoordinateEncoding(0, (8, 8)),
            "`num_bands` must be a positive integer",
        ),
        (
            lambda: kp.layers.CoordinateEncoding(4, (8, 0)),
            "`max_resolution` must be a positive integer",
        ),
        (
            lambda: kp.layers.CoordinateEncoding(4, (8, 8))(np.zeros((1, 5, 3))),
            "one axis per entry of `max_resolution`. Received: .*\\(1, 5, 3\\)",
        ),
        (
            lambda: kp.layers.CoordinateEncoding(4, (8, 8))(np.zeros((5, 2))),
            "`coordinates` must have shape \\[batch, points, axes\\]",
        ),
        (
            lambda: kp.layers.CoordinateEncoding(4, (8, 8))(
                np.zeros((1, 5, 2)), np.zeros((1, 5))
            ),
            "`content` must have shape \\[B, M, C\\]",
        ),
    ],
)
def test_errors_name_the_argument(make, match):
    with pytest.raises(ValueError, match=match):
        make()
