"""Causal language models: no look ahead, padding, prefixes; text in, text out."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import contract
import tiny_ar
from keras_perceiver.generation import forward
from keras_perceiver.generation.loop import compiled, program
from keras_perceiver.layers import AttentionSpec
from tiny_ar import MAX_LATENTS, MAX_LENGTH, forced

LENGTH = 14


@pytest.fixture(scope="module")
def model():
    return tiny_ar.shared_lm()


def trained(model, token_ids, mask):
    """Logits as in training."""
    return model({"token_ids": token_ids, "padding_mask": mask}, training=True)


def logits_of(model, function, token_ids):
    """Under the same seeds, whatever was drawn before."""
    assert tiny_ar.reset_seeds(model) >= 3  # cross-attention, layer, prefix
    arrays = (ops.convert_to_tensor(x) for x in (token_ids, np.ones_like(token_ids)))
    return contract.as_numpy(function(*arrays))


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_future_does_not_leak(policy, jit):
    """A1: bit for bit, with every kind of dropout on."""
    if jit and keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs uncompiled")
    before_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny_ar.causal_lm(dropout=0.2, prefix_dropout=0.4, num_layers=1)
    finally:
        keras.config.set_dtype_policy(before_policy)
    function = functools.partial(trained, model)
    function = compiled(model, function) if jit else function
    ids = tiny_ar.ids(2, LENGTH)
    expected = logits_of(model, function, ids)
    np.testing.assert_array_equal(logits_of(model, function, ids), expected)
    assert expected.shape[1] == MAX_LATENTS
    for position in range(LENGTH - MAX_LATENTS, LENGTH):
        changed = ids.copy()
        changed[0, position] = 6 + (changed[0, position] + 90) % 256
        differs = (logits_of(model, function, changed) != expected).any(axis=-1)
        sees = LENGTH - MAX_LATENTS + np.arange(MAX_LATENTS) >= position
        np.testing.assert_array_equal(differs[0], sees)
        assert not differs[1].any()
    # The control: training drops, and other seeds drop other things.
    again = contract.as_numpy(trained(model, ids, np.ones_like(ids)))
    assert (again != expected).any()


@pytest.mark.parametrize("length", [1, 3, MAX_LATENTS, MAX_LATENTS + 1, 19, MAX_LENGTH])
def test_prefixes_of_every_length(model, length):
    """A3 and A5: one row of logits for each of the last positions, from none to all."""
    ids = tiny_ar.ids(2, length)
    logits = contract.as_numpy(model(tiny_ar.inputs(ids)))
    latents = min(MAX_LATENTS, length)
    assert logits.shape == (2, latents, model.vocab_size)
    padding = ((0, 0), (MAX_LENGTH - length, 0))
    last = program(model, forward.recompute)(
        ops.convert_to_tensor(np.pad(ids, padding)),
        ops.convert_to_tensor(np.pad(np.ones_like(ids), padding)),
        ops.convert_to_tensor(latents, "int32"),
    )
    np.testing.assert_allclose(contract.as_numpy(last), logits[:, -1], atol=1e-4)


@pytest.mark.parametrize("learned_positions", [True, False])
def test_padding_on_the_left_changes_nothing(learned_positions):
    """A4."""
    model = tiny_ar.causal_lm(learned_positions=learned_positions, num_layers=1)
    ids = tiny_ar.ids(2, 11)
    expected = contract.as_numpy(model(tiny_ar.inputs(ids)))
    for padding in (1, 5):
        logits = contract.as_numpy(model(tiny_ar.inputs(ids, padding)))
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    # Padding reaches into the latents.
    short = tiny_ar.inputs(ids[:, :4], padding=7)
    logits = contract.as_numpy(model(short))[:, -4:]
    expected = contract.as_numpy(model(tiny_ar.inputs(ids[:, :4])))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_it_learns_to_copy_from_the_prefix():
    """The second half repeats the first: impossible without reading the prefix."""
    half, vocab = 4, 10
    model = tiny_ar.causal_lm(
        vocab_size=vocab,
        max_length=2 * half,
        channels=32,
        max_latents=half,
        num_layers=1,
        prefix_dropout=0.0,
    )
    for weight in model.trainable_weights:
        if weight.name != "gamma":
            weight.assign(weight * 0.2)
    rng = np.random.default_rng(0)
    first = rng.integers(1, vocab, size=(1024, half)).astype("int32")
    ids = np.concatenate([first, first], axis=1)
    inputs = {"token_ids": ids[:, :-1], "padding_mask": np.ones_like(ids[:, :-1])}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(inputs, ids[:, -half:], epochs=8, batch_size=32, verbose=0)
    assert history.history["accuracy"][-1] > 0.9, history.history
    prefix = ids[:2, :half]
    copied = model.generate(prefix, half, sampler="greedy", num_latents=1)
    assert (copied[:, half:] == prefix).mean() > 0.8


def test_texts_come_with_their_continuation(model):
    new = forced([[ord(c) + 6 for c in "world!"]] * 2)
    texts = ["Hello ", "Bye "]
    assert model.generate(texts[0], 5, sampler=new) == "Hello world"
    assert model.generate(texts, 5, sampler=new) == ["Hello world", "Bye world"]
    assert model.generate(texts, 5, sampler=new, strip_prompt=True) == ["world"] * 2
    assert model.generate(texts[0], 6, sampler=new, stop="l") == "Hello worl"
    stopped = model.generate(texts, 6, sampler=new, stop=["o", ord("w") + 6])
    assert stopped == ["Hello w", "Bye w"]


def test_ids_come_with_their_continuation(model):
    ids, new = tiny_ar.ids(2, 5), [[7, 8, 9]] * 2
    both = model.generate(ids, 3, sampler=forced(new))
    np.testing.assert_array_equal(both, np.concatenate([ids, new], axis=1))
    assert both.dtype == np.int32
    one = model.generate(ids[0].tolist(), 3, sampler=forced(new))
    np.testing.assert_array_equal(one, both[0])
    padded = tiny_ar.inputs(ids, padding=3)
    added = model.generate(padded, 3, sampler=forced(new), strip_prompt=True)
    np.testing.assert_array_equal(added, new)


@pytest.mark.parametrize("policy", [True, "exact"])
def test_a_stream_tells_whole_characters(model, policy):
    text = "aé☃z𝄞"
    new = [byte + 6 for byte in text.encode()]
    sampler = forced([[*new, 0xE2 + 6, 0x98 + 6]])  # and half a snowman
    options = {"sampler": sampler, "use_cache": policy}
    pieces = list(model.stream("Hi", len(new), **options))
    assert [piece for piece in pieces if piece] == list(text)
    generated = model.generate("Hi", len(new), strip_prompt=True, **options)
    assert "".join(pieces) == generated == text
    pieces = "".join(model.stream("Hi", len(new) + 2, **options))
    assert pieces == text + "\ufffd"
    assert "".join(model.stream("Hi", 9, stop="z", **options)) == "aé☃z"


def test_a_stream_is_what_generate_gives(model):
    whole = model.generate("Hello", 12, strip_prompt=True, seed=3)
    assert "".join(model.stream("Hello", 12, seed=3)) == whole


def test_training_and_generation_agree_on_the_prediction(model):
    """The logits that `fit` trains are those that generation samples from."""
    ids = tiny_ar.ids(2, 12)
    logits = contract.as_numpy(model(tiny_ar.inputs(ids)))
    first = model.generate(ids, 1, sampler="greedy", num_latents=MAX_LATENTS)
    np.testing.assert_array_equal(first[:, -1], logits[:, -1].argmax(axis=-1))


@pytest.mark.one_backend
def test_positions_decide_how_much_is_rotated():
    spec = AttentionSpec(num_heads=2)
    for learned, fraction in ((True, 0.5), (False, 1.0)):
        model = tiny_ar.causal_lm(learned_positions=learned, attention=spec)
        assert model.get_layer("stack").rotary_fraction == fraction
