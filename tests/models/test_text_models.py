"""Text models: masks, transfer, freezing, learning, raw strings."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_text
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.preprocessing import ByteTokenizer, TextPreprocessor
from tolerances import FLOAT32

MODELS = {
    "tied": tiny_text.masked_lm,
    "own query channels": lambda: tiny_text.masked_lm(query_channels=6),
    "classifier": tiny_text.text_classifier,
}
# Wide enough to learn a batch by heart in seconds.
LEARNER = {
    "num_latents": 8,
    "latent_channels": 32,
    "input_channels": 32,
    "cross_attention": AttentionSpec(num_heads=4),
    "self_attention": AttentionSpec(num_heads=4),
}


@pytest.fixture(params=MODELS)
def model(request):
    model = MODELS[request.param]()
    contract.randomize(model, np.random.default_rng(1))
    return model


def run(model, batch):
    return keras.ops.convert_to_numpy(model(batch))


def test_padding_of_any_length_and_content_changes_nothing(model):
    """M1: what sits at padding, and how much of it, cannot be seen."""
    inputs = tiny_text.batch(3, 20)
    real = inputs["padding_mask"].astype(bool)
    expected = run(model, inputs)
    for content, extra in ((0, 0), (200, 0), (3, 11)):
        ids = np.where(real, inputs["token_ids"], content)
        longer = {
            "token_ids": np.pad(ids, ((0, 0), (0, extra)), constant_values=content),
            "padding_mask": np.pad(inputs["padding_mask"], ((0, 0), (0, extra))),
        }
        actual = run(model, longer)
        if actual.ndim == 3:
            actual, wanted = actual[:, :20][real], expected[real]
        else:
            wanted = expected
        np.testing.assert_allclose(actual, wanted, atol=FLOAT32)


def test_a_text_without_tokens_is_finite_and_like_any_other(model):
    """M3: nothing to read gives what the latents alone give."""
    inputs = tiny_text.batch(2, 8)
    inputs["padding_mask"][:] = 0
    out = run(model, inputs)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[0], out[1], atol=FLOAT32)


def test_a_batch_is_its_examples(model):
    """M7, with rows of different lengths."""
    inputs = tiny_text.batch(3, 20)
    together = run(model, inputs)
    for i, row in enumerate(together):
        alone = run(model, {k: v[i : i + 1] for k, v in inputs.items()})
        np.testing.assert_allclose(alone[0], row, atol=FLOAT32)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32"])
def test_masks_of_other_types(model, dtype):
    """M8."""
    inputs = tiny_text.batch()
    converted = {**inputs, "padding_mask": inputs["padding_mask"].astype(dtype)}
    np.testing.assert_array_equal(run(model, converted), run(model, inputs))


def test_positions_are_seen():
    """M5: tokens moved to other positions are another text."""
    model = tiny_text.text_classifier()
    contract.randomize(model, np.random.default_rng(1))
    inputs = tiny_text.batch(1, 12)
    moved = {**inputs, "token_ids": inputs["token_ids"][:, ::-1].copy()}
    assert np.abs(run(model, moved) - run(model, inputs)).max() > 1e-3


def test_a_prediction_needs_its_own_query_only():
    """D2: logits of a shorter text's positions come from the same queries."""
    model = tiny_text.masked_lm()
    inputs = tiny_text.batch(1, 20)
    longer = {k: np.pad(v, ((0, 0), (0, 5))) for k, v in inputs.items()}
    np.testing.assert_allclose(run(model, longer)[:, :20], run(model, inputs), atol=FLOAT32)


@pytest.mark.parametrize("query_channels", [None, 6])
def test_logits_at_some_positions_are_those_of_all(query_channels):
    """In value and in gradient: asking for less gives the same loss for less work."""
    model = tiny_text.masked_lm(query_channels)
    contract.randomize(model, np.random.default_rng(1))
    inputs = tiny_text.batch(3, 20)
    rng = np.random.default_rng(0)
    positions = np.sort(rng.permuted(np.tile(np.arange(11), (3, 1)), axis=1)[:, :5])
    some = {**inputs, "mask_positions": positions.astype("int32")}
    expected = np.take_along_axis(run(model, inputs), positions[..., None], axis=1)
    np.testing.assert_allclose(run(model, some), expected, atol=FLOAT32)
    np.testing.assert_allclose(
        model.predict(some, verbose=0), expected, atol=FLOAT32, rtol=1e-6
    )
    labels = inputs["token_ids"]
    weights = np.zeros(labels.shape, "float32")
    np.put_along_axis(weights, positions, 1.0, axis=1)
    few = np.take_along_axis(labels, positions, axis=1)
    before, after = model.get_weights(), []
    model.compile(keras.optimizers.SGD(0.1), kp.training.TokenCrossentropy())
    for batch in ((inputs, labels, weights), (some, few, np.ones(few.shape, "float32"))):
        model.set_weights(before)
        model.train_on_batch(*batch)
        after.append(model.get_weights())
    for one, other in zip(*after, strict=True):
        np.testing.assert_allclose(one, other, atol=FLOAT32, rtol=1e-5)


def test_inputs_that_are_no_dictionary_are_refused_by_structure():
    model = tiny_text.masked_lm()
    with pytest.raises(ValueError, match="structure of `inputs` doesn't match"):
        model(list(tiny_text.batch(2, 9).values()))


def test_dropout_is_on_where_only_some_positions_are_asked_for():
    spec = AttentionSpec(num_heads=2, residual_dropout=0.5)
    model = tiny_text.masked_lm(self_attention=spec)
    contract.randomize(model, np.random.default_rng(1))
    some = {**tiny_text.batch(2, 9), "mask_positions": np.asarray([[0, 3], [1, 2]])}
    dropped = keras.ops.convert_to_numpy(model(some, training=True))
    assert np.abs(dropped - run(model, some)).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked_lm", "text_classifier"])
def test_it_overfits_a_batch(task):
    """T1."""
    model = getattr(tiny_text, task)(**LEARNER)
    inputs = tiny_text.batch(4, 10)
    labels = inputs["token_ids"] if task == "masked_lm" else np.asarray([0, 1, 2, 1])
    weights = inputs["padding_mask"] if task == "masked_lm" else np.ones(4)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    history = model.fit(
        inputs, labels, sample_weight=weights, epochs=300, verbose=0, shuffle=False
    )
    assert history.history["loss"][-1] < 0.05


def test_an_encoder_moves_to_another_task_and_freezes():
    mlm = tiny_text.masked_lm()
    classifier = kp.models.TextClassifier(mlm.encoder, num_classes=2)
    shared = {id(w) for w in mlm.weights} & {id(w) for w in classifier.weights}
    assert shared == {id(w) for w in mlm.encoder.weights}
    mlm.encoder.trainable = False
    head = {w.path.split("/")[0] for w in classifier.trainable_weights}
    assert head == {"query", "decoder", "logits"}
    before = [w.numpy() for w in mlm.encoder.weights]
    classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier.train_on_batch(tiny_text.batch(2), np.asarray([0, 1]))
    for old, new in zip(before, mlm.encoder.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


@pytest.mark.slow
def test_masks_are_filled():
    """A model that has learnt one sentence by heart puts its bytes back."""
    text = "what sits in a masked slot"
    model = tiny_text.masked_lm(**LEARNER)
    masked = text.replace("mas", "[MASK]" * 3)
    inputs, labels = model.preprocessor([masked]), model.preprocessor([text])
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(inputs, labels["token_ids"], epochs=300, verbose=0)
    best, second = model.fill_mask(masked, top_k=2)[0]
    assert best["text"] == text
    assert best["tokens"] == list("mas")
    assert best["score"] > second["score"] > 0
    assert len(second["text"]) == len(text)


@pytest.mark.parametrize(
    ("texts", "options", "match"),
    [
        ("no mask", {}, r"must each contain \[MASK\].*text 0.*'no mask'"),
        (["a [MASK]", "none"], {}, "text 1 without: 'none'"),
        ("[MASK]" * 50, {}, "max_length=40"),
        ("a [MASK]", {"top_k": 257}, "`top_k` must lie between 1 and 256"),
        ("a [MASK]", {"top_k": 0}, "`top_k` must lie between 1 and 256"),
        ([], {}, "at least one"),
        ([1], {}, "must be"),
    ],
)
@pytest.mark.one_backend
def test_masks_that_cannot_be_filled(texts, options, match):
    with pytest.raises(ValueError, match=match):
        tiny_text.masked_lm().fill_mask(texts, **options)


def test_texts_are_classified():
    labels = ["code", "prose"]
    model = tiny_text.text_classifier(
        2, TextPreprocessor(ByteTokenizer(), 30, labels=labels, truncate=True)
    )
    texts = ["def f(): pass", "A text, longer than the model reads at once."]
    (first,), (second,) = model.classify(texts)
    assert {first["label"], second["label"]} <= set(labels)
    both = model.classify(texts[0], top_k=2)
    assert sorted(one["label"] for one in both[0]) == labels
    assert sum(one["score"] for one in both[0]) == pytest.approx(1)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: tiny_text.encoder(vocab_size=0), "`vocab_size` must be a positive"),
        (
            lambda: tiny_text.masked_lm(
                vocab_size=300, preprocessor=TextPreprocessor(ByteTokenizer(), 10)
            ),
            "must have the model's vocabulary.*vocab_size=262, expected 300",
        ),
        (
            lambda: tiny_text.masked_lm(preprocessor=TextPreprocessor(ByteTokenizer(), 41)),
            "`preprocessor.max_length` must not exceed.*41, the model has 40",
        ),
        (
            lambda: tiny_text.masked_lm(vocab_size=61).fill_mask("x"),
            "no `preprocessor`.*vocabulary of 61 tokens",
        ),
        (
            lambda: tiny_text.text_classifier(
                2, TextPreprocessor(ByteTokenizer(), 10, labels=["a"])
            ),
            "one label per class",
        ),
        (lambda: tiny_text.masked_lm()(tiny_text.batch(1, 41)), "must not be longer"),
    ],
)
def test_bad_input_is_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_flops_of_text_count_the_tied_head():
    model = tiny_text.masked_lm()
    S, C, V = 20, 8, 262
    with_head = kp.models.flops(model, length=S)
    encoder = kp.models.flops(model.encoder, length=S)
    decoder = kp.models.flops(
        keras.Model(model.input, model.get_layer("decoder").output), length=S
    )
    assert with_head - decoder == 2 * S * C * V
    assert decoder > encoder > 0


def test_dropout_of_the_encoder_is_the_spec():
    """Two training passes differ, two inference passes do not."""
    spec = AttentionSpec(num_heads=2, qk_channels=8, dropout=0.5)
    model = tiny_text.masked_lm(cross_attention=spec)
    inputs = tiny_text.batch()
    passes = [
        keras.ops.convert_to_numpy(model(inputs, training=mode))
        for mode in (True, True, False, False)
    ]
    assert np.abs(passes[0] - passes[1]).max() > 0
    np.testing.assert_array_equal(passes[2], passes[3])
