"""Image models: numbers, counts, sharing, freezing, learning, raw images."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import numpy_reference as reference
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.preprocessing import ImagePreprocessor
from tiny import classifier as tiny
from tiny import images
from tolerances import FLOAT32


@pytest.mark.parametrize("head", ["decoder", "average"])
def test_logits_are_the_papers(head):
    """Against a reference in plain numpy, so equal on all backends (N1)."""
    model = tiny(head, num_cross_attentions=2, num_blocks=2, share_first_block=False)
    contract.randomize(model, np.random.default_rng(1))
    x = images(3)
    expected = reference.classifier_logits(model, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=FLOAT32)


def test_sharing_of_weights():
    """Repeats with shared weights cost no parameters (N8)."""
    once = tiny().count_params()
    assert tiny(num_blocks=4).count_params() == once
    shared = tiny(num_blocks=4, num_cross_attentions=4, share_first_cross_attention=True)
    assert shared.count_params() == once
    own_block = tiny(num_blocks=4, share_first_block=False).count_params()
    block = kp.layers.SelfAttentionBlock(1, AttentionSpec(num_heads=2))
    block.build((None, 4, 8))
    assert own_block == once + block.count_params()
    own_cross = tiny(num_blocks=4, num_cross_attentions=4)
    assert own_cross.count_params() > once
    assert (
        own_cross.count_params()
        == tiny(num_blocks=2, num_cross_attentions=2).count_params()
    )


def test_flops_count_what_runs():
    """The papers' formula against a hand count; folding executes less."""
    model = tiny()
    M, C, N, D = 30, 15, 4, 8
    cross = 2 * (N * D * C + 2 * M * C * C + 2 * N * M * C + N * C * D + 2 * N * D * D)
    block = 2 * (4 * N * D * D + 2 * N * N * D + 2 * N * D * D)
    decoder = 2 * (2 * D * D + 2 * N * D * D + 2 * N * D + 2 * D * D)
    assert kp.models.flops(model) == cross + block + decoder + 2 * D * 3
    saved = 2 * (2 * M * C * C - 2 * N * C * C)
    folded = kp.models.flops(model, executed=True)
    # The decoder reads few latents with one query: it folds too.
    assert folded <= kp.models.flops(model) - saved
    with pytest.raises(ValueError, match="static shapes"):
        kp.models.flops(keras.Model(i := keras.Input((None, 4)), keras.layers.Dense(2)(i)))


def test_the_same_seed_gives_the_same_run():
    """Initial values, dropout and losses (N7)."""
    import random

    runs = []
    for _ in range(2):
        random.seed(3)
        spec = AttentionSpec(num_heads=1, dropout=0.3)
        model = tiny(cross_attention=spec)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(
            images(16), np.arange(16) % 3, epochs=2, verbose=0, shuffle=False
        )
        runs.append(history.history["loss"])
    assert runs[0] == runs[1]


def test_it_overfits_a_batch():
    """T1."""
    model = tiny()
    contract.randomize(model, np.random.default_rng(1))
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x, y = images(6), np.arange(6) % 3
    steps = 120
    model.fit(
        np.tile(x, (steps, 1, 1, 1)),
        np.tile(y, steps),
        batch_size=6,
        shuffle=False,
        verbose=0,
    )
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert loss < 0.02
    assert accuracy == 1


def test_a_frozen_encoder_keeps_its_weights():
    """Freezing is `encoder.trainable = False`; counts are exact (T6)."""
    model = tiny()
    total, encoder = model.count_params(), model.encoder.count_params()
    model.encoder.trainable = False
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == total - encoder
    before = [w.numpy() for w in model.encoder.weights]
    head = [w.numpy() for w in model.trainable_weights]
    model.compile("adam", "mse")
    model.fit(images(4), np.zeros((4, 3)), verbose=0)
    for w, old in zip(model.encoder.weights, before, strict=True):
        np.testing.assert_array_equal(w.numpy(), old)
    assert any(
        not np.array_equal(w.numpy(), old)
        for w, old in zip(model.trainable_weights, head, strict=True)
    )


def test_an_encoder_moves_to_another_model():
    """One encoder under two heads: shared, not copied."""
    first = tiny()
    second = kp.models.ImageClassifier(first.encoder, 7, head="average")
    assert second.output_shape == (None, 7)
    first.encoder.get_layer("encoder").latents.assign(np.ones((4, 8)))
    x = images(2)
    np.testing.assert_array_equal(
        first.encoder.predict(x, verbose=0), second.encoder.predict(x, verbose=0)
    )
    assert {w.path for w in first.encoder.weights} < {w.path for w in second.weights}


def test_classify_raw_images():
    """Arrays of any size and kind, PIL images and files; labels and scores."""
    from PIL import Image

    encoder = tiny().encoder
    model = kp.models.ImageClassifier(
        encoder, 3, preprocessor=ImagePreprocessor((6, 5, 1), labels=["cat", "dog", "emu"])
    )
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (6, 5), dtype="uint8")
    colour = rng.integers(0, 256, (9, 9, 3), dtype="uint8")
    results = model.classify([grey, colour, grey / 255.0, Image.fromarray(colour)], top_k=3)
    assert len(results) == 4
    for result in results:
        assert {r["label"] for r in result} == {"cat", "dog", "emu"}
        scores = [r["score"] for r in result]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert results[0][0]["score"] == pytest.approx(results[2][0]["score"], abs=1e-5)
    assert len(model.classify(grey)) == 1
    with pytest.raises(ValueError, match="`top_k` must lie between 1 and num_classes=3"):
        model.classify(grey, top_k=4)


def test_classifier_refuses():
    encoder = tiny().encoder
    with pytest.raises(ValueError, match="`head` must be 'decoder' or 'average'"):
        kp.models.ImageClassifier(encoder, 3, head="mean")
    with pytest.raises(ValueError, match="one label per class. Received: 1 labels"):
        kp.models.ImageClassifier(
            encoder, 3, preprocessor=ImagePreprocessor((6, 5, 1), labels=["a"])
        )
    with pytest.raises(ValueError, match="`preprocessor` must be for the encoder's inputs"):
        kp.models.ImageClassifier(encoder, 3, preprocessor=ImagePreprocessor((5, 5, 1)))
    with pytest.raises(ValueError, match="incompatible|shape"):
        tiny()(np.zeros((2, 7, 5, 1), "float32"))
