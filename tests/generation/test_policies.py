"""Cache policies against recomputation, batches against rows (A2 to A4, A7)."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import contract
import tiny_ar
from keras_perceiver.generation import Greedy, TopK, forward, generate
from keras_perceiver.generation.generate import Run
from keras_perceiver.generation.loop import compiled, program
from tiny_ar import MAX_LATENTS, MAX_LENGTH
from tolerances import FLOAT32

POLICIES = [True, False, "exact"]
# Draws that differ: greedy ones of random weights soon repeat.
SAMPLER, SEED = TopK(k=5), 3


def new_tokens(model, ids, count, **options):
    options = {"sampler": SAMPLER, "seed": SEED, **options}
    return generate(model, ids, np.ones_like(ids), count, **options)


def expected_token(model, ids, num_latents, drawn):
    """The token after `ids` `[B, n]`, from all of them."""
    padding = ((0, 0), (MAX_LENGTH - ids.shape[1], 0))  # one size: compiled once
    logits = program(model, forward.recompute)(
        ops.convert_to_tensor(np.pad(ids, padding)),
        ops.convert_to_tensor(np.pad(np.ones_like(ids), padding)),
        ops.convert_to_tensor(num_latents, "int32"),
    )
    run = Run(model, SAMPLER, (), SEED, None, 1)
    # Drawn as generation does: TensorFlow's compiled random numbers are others.
    finished = ops.zeros((len(ids),), dtype="bool")
    return run.draw(logits, finished, drawn)[0]


def test_all_policies_agree_while_latents_grow():
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, 11)
    num_latents = 3
    same = MAX_LATENTS - num_latents + 1
    tokens = [new_tokens(model, ids, 20, num_latents=3, use_cache=p) for p in POLICIES]
    for other in tokens[1:]:
        np.testing.assert_array_equal(tokens[0][:, :same], other[:, :same])
    # And not for ever: rolled caches remember what fell out of the latents.
    assert (tokens[0] != tokens[1]).any()
    assert len(np.unique(tokens[0])) > 4


@pytest.mark.parametrize("freed", [1, 3, None, MAX_LATENTS - 1])
def test_exact_caches_equal_recomputation_at_every_step(freed):
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, 11)
    count = 40 if freed == 3 else 15  # past the longest context once
    new = new_tokens(
        model, ids, count, num_latents=3, use_cache="exact", freed_latents=freed
    )
    tokens, begin, latents = np.concatenate([ids, new], axis=1), 0, 3
    for drawn in range(count):
        end = 11 + drawn
        token = expected_token(model, tokens[:, begin:end], latents, drawn)
        np.testing.assert_array_equal(token, tokens[:, end], err_msg=f"step {drawn}")
        latents += 1
        if latents > MAX_LATENTS:
            latents = MAX_LATENTS - (freed or MAX_LATENTS // 4)
            room = min(MAX_LATENTS - latents, count - drawn - 1)
            begin = max(begin, end + 1 - (MAX_LENGTH - room))


@pytest.mark.parametrize("policy", POLICIES)
def test_prompts_of_different_lengths_are_each_alone(policy):
    model = tiny_ar.shared_lm()
    lengths, longest, count = (11, 4, 7), 11, 12
    prompts = [tiny_ar.ids(1, n, seed=n) for n in lengths]
    rows = [np.pad(p, ((0, 0), (longest - p.shape[1], 0))) for p in prompts]
    masks = [np.pad(np.ones_like(p), ((0, 0), (longest - p.shape[1], 0))) for p in prompts]
    options = {"num_latents": 3, "sampler": Greedy(), "use_cache": policy}
    together = generate(
        model, np.concatenate(rows), np.concatenate(masks), count, **options
    )
    for prompt, row in zip(prompts, together, strict=True):
        alone = new_tokens(model, prompt, count, **options)
        np.testing.assert_array_equal(alone[0], row)


@pytest.mark.parametrize("policy", POLICIES)
def test_generation_goes_past_the_longest_context(policy):
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(1, MAX_LENGTH)
    new = new_tokens(model, ids, 12, num_latents=MAX_LATENTS, use_cache=policy)
    assert new.shape == (1, 12)
    first = expected_token(model, ids, MAX_LATENTS, 0)
    np.testing.assert_array_equal(new[:, 0], first)
    if policy is False:  # the whole window slides
        window = np.concatenate([ids, new], axis=1)[:, 5 : 5 + MAX_LENGTH]
        token = expected_token(model, window, MAX_LATENTS, 5)
        np.testing.assert_array_equal(new[:, 5], token)


@pytest.mark.parametrize("num_latents", range(1, MAX_LATENTS + 1))
def test_any_number_of_latents_to_begin_with(num_latents):
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, 11)
    new = new_tokens(model, ids, 1, num_latents=num_latents)
    token = expected_token(model, ids, num_latents, 0)
    np.testing.assert_array_equal(new[:, 0], token)


@pytest.mark.parametrize("length", [1, 2, MAX_LATENTS, MAX_LATENTS + 1, MAX_LENGTH - 1])
def test_prompts_of_every_length_from_one_token(length):
    """A3: prefixes from none to the longest, fewer tokens than latents included."""
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, length)
    fewest = max(1, length - (MAX_LENGTH - MAX_LATENTS))
    for num_latents in {fewest, min(length, MAX_LATENTS)}:
        rolling = new_tokens(model, ids, 1, num_latents=num_latents)
        recomputed = new_tokens(model, ids, 1, num_latents=num_latents, use_cache=False)
        np.testing.assert_array_equal(rolling, recomputed)


def test_exact_reads_a_prompt_whole_if_all_that_comes_fits():
    """As recomputation does while no latent is dropped: nothing is cut beforehand."""
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, MAX_LENGTH - 2)
    policies = {"use_cache": False}, {"use_cache": "exact", "freed_latents": 1}
    recomputed, exact = (
        new_tokens(model, ids, 2, num_latents=MAX_LATENTS - 1, **x) for x in policies
    )
    np.testing.assert_array_equal(exact[:, 0], recomputed[:, 0])


def test_fewer_slots_for_latents_compute_the_same():
    """Slots that stay empty cost time alone: 5 of them, for 3 latents and 2 tokens."""
    model, ids = tiny_ar.shared_lm(), tiny_ar.ids(2, 13)
    prompt = [ops.convert_to_tensor(x[:, :11]) for x in (ids, np.ones_like(ids))]
    whole = [ops.convert_to_tensor(x) for x in (ids, np.ones_like(ids))]
    stepped, recomputed = [], []
    for slots in (None, 5):
        sizes = {"num_latents": 3, "window": MAX_LENGTH, "latent_window": slots}
        _, cache = program(model, forward.prefill, **sizes)(*prompt)
        assert cache["self_mask"].shape == (2, slots or MAX_LATENTS)
        for i in (11, 12):
            logits, cache = program(model, forward.step)(whole[0][:, i], cache)
        stepped.append(contract.as_numpy(logits))
        window = program(model, forward.recompute, latent_window=slots)
        logits = window(*whole, ops.convert_to_tensor(5, "int32"))
        recomputed.append(contract.as_numpy(logits))
    for logits in (stepped[1], *recomputed):
        np.testing.assert_allclose(logits, stepped[0], atol=FLOAT32)


@pytest.mark.parametrize("kind", ["mixed_bfloat16", "int8", "lora"])
def test_a_step_computes_what_the_layers_do(kind):
    """Decoding goes past Keras' layers, but not past their precision or adapters."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if kind in ("int8", "lora") else kind)
    try:
        model = tiny_ar.causal_lm(num_layers=1)
    finally:
        keras.config.set_dtype_policy(before)
    layers = model.get_layer("stack")._flatten_layers()
    for layer in [x for x in layers if isinstance(x, keras.layers.Dense)]:
        if kind == "int8":
            layer.quantize("int8")
        elif kind == "lora":
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape) * 0.3)
    ids = tiny_ar.ids(2, 12)
    mask = np.ones_like(ids)
    arrays = (ops.convert_to_tensor(x[:, :11]) for x in (ids, mask))
    _, cache = program(model, forward.prefill, num_latents=3, window=MAX_LENGTH)(*arrays)
    step = compiled(model, functools.partial(forward.step, model))
    stepped, _ = step(ops.convert_to_tensor(ids[:, 11]), cache)
    arrays = (ops.convert_to_tensor(x) for x in (ids, mask))
    expected = program(model, forward.recompute)(*arrays, ops.convert_to_tensor(4, "int32"))
    stepped, expected = (contract.as_numpy(x) for x in (stepped, expected))
    tolerance = 1e-4 if kind == "lora" else 3e-2
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(stepped, expected, atol=atol)
