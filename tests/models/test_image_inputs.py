"""Stems, learned positions, and the same weights at another resolution (D3)."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec, LearnedPositionSpec, StemSpec
from tolerances import FLOAT32

SHAPE = (12, 10, 3)
POINTWISE = {
    "stem": StemSpec(kind="pointwise", channels=4),
    "positions": LearnedPositionSpec(channels=6, projection=5),
}
CONV = {"stem": StemSpec(channels=4), "num_bands": 3}


def classifier(shape=SHAPE, **options):
    encoder = kp.models.ImageEncoder(
        shape,
        num_latents=4,
        latent_channels=8,
        layers_per_block=1,
        self_attention=AttentionSpec(num_heads=2),
        **options,
    )
    return kp.models.ImageClassifier(encoder, 3)


def call(model, x):
    """Without compilation, which costs more than all the rest here."""
    return keras.ops.convert_to_numpy(model(x))


def randomized(**options):
    model = classifier(**options)
    contract.randomize(model, np.random.default_rng(1))
    return model


@pytest.mark.parametrize(
    ("padding", "size", "grid"),
    [
        ("symmetric", 224, (55, 55)),
        ("same", 224, (56, 56)),
        ("symmetric", 56, (13, 13)),
        ("same", 53, (14, 14)),
    ],
)
def test_a_convolution_leaves_a_quarter(padding, size, grid):
    encoder = classifier((size, size, 3), stem=StemSpec(padding=padding)).encoder
    assert encoder.grid == grid
    assert encoder.get_layer("positions").output.shape[1] == grid[0] * grid[1]


def test_the_convolution_is_plain_arithmetic(rng):
    """Padding as DeepMind's, which is one more pixel below and to the right."""
    model = randomized(shape=(8, 8, 3), stem=StemSpec(channels=4, padding="same"))
    encoder = model.encoder
    x = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    padded = np.pad(x, [(0, 0), (2, 3), (2, 3), (0, 0)])
    kernel = np.asarray(encoder.get_layer("stem").kernel)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    y = np.einsum("bijchw,hwco->bijo", windows[:, ::2, ::2], kernel)
    norm = encoder.get_layer("stem_norm")
    gamma, beta, mean, variance = (np.asarray(w) for w in norm.weights)
    y = np.maximum(gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta, 0)
    y = np.pad(y, [(0, 0), (0, 1), (0, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(y, (3, 3), axis=(1, 2))
    expected = windows[:, ::2, ::2].max(axis=(-2, -1))
    pool = keras.Model(encoder.input, encoder.get_layer("stem_pool").output)
    np.testing.assert_allclose(call(pool, x), expected, atol=1e-4)


def test_batch_normalisation_learns_its_statistics_unless_frozen(rng):
    """As DeepMind's: nine tenths of the old mean are kept."""
    model = classifier(**CONV)
    x = rng.normal(size=(4, *SHAPE)).astype("float32") + 1
    model.compile("sgd", "mse")
    norm = model.encoder.get_layer("stem_norm")
    stem = keras.Model(model.input, model.encoder.get_layer("stem").output)
    mean = call(stem, x).mean(axis=(0, 1, 2))
    model.train_on_batch(x, np.zeros((4, 3)))
    after = np.asarray(norm.moving_mean)
    np.testing.assert_allclose(after, 0.1 * mean, atol=1e-4)
    model.encoder.trainable = False
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros((4, 3)))
    np.testing.assert_array_equal(np.asarray(norm.moving_mean), after)


def test_learned_positions_tell_places_apart(rng):
    """Without them the order of the pixels would mean nothing."""
    model = randomized(**POINTWISE)
    x = rng.normal(size=(1, *SHAPE)).astype("float32")
    first, turned = call(model, np.concatenate([x, x[:, ::-1]]))
    assert np.abs(first - turned).max() > 1e-3
    table = model.encoder.get_layer("positions").positions
    assert tuple(table.shape) == (120, 6)
    table.assign(np.zeros(table.shape))
    first, turned = call(model, np.concatenate([x, x[:, ::-1]]))
    np.testing.assert_allclose(first, turned, atol=FLOAT32)


@pytest.mark.parametrize("options", [{"num_bands": 3}, POINTWISE, CONV])
def test_another_size_with_the_same_weights(rng, options):
    model = randomized(**options)
    same = model.resized(SHAPE[:2])
    x = rng.normal(size=(2, *SHAPE)).astype("float32")
    np.testing.assert_array_equal(call(same, x), call(model, x))
    larger = model.resized((17, 23))
    assert larger.encoder.image_shape == larger.preprocessor.image_shape == (17, 23, 3)
    x = rng.normal(size=(2, 17, 23, 3)).astype("float32")
    assert np.isfinite(call(larger, x)).all()
    # Weights are its own: training one leaves the other alone.
    shared = {id(w) for w in model.weights} & {id(w) for w in larger.weights}
    assert not shared
    if options is not POINTWISE:
        assert larger.encoder.max_resolution == model.encoder.grid
        for ours, theirs in zip(model.weights, larger.weights, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_resized_model_sees_the_same_picture():
    """Twice as large, logits of a smooth image stay close; without resizing they do not."""
    model = randomized(**POINTWISE)
    y, x = np.mgrid[0:24, 0:20] / 24
    large = np.stack([y, x, y * x], axis=-1)[None].astype("float32")
    small = large.reshape(1, 12, 2, 10, 2, 3).mean(axis=(2, 4))
    expected = call(model, small)
    resized = model.resized((24, 20))
    close = np.abs(call(resized, large) - expected).max()
    resized.encoder.get_layer("positions").positions.assign(np.zeros((480, 6)))
    assert close < 0.1 * np.abs(call(resized, large) - expected).max()


def test_flops_of_stems():
    """By hand."""
    pointwise = kp.models.flops(classifier((6, 5, 3), **POINTWISE))
    N, D, M, C = 4, 8, 30, 9
    cross = 2 * (N * D * C + 2 * M * C * C + 2 * N * M * C + N * C * D + 2 * N * D * D)
    block = 2 * (4 * N * D * D + 2 * N * N * D + 2 * N * D * D)
    head = 2 * (2 * D * D + 2 * N * D * D + 2 * N * D + 2 * D * D) + 2 * D * 3
    inputs = 2 * M * (3 * 4 + 6 * 5)
    assert pointwise == inputs + cross + block + head
    conv = kp.models.flops(classifier((12, 12, 3), stem=StemSpec(channels=4), num_bands=1))
    M, C = 4, 4 + 6
    cross = 2 * (N * D * C + 2 * M * C * C + 2 * N * M * C + N * C * D + 2 * N * D * D)
    assert conv == 2 * 36 * 49 * 3 * 4 + cross + block + head


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: StemSpec(kind="patches"),
            r"`kind` must be one of \('conv', 'pointwise'\). Received: kind='patches'",
        ),
        (lambda: StemSpec(padding="valid"), "`padding` must be one of.*padding='valid'"),
        (lambda: StemSpec(channels=0), "`channels` must be a positive.*channels=0"),
        (
            lambda: LearnedPositionSpec(projection=-1),
            "`projection` must be a positive integer. Received: projection=-1",
        ),
        (
            lambda: classifier(max_resolution=(8, 8), **POINTWISE),
            r"`max_resolution` .* learned `positions`. Received: max_resolution=\(8, 8\)",
        ),
        (
            lambda: kp.layers.LearnedPositions(projection=3),
            "`projection` needs `channels`. Received: projection=3",
        ),
    ],
)
def test_refusals(make, match):
    with pytest.raises(ValueError, match=match):
        make()
