"""The multimodal autoencoder: points, chunks, missing inputs, learning."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_multimodal as tiny
from keras_perceiver.layers import AttentionSpec
from tolerances import FLOAT32


@pytest.fixture(scope="module")
def model():
    model = tiny.autoencoder()
    contract.randomize(model, np.random.default_rng(1))
    return model


def run(model, inputs):
    return {key: contract.as_numpy(x) for key, x in model(inputs).items()}


def by_point(name, output):
    """`[B, O, E]`, for an output of its natural shape."""
    kind = tiny.KINDS[name]
    return output.reshape(len(output), kind.num_points, kind.point_channels)


def test_everything_but_sets_is_given_back(model):
    outputs = run(model, tiny.batch())
    assert {key: x.shape for key, x in outputs.items()} == {
        "audio": (2, 8, 2),
        "image": (2, 4, 6, 1),
        "label": (2, 3),
        "text": (2, 6, 11),
    }


def test_points_are_those_of_the_full_output(model, rng):
    """D2: for each example its own, or the same for all."""
    inputs = tiny.batch()
    full = run(model, inputs)
    points = {
        name: rng.integers(0, tiny.KINDS[name].num_points, (2, 4)).astype("int32")
        for name in ("audio", "image", "text")
    }
    some = run(model, {**inputs, **{f"{name}_points": p for name, p in points.items()}})
    for name, chosen in points.items():
        expected = np.take_along_axis(by_point(name, full[name]), chosen[..., None], 1)
        np.testing.assert_allclose(some[name], expected, atol=FLOAT32)
    np.testing.assert_allclose(some["label"], full["label"], atol=FLOAT32)
    latents = model.encoder(inputs)
    same = model.decode(latents, {"image": points["image"][0]}, ["image"])
    assert list(same) == ["image"]
    expected = by_point("image", full["image"])[:, points["image"][0]]
    np.testing.assert_allclose(contract.as_numpy(same["image"]), expected, atol=FLOAT32)


@pytest.mark.parametrize(
    ("names", "chunk_size", "batch_size"),
    [(None, 1000, 2), (["image"], 7, 1), (["text", "audio"], 1, 2)],
)
def test_any_chunks_give_the_same(model, names, chunk_size, batch_size):
    """D1, with a remainder too."""
    inputs = tiny.batch()
    expected = run(model, inputs)
    outputs = model.reconstruct(inputs, names, batch_size, chunk_size)
    assert list(outputs) == (names or list(expected))
    for name, output in outputs.items():
        assert output.dtype == "float32"
        np.testing.assert_allclose(output, expected[name], atol=FLOAT32)


def test_a_missing_label_is_predicted(model):
    """M6: absent, None and masked, whatever the array holds."""
    inputs = tiny.batch(masks=False)
    given = model.reconstruct(inputs, ["label"])["label"]
    label = inputs.pop("label")
    absent = model.reconstruct(inputs, ["label"])["label"]
    assert np.abs(absent - given).max() > 1e-3
    for more in (
        {"label": None},
        {"label": 1 - label, "label_mask": np.zeros(2, "int32")},
    ):
        again = model.reconstruct({**inputs, **more}, ["label"])["label"]
        np.testing.assert_allclose(again, absent, atol=FLOAT32)


def test_it_reads_new_weights(model):
    """`reconstruct` is compiled once, the weights are not part of that."""
    inputs = tiny.batch(1)
    before = model.reconstruct(inputs, ["label"])["label"]
    bias = model.get_layer("label_output").bias
    bias.assign(bias + 1)
    after = model.reconstruct(inputs, ["label"])["label"]
    np.testing.assert_allclose(after, before + 1, atol=FLOAT32)


def test_training_is_the_same_however_inputs_are_missing():
    """M6 in `fit`, and NaN in what is masked spoils no weight."""
    inputs = tiny.batch(4, ("audio", "label"), masks=False)
    model = tiny.autoencoder("audio", "label")
    contract.randomize(model, np.random.default_rng(1))
    initial = model.get_weights()
    results = []
    for how in ("absent", "None", "masked"):
        some = tiny.without(inputs, "audio", how)
        model.set_weights(initial)
        model.compile("sgd", **kp.training.autoencoding_losses(model))
        history = model.fit(some, inputs, epochs=2, batch_size=2, shuffle=False, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    loss, weights = results[0]
    assert loss[1] < loss[0]
    for other_loss, other_weights in results[1:]:
        np.testing.assert_allclose(other_loss, loss, rtol=1e-5)
        for other, weight in zip(other_weights, weights, strict=True):
            np.testing.assert_allclose(other, weight, atol=FLOAT32)


@pytest.mark.slow
def test_it_overfits_a_batch():
    """T1, trained at points in a random order, judged by whole outputs."""
    encoder = kp.models.MultimodalEncoder(
        {name: tiny.KINDS[name] for name in ("audio", "label")},
        num_latents=8,
        latent_channels=32,
        cross_attention=AttentionSpec(num_heads=1),
        self_attention=AttentionSpec(num_heads=4),
        layers_per_block=1,
        init_scale=0.1,
    )
    model = kp.models.MultimodalAutoencoder(encoder, output_channels=32, init_scale=0.1)
    inputs = tiny.batch(4, ("audio", "label"), masks=False)
    steps, label = 300, inputs.pop("label")
    order = np.tile(np.arange(2), (4 * steps, 1))
    points = np.random.default_rng(0).permuted(order, axis=1)[..., None]  # [B, K, 1]
    audio = np.tile(inputs["audio"], (steps, 1, 1))
    wanted = np.take_along_axis(by_point("audio", audio), points, axis=1)
    loss = {"audio": "mse", "label": kp.training.TokenCrossentropy()}
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(
        {"audio": audio, "audio_points": points[..., 0]},
        {"audio": wanted, "label": np.tile(label, steps)},
        batch_size=4,
        shuffle=False,
        verbose=0,
    )
    outputs = model.reconstruct(inputs, batch_size=4)
    assert (outputs["label"].argmax(-1) == label).all()
    error = np.abs(outputs["audio"] - inputs["audio"]).mean()
    assert error < 0.1 * np.abs(inputs["audio"]).mean()


@pytest.mark.one_backend
def test_an_encoder_that_is_frozen_keeps_its_weights():
    model = tiny.autoencoder("image", "label")
    model.encoder.trainable = False
    before = model.encoder.get_weights()
    model.compile("adam", **kp.training.autoencoding_losses(model))
    inputs = tiny.batch(4, ("image", "label"))
    model.fit(inputs, {"image": inputs["image"], "label": inputs["label"]}, verbose=0)
    for weight, old in zip(model.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({}, r"one or more of \['audio', 'image', .*Received: \[\]"),
        ({"image": None}, r"one or more of .*Received: \[\]"),
        ({"imag": np.zeros((1, 4, 6, 1))}, r"Received: \['imag'\]"),
        (np.zeros((1, 4, 6, 1)), "`inputs` must be a dict.*Received: ndarray"),
        (
            {"image": np.zeros((1, 4, 6, 1)), "audio_mask": np.zeros(1)},
            "`audio_mask` must come with `audio`",
        ),
        (
            {"image": np.zeros((1, 4, 6, 1)), "places_points": np.zeros((1, 2))},
            r"Received: \['image', 'places_points'\]",
        ),
    ],
)
def test_inputs_that_are_refused(model, inputs, match):
    with pytest.raises(ValueError, match=match):
        model(inputs)


@pytest.mark.one_backend
def test_arguments_that_are_refused(model):
    with pytest.raises(ValueError, match=r"`names` must be of .*Received: \['places'\]"):
        model.reconstruct(tiny.batch(1), ["places"])
    with pytest.raises(ValueError, match="`chunk_size` must be a positive integer"):
        model.reconstruct(tiny.batch(1), chunk_size=0)
    with pytest.raises(ValueError, match="something to give back, beside sets"):
        tiny.autoencoder("places")
    for kinds in ({}, [1], {"image": 3}):
        with pytest.raises(ValueError, match="`modalities` must be a dict of names"):
            kp.models.MultimodalEncoder(kinds, num_latents=2, latent_channels=8)
    for make, match in (
        (lambda: kp.models.ImageModality(8, 9), r"`patch_size` must divide.*\(8, 9\)"),
        (lambda: kp.models.AudioModality(30), "`patch_size` must divide"),
        (lambda: kp.models.LabelModality(0), "`num_classes` must be a positive integer"),
        (
            lambda: kp.models.ImageModality(8, 8, max_resolution=(4, 0)),
            "`max_resolution` must be a positive integer",
        ),
        (lambda: kp.layers.GridQueries(()), "`grid` must have one to three axes"),
        (lambda: kp.layers.GridQueries((2, 0)), "`grid` must be a positive integer"),
        (
            lambda: kp.layers.GridQueries((2, 3), 2, (4,)),
            "`max_resolution` must have one entry per axis",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            make()
