"""Multimodal models: what is missing, points, chunks, learning."""

import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_multimodal as tiny
from tolerances import FLOAT32


@pytest.fixture(scope="module")
def encoder():
    """With all kinds of inputs."""
    model = tiny.encoder()
    contract.randomize(model, np.random.default_rng(1))
    return model


@pytest.mark.parametrize("name", tiny.KINDS)
def test_masked_absent_and_none_are_the_same(encoder, name):
    """M6, and NaN in what is masked reaches nothing."""
    inputs = tiny.batch(masks=False)
    everything = contract.as_numpy(encoder(inputs))
    results = []
    for how in ("absent", "None", "masked"):
        some = tiny.without(inputs, name, how)
        results.append(contract.as_numpy(encoder(some)))
        if name == "audio":
            results.append(encoder.predict(some, verbose=0))
    assert np.isfinite(results[0]).all()
    assert np.abs(results[0] - everything).max() > 1e-3
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=FLOAT32)


@pytest.mark.parametrize("name", tiny.KINDS)
def test_one_kind_alone_is_enough(encoder, name):
    inputs = tiny.batch(masks=False)
    alone = contract.as_numpy(encoder({name: inputs[name]}))
    masked = dict(inputs)
    for other in set(tiny.KINDS) - {name}:
        masked = tiny.without(masked, other, "masked")
    np.testing.assert_allclose(contract.as_numpy(encoder(masked)), alone, atol=FLOAT32)


def test_nothing_at_all_is_finite(encoder):
    inputs = tiny.batch(masks=False)
    for name in tiny.KINDS:
        inputs = tiny.without(inputs, name, "masked")
    assert np.isfinite(contract.as_numpy(encoder(inputs))).all()


def test_a_batch_is_its_examples(encoder):
    """M7, with other kinds missing in each example."""
    inputs = tiny.batch()
    together = contract.as_numpy(encoder(inputs))
    for i in range(2):
        alone = encoder({key: x[i : i + 1] for key, x in inputs.items()})
        np.testing.assert_allclose(contract.as_numpy(alone)[0], together[i], atol=FLOAT32)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32"])
def test_masks_of_other_types(encoder, dtype):
    """M8."""
    inputs = tiny.batch()
    expected = contract.as_numpy(encoder(inputs))
    masks = {key: x.astype(dtype) for key, x in inputs.items() if key.endswith("_mask")}
    actual = contract.as_numpy(encoder({**inputs, **masks}))
    np.testing.assert_allclose(actual, expected, atol=FLOAT32)


def test_padding_of_texts_and_sets_changes_nothing(encoder):
    """M1."""
    inputs = tiny.batch(masks=False)
    expected = contract.as_numpy(encoder(inputs))
    longer = {
        **inputs,
        "text": np.pad(inputs["text"], ((0, 0), (0, 1)), constant_values=-7),
        "text_mask": np.array([[1] * 5 + [0]] * 2),
        "places": np.concatenate([inputs["places"], np.full((2, 3, 3), np.nan)], axis=1),
        "places_mask": np.array([[1] * 5 + [0] * 3] * 2),
    }
    np.testing.assert_allclose(contract.as_numpy(encoder(longer)), expected, atol=FLOAT32)


def test_the_order_of_the_names_does_not_matter(encoder):
    kinds = dict(reversed(tiny.KINDS.items()))
    again = kp.models.MultimodalEncoder(
        kinds, encoder.min_padding, **encoder.encoder_options
    )
    assert [w.path for w in again.weights] == [w.path for w in encoder.weights]
    again.set_weights(encoder.get_weights())
    inputs = tiny.batch()
    np.testing.assert_array_equal(
        contract.as_numpy(again(inputs)), contract.as_numpy(encoder(inputs))
    )


def test_all_inputs_have_the_same_channels(encoder):
    """The widest kind gets `min_padding` learned channels."""
    widths = {
        name: encoder.get_layer(f"{name}_padding").padding.shape[-1] for name in tiny.KINDS
    }
    # Patches of 2 x 2 grey pixels, and 1 + 2 * 2 features of each of 2 axes.
    channels = 4 + 2 * 5 + encoder.min_padding
    assert widths == {
        "audio": channels - (4 * 2 + 5),  # pieces of 4 samples of 2 channels
        "image": encoder.min_padding,
        "label": channels - 3,
        "places": channels - 3,
        "text": channels - 4,
    }
    assert encoder.get_layer("inputs").output.shape[-1] == channels
