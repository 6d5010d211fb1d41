"""Models of sets of points: order and padding do not matter; raw sets in, classes out."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_points
from keras_perceiver.preprocessing import PointPreprocessor
from keras_perceiver.presets.form import to_form
from tolerances import BFLOAT16, FLOAT32


@pytest.fixture(scope="module")
def model():
    model = tiny_points.classifier(PointPreprocessor(2, 1, labels=["star", "box", "bar"]))
    contract.randomize(model, np.random.default_rng(1))
    return model


def logits(model, sets, pad_to=20):
    """Few shapes, so that the tests compile few functions."""
    return model.predict(model.preprocessor(sets, pad_to), verbose=0)


def test_order_does_not_matter(model):
    """M5."""
    sets = tiny_points.sets(5, 20, 1)
    rng = np.random.default_rng(2)
    shuffled = [rng.permutation(points) for points in sets]
    np.testing.assert_allclose(logits(model, shuffled), logits(model, sets), atol=FLOAT32)
    moved = [points * [-1, 1, 1] for points in sets]
    assert np.abs(logits(model, moved) - logits(model, sets)).max() > 1e-2


def test_padding_does_not_matter(model):
    """Neither how much (M1), nor what it holds (M2), nor the other sets (M7)."""
    sets = tiny_points.sets(5, 20, 1)
    expected = np.concatenate([logits(model, points) for points in sets])
    np.testing.assert_allclose(logits(model, sets), expected, atol=FLOAT32)
    inputs = model.preprocessor(sets, pad_to=33)
    for content in (0, 1e6, np.nan, np.inf):
        inputs["points"][inputs["padding_mask"] == 0] = content
        out = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(out, expected, atol=FLOAT32)


def test_an_empty_set_is_read_as_nothing(model):
    """M9: defined, the same among others as alone, and with any padding."""
    sets = [*tiny_points.sets(7, 12), np.zeros((0, 3))]
    out = logits(model, sets)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(logits(model, sets[2:]), out[2:], atol=FLOAT32)
    np.testing.assert_allclose(logits(model, sets, pad_to=33), out, atol=FLOAT32)
    assert np.abs(out[2] - out[0]).max() > 1e-2
    with pytest.raises(ValueError, match="at least one key"):
        model({"points": np.zeros((1, 0, 3)), "padding_mask": np.zeros((1, 0), "int32")})


def test_classify_raw_sets(model):
    sets = tiny_points.sets(5, 20, 1)
    results = model.classify(sets, top_k=3)
    for result, row in zip(results, logits(model, sets), strict=True):
        assert {r["label"] for r in result} == {"star", "box", "bar"}
        assert sum(r["score"] for r in result) == pytest.approx(1, abs=1e-5)
        assert result[0]["label"] == ["star", "box", "bar"][row.argmax()]
    one = model.classify(sets[1])
    assert len(one) == 1
    assert one[0][0]["score"] == pytest.approx(results[1][0]["score"], abs=1e-5)
    with pytest.raises(ValueError, match="`sets` must hold at least one set"):
        model.classify([])


def test_coordinates_alone_are_enough():
    """Without content; one axis."""
    encoder = kp.models.PointEncoder(
        (16,), num_bands=2, num_latents=2, latent_channels=8, layers_per_block=1
    )
    assert encoder.input["points"].shape == (None, None, 1)
    assert encoder.get_layer("encoder").first_cross.attend.key_dense.kernel.shape[0] == 5
    model = kp.models.PointClassifier(encoder, 2)
    assert model.preprocessor([np.zeros((4, 1))])["points"].shape == (1, 4, 1)


def test_a_preset_round_trip(tmp_path, model):
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert to_form(again) == to_form(model)
    sets = tiny_points.sets(4, 11, 2)
    np.testing.assert_allclose(logits(again, sets), logits(model, sets), atol=1e-6)
    assert again.preprocessor.labels == ["star", "box", "bar"]


def test_flops_count_the_points(model):
    """The keys' share grows with their number; the features cost nothing here."""
    channels, qk, v, latents = 1 + 2 * 7, 8, 8, 4
    per_point = 2 * (channels * qk + channels * v + latents * qk + latents * v)
    few, many = (kp.models.flops(model, length=n) for n in (10, 30))
    assert many - few == 20 * per_point


def test_it_overfits_a_batch():
    """T1."""
    model = tiny_points.classifier()
    contract.randomize(model, np.random.default_rng(1))
    model.compile(
        keras.optimizers.Adam(2e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    inputs, labels = (
        model.preprocessor(tiny_points.sets(3, 8, 5, 1, 6, 2)),
        np.arange(6) % 3,
    )
    steps = 80
    model.fit(
        {name: np.tile(x, (steps,) + (1,) * (x.ndim - 1)) for name, x in inputs.items()},
        np.tile(labels, steps),
        batch_size=6,
        shuffle=False,
        verbose=0,
    )
    assert model.evaluate(inputs, labels, verbose=0) < 0.02


def test_coordinates_stay_in_float32_in_a_model():
    """Under mixed bfloat16 the features of near points still differ as they should."""
    places = np.linspace(-1, 1, 224, dtype="float32")[None, :, None]
    mask = np.ones((1, 224), "int32")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder = kp.models.PointEncoder(
            (224,), num_latents=2, latent_channels=8, layers_per_block=1
        )
        features = keras.Model(encoder.input, encoder.get_layer("positions").output)
        out = features.predict({"points": places, "padding_mask": mask}, verbose=0)
    finally:
        keras.config.set_dtype_policy(policy)
    exact = kp.ops.fourier_features((224,), 64)
    np.testing.assert_allclose(out[0].astype("float32"), exact, atol=BFLOAT16)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: kp.models.PointEncoder((), num_latents=2), "`num_axes` must be"),
        (
            lambda: kp.models.PointEncoder((8, 8), -1, num_latents=2),
            "`content_channels` must be an integer from 0. Received: content_channels=-1",
        ),
        (
            lambda: tiny_points.classifier(PointPreprocessor(3)),
            "encoder's inputs.*'num_axes': 3, 'content_channels': 0}, expected .*2,.* 1}",
        ),
        (
            lambda: tiny_points.classifier(PointPreprocessor(2, 1, labels=["a"])),
            "one label per class",
        ),
    ],
)
def test_refusals(make, match):
    with pytest.raises(ValueError, match=match):
        make()
