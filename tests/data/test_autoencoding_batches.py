"""Batches for a multimodal autoencoder: points, masks, order, refusals."""

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_multimodal as tiny

pytestmark = pytest.mark.one_backend
NAMES = ("audio", "image", "label", "places", "text")


@pytest.fixture(scope="module")
def model():
    return tiny.autoencoder(*NAMES)


@pytest.fixture
def arrays():
    return tiny.batch(10, NAMES, masks=False)


def test_without_a_seed_each_example_comes_once_in_order(model, arrays):
    batches = kp.data.autoencoding_batches(arrays, model, batch_size=4)
    assert [len(inputs["audio"]) for inputs, _ in batches] == [4, 4, 2]
    for name in NAMES:
        together = np.concatenate([inputs[name] for inputs, _ in batches])
        np.testing.assert_array_equal(together, arrays[name])
    inputs, targets = batches[0]
    assert set(inputs) == set(NAMES)
    assert set(targets) == set(NAMES) - {"places"}  # a set is not given back
    np.testing.assert_array_equal(targets["image"], inputs["image"])


def test_targets_are_those_at_the_points(model, arrays):
    batches = kp.data.autoencoding_batches(
        arrays, model, 4, seed=0, num_points={"audio": 1, "image": 24}
    )
    inputs, targets = batches[5]
    assert targets["audio"].shape == (4, 1, 8)
    for row in range(4):
        points = inputs["image_points"][row]
        assert sorted(points) == list(range(24))  # all of them, each once
        expected = inputs["image"][row].reshape(24, 1)[points]
        np.testing.assert_array_equal(targets["image"][row], expected)
        piece = inputs["audio_points"][row, 0]
        expected = inputs["audio"][row, 4 * piece : 4 * piece + 4].ravel()
        np.testing.assert_array_equal(targets["audio"][row, 0], expected)


def test_a_part_of_the_examples_is_masked(model, arrays):
    rates = {"label": 0.5, "text": 0.25, "audio": 1.0, "image": 0.0}
    batches = kp.data.autoencoding_batches(arrays, model, 10, seed=0, mask_rates=rates)
    batches = [batches[i][0] for i in range(50)]
    for name, rate in rates.items():
        masks = np.concatenate([inputs[f"{name}_mask"] for inputs in batches])
        assert masks.dtype == "int32"
        assert masks.mean() == pytest.approx(1 - rate, abs=0.08)
    text = batches[0]["text_mask"]
    assert text.shape == (10, 5)
    assert (text == text[:, :1]).all()


def test_the_same_seed_gives_the_same_and_epochs_differ(model, arrays):
    options = {"seed": 3, "num_points": {"image": 5}, "mask_rates": {"label": 0.5}}
    first, again = (
        kp.data.autoencoding_batches(arrays, model, 4, **options) for _ in range(2)
    )
    for step in (0, 7):
        for one, other in zip(first[step], again[step:][0], strict=True):
            assert set(one) == set(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
    epochs = [first[0][0]["image_points"], first[2][0]["image_points"]]
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ({"video": np.zeros((10, 2))}, {}, "`arrays` must be a dict of arrays of one"),
        ({"label": np.zeros(9, int)}, {}, "`arrays` must be a dict of arrays of one"),
        ({"image": np.zeros((10, 4, 5, 1))}, {}, r"arrays\['image'\]` must have shape"),
        ({"image": np.full((10, 4, 6, 1), np.nan)}, {}, "`image` must be finite"),
        ({"label": np.full(10, 3)}, {}, "integers from 0 to 2.*values from 3 to 3"),
        ({"label": np.zeros(10)}, {}, "integers from 0 to 2. Received: dtype=float64"),
        ({}, {"batch_size": 11}, "`batch_size` must lie between 1 and .*examples, 10"),
        ({}, {"seed": None, "num_points": {"image": 1}}, "need a `seed`"),
        ({}, {"num_points": {"image": 25}}, "'image': 25, of 24"),
        ({}, {"num_points": {"text": 2}}, "'text': 2, of None"),
        ({}, {"num_points": {"film": 2}}, "'film': 2, of None"),
        ({}, {"mask_rates": {"label": 1.5}}, "'label': 1.5"),
        ({}, {"mask_rates": {"film": 0.5}}, "'film': 0.5"),
    ],
)
def test_refusals(model, arrays, change, options, match):
    options = {"batch_size": 4, "seed": 0, **options}
    with pytest.raises(ValueError, match=match):
        kp.data.autoencoding_batches({**arrays, **change}, model, **options)
