"""Language models that generate in a process which has TensorFlow alone."""

import inspect
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

import contract
import keras_perceiver as kp
import tiny
import tiny_ar
from keras_perceiver.export.generation import Generation
from keras_perceiver.generation import TopK, forward, generate, stream
from keras_perceiver.generation.loop import program
from keras_perceiver.generation.prompts import pad_left
from keras_perceiver.layers import AttentionSpec
from tiny_ar import MAX_LATENTS, MAX_LENGTH, VOCAB_SIZE

BACKEND = keras.backend.backend()
exports = pytest.mark.skipif(BACKEND == "torch", reason="refused there, see the last test")
saved_model = sys.modules["keras_perceiver.export.saved_model"]
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "serve_generation.py"
NUM_LATENTS = 3
LONGEST = MAX_LENGTH - MAX_LATENTS + NUM_LATENTS


class BeamSampler:
    """Looks like that of keras-nlp."""

    compute_probabilities = None


def prompts(*lengths):
    """Prompts of some lengths, padded on the left with other tokens."""
    mask = np.arange(max(lengths), 0, -1)[None] <= np.array(lengths)[:, None]
    ids = tiny_ar.ids(len(lengths), max(lengths))
    return {"token_ids": ids, "padding_mask": mask.astype("int32")}


def with_numbers(inputs, count, seed=0):
    return {**inputs, "max_new_tokens": np.int32(count), "seed": np.int32(seed)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("generation") / "exported"
    options = {"num_latents": NUM_LATENTS, "sampler": "greedy"}
    kp.export.saved_model(tiny_ar.shared_lm(), path, **options)
    return path


@pytest.fixture(scope="module")
def served(exported):
    import tensorflow as tf

    return tf.saved_model.load(str(exported))


PROGRAM = """
import sys, numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
saved = np.load("expected.npz")
inputs = {name: saved[name] for name in ("token_ids", "padding_mask")}
tokens = saved["tokens"]
numbers = {"max_new_tokens": tf.constant(tokens.shape[1]), "seed": tf.constant(0)}
out = served.generate({**inputs, **numbers})["token_ids"].numpy()
np.testing.assert_array_equal(out, tokens)
state = served.prefill(inputs)
for ids, logits in zip(tokens.T, saved["logits"]):
    np.testing.assert_allclose(state.pop("logits").numpy(), logits, atol=1e-5)
    state = served.decode_step({"token_ids": ids, **state})
named = {name: tf.constant(value) for name, value in inputs.items()}
out = served.signatures["generate"](**named, **numbers)["token_ids"].numpy()
np.testing.assert_array_equal(out, tokens)
np.testing.assert_allclose(served.serve(inputs).numpy(), saved["serve"], atol=1e-5)
assert "keras_perceiver" not in sys.modules
print("served")
"""


@exports
@pytest.mark.slow(on="tensorflow")
def test_a_fresh_process_generates_what_keras_does(exported, tmp_path):
    """Token by token, past the longest context, with prompts of different lengths."""
    model, inputs = tiny_ar.shared_lm(), prompts(LONGEST, 20, 1)
    tokens = model.generate(
        inputs, 70, sampler="greedy", num_latents=NUM_LATENTS, strip_prompt=True
    )
    prefill = program(model, forward.prefill, num_latents=NUM_LATENTS, window=MAX_LENGTH)
    padded = [pad_left(value, MAX_LENGTH) for value in inputs.values()]
    logits, cache = prefill(*map(ops.convert_to_tensor, padded))
    every = []
    for ids in tokens.T[:10]:
        every.append(ops.convert_to_numpy(logits))
        logits, cache = program(model, forward.step)(ops.convert_to_tensor(ids), cache)
    outputs = {"tokens": tokens, "logits": every, "serve": model.predict(inputs, verbose=0)}
    np.savez(tmp_path / "expected.npz", **inputs, **outputs)
    command = [sys.executable, "-c", PROGRAM, str(exported)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.strip() == "served", run.stderr[-2000:]


@exports
@pytest.mark.slow(on="tensorflow")
@pytest.mark.one_backend(on="tensorflow")
def test_the_example_prints_what_keras_generates(exported):
    texts = ["Once", "A longer one"]
    more = tiny_ar.shared_lm().generate(
        texts, 64, sampler="greedy", num_latents=NUM_LATENTS, strip_prompt=True
    )
    lines = [f"{text}|{added}" for text, added in zip(texts, more, strict=True)]
    command = [sys.executable, str(EXAMPLE), str(exported), *texts]
    run = subprocess.run(command, capture_output=True)
    assert run.stdout.decode() == "\n".join([*lines, lines[0], ""]), run.stderr[-2000:]


@exports
@pytest.mark.slow(on="tensorflow")
def test_music_seeds_stop_tokens_and_prompts_shorter_than_the_latents(tmp_path):
    import tensorflow as tf

    spec = AttentionSpec(num_heads=1, widening_factor=1)
    options = {"max_latents": MAX_LATENTS, "num_layers": 1, "attention": spec}
    model = kp.models.SymbolicAudioLM(MAX_LENGTH, 8, **options)
    contract.randomize(model, np.random.default_rng(1))
    sampler, stop_ids = TopK(5, temperature=2.0), tuple(range(0, 389, 9))
    kp.export.saved_model(
        model, tmp_path, num_latents=MAX_LATENTS, sampler=sampler, stop_ids=stop_ids
    )
    served = tf.saved_model.load(str(tmp_path))
    inputs, lengths = prompts(MAX_LENGTH, 3), set()
    # Latents that are padding are none: as many to begin with as there are tokens.
    short = {name: value[1:, -3:] for name, value in inputs.items()}
    drawing = {"sampler": sampler, "stop_ids": stop_ids}
    for seed in (0, 7, -1):
        out = served.generate(with_numbers(inputs, 30, seed))["token_ids"].numpy()
        long = generate(
            model, **inputs, max_new_tokens=30, num_latents=8, seed=seed, **drawing
        )
        np.testing.assert_array_equal(out, long)
        lengths.add(out.shape[1])
        out = served.generate(with_numbers(short, 30, seed))["token_ids"].numpy()
        few = generate(
            model, **short, max_new_tokens=30, num_latents=3, seed=seed, **drawing
        )
        np.testing.assert_array_equal(out, few)
        lengths.add(out.shape[1])
    assert len(lengths) > 1 and min(lengths) < 30  # rows stop, and the loop with them


@exports
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"token_ids": np.full((2, 4), VOCAB_SIZE)}, "`token_ids` must lie .* 0 and 261"),
        ({"token_ids": np.full((2, 4), -1)}, "`token_ids` must lie between 0 and 261"),
        ({"padding_mask": np.ones((2, 3))}, "must have the shape of `token_ids`"),
        ({"padding_mask": np.eye(4)[:2]}, "a token in each row, and padding on the left"),
        ({"padding_mask": np.zeros((2, 4))}, "a token in each row"),
        (prompts(LONGEST + 1), f"at most {LONGEST} tokens a row"),
        (tiny_ar.inputs(tiny_ar.ids(1, 4), MAX_LENGTH - 3), "at most 40 long"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be at least 1"),
    ],
)
def test_what_keras_refuses_the_server_refuses(served, change, match):
    import tensorflow as tf

    inputs = with_numbers(prompts(4, 2), 2) | change
    inputs = {name: np.asarray(value, "int32") for name, value in inputs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        served.generate(inputs)


@exports
def test_a_step_refuses_unknown_tokens(served):
    import tensorflow as tf

    state = served.prefill(prompts(4, 2))
    del state["logits"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="`token_ids` must lie"):
        served.decode_step({"token_ids": np.array([0, VOCAB_SIZE], "int32"), **state})


@exports
@pytest.mark.parametrize("wrong", ["prefill", "decode_step", "generate"])
def test_each_endpoint_is_verified(served, wrong):
    def tampered(inputs):
        out = getattr(served, wrong)(inputs)
        return {n: x + 1 if n in ("logits", "token_ids") else x for n, x in out.items()}

    def verify(endpoints):
        generation = Generation(tiny_ar.shared_lm(), NUM_LATENTS, "greedy")
        for ours, theirs in generation.pairs(types.SimpleNamespace(**endpoints)):
            saved_model._verify(ours, theirs)

    endpoints = {n: getattr(served, n) for n in ("prefill", "decode_step", "generate")}
    verify(endpoints)
    with pytest.raises(ValueError, match="computes something else than the model"):
        verify(endpoints | {wrong: tampered})


@pytest.mark.one_backend(on="tensorflow")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_latents": 0}, "`num_latents` .* 1 and max_latents=8. .*num_latents=0"),
        ({"num_latents": MAX_LATENTS + 1}, "`num_latents` must lie .*num_latents=9"),
        ({"stop_ids": [3, VOCAB_SIZE]}, "`stop_ids` must be .* 0 to 261. .*3, 262"),
        ({"sampler": BeamSampler()}, "`sampler` must draw token by token"),
    ],
)
def test_options_out_of_range_are_refused_and_nothing_written(options, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        kp.export.saved_model(tiny_ar.shared_lm(), tmp_path / "exported", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_backend(on="tensorflow")
def test_other_models_have_no_options(tmp_path):
    with pytest.raises(ValueError, match="Only models that generate .* ImageClassifier"):
        kp.export.saved_model(tiny.classifier(), tmp_path / "exported", sampler="greedy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_backend(on="tensorflow")
def test_defaults_are_those_of_generation():
    here, there = (inspect.signature(f).parameters for f in (Generation, stream))
    for name in ("num_latents", "sampler", "stop_ids"):
        assert here[name].default == there[name].default


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends export")
def test_torch_refuses_language_models_too(tmp_path):
    with pytest.raises(ValueError, match="Save a preset.*KERAS_BACKEND=tensorflow"):
        kp.export.saved_model(tiny_ar.shared_lm(), tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []
