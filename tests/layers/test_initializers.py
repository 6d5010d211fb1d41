"""Initial weights that see differences of pixels, and not how bright they are."""

import keras
import numpy as np
from keras import ops

import tiny_flow
from keras_perceiver.layers.initializers import PixelDifferences
from keras_perceiver.ops import neighbourhoods


def test_plain_frames_are_nothing_whatever_their_colour(rng):
    kernel = PixelDifferences()((54, 16))
    colours = rng.uniform(-1, 1, (1, 1, 1, 1, 3)).astype("float32")
    frames = np.broadcast_to(colours, (1, 2, 5, 6, 3))
    inside = neighbourhoods(frames)[:, 1:-1, 1:-1] @ kernel  # edges see zeros beyond
    np.testing.assert_allclose(ops.convert_to_numpy(inside), 0, atol=1e-5)
    moved = ops.concatenate([frames[:, :1], 0.9 * frames[:, 1:]], axis=1)
    changed = ops.convert_to_numpy(neighbourhoods(moved)[:, 1:-1, 1:-1] @ kernel)
    assert np.abs(changed).max() > 0.1


def test_weights_are_normal_and_seeded():
    kernel = ops.convert_to_numpy(PixelDifferences(seed=1)((54, 2000)))
    # One of 18 degrees of freedom is gone.
    assert abs(kernel.mean()) < 0.01 and abs(kernel.std() - (17 / 18) ** 0.5) < 0.01
    again = keras.initializers.deserialize(
        keras.initializers.serialize(PixelDifferences(seed=1))
    )
    assert type(again) is PixelDifferences
    np.testing.assert_array_equal(ops.convert_to_numpy(again((54, 2000))), kernel)


def test_optical_flow_starts_with_them():
    kernel = tiny_flow.encoder().get_layer("patch_projection").kernel.numpy()
    sums = kernel.reshape(18, 3, -1).sum(axis=0)
    np.testing.assert_allclose(sums, 0, atol=1e-5)
    assert np.abs(kernel).max() > 0.5
