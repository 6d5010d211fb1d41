"""Seeds, stopping, streaming; programs and caches of fixed sizes (A7)."""

import keras
import numpy as np
import pytest
from keras import ops

import tiny_ar
from keras_perceiver.generation import forward, generate, loop, stream, token
from keras_perceiver.generation.loop import program
from keras_perceiver.layers.dense import token_embedding
from tiny_ar import MAX_LENGTH, VOCAB_SIZE, forced

POLICIES = [True, False, "exact"]


@pytest.fixture(scope="module")
def model():
    return tiny_ar.shared_lm()


def new_tokens(model, ids, count, **options):
    return generate(model, ids, np.ones_like(ids), count, **options)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_tokens(model, policy):
    ids = tiny_ar.ids(2, 11)
    first, again, other = (
        new_tokens(model, ids, 8, seed=seed, use_cache=policy) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_without_a_seed_tokens_differ_and_keras_random_state_stays(model):
    ids = tiny_ar.ids(1, 11)
    np.random.seed(4)  # noqa: NPY002 (Keras shuffles with it)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draws = [new_tokens(model, ids, 8) for _ in range(3)]
    assert any((draws[0] != other).any() for other in draws[1:])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("policy", POLICIES)
def test_each_row_stops_on_its_own(model, policy):
    sequence = [[20, 9, 21, 22, 23, 24], [30, 31, 32, 9, 33, 34]]
    options = {"sampler": forced(sequence), "use_cache": policy}
    ids = tiny_ar.ids(2, 11)
    new = new_tokens(model, ids, 6, stop_ids=(9,), **options)
    np.testing.assert_array_equal(new, [[20, 9, 0, 0], [30, 31, 32, 9]])
    np.testing.assert_array_equal(new_tokens(model, ids, 6, **options), sequence)
    new = new_tokens(model, ids, 6, stop_ids=(32, 20), **options)
    np.testing.assert_array_equal(new, [[20, 0, 0], [30, 31, 32]])


def test_a_finished_row_does_not_disturb_the_others(model):
    ids = tiny_ar.ids(2, 11)
    alone = new_tokens(model, ids[1:], 8, sampler="greedy")
    first = int(new_tokens(model, ids[:1], 1, sampler="greedy")[0, 0])
    assert first not in alone
    together = new_tokens(model, ids, 8, sampler="greedy", stop_ids=(first,))
    np.testing.assert_array_equal(together[1], alone[0])
    np.testing.assert_array_equal(together[0], [first] + 7 * [0])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("chunk", [1, 3])
def test_parts_together_are_the_whole(model, policy, chunk):
    ids = tiny_ar.ids(2, 11)
    options = {"seed": 5, "use_cache": policy}
    whole = new_tokens(model, ids, 8, **options)
    parts = list(stream(model, ids, np.ones_like(ids), 8, chunk=chunk, **options))
    assert max(part.shape[1] for part in parts) <= chunk
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_tokens_come_before_the_rest_is_made(model):
    ids, sampler = tiny_ar.ids(1, 11), forced([[9, 10, 11]])
    endless = stream(model, ids, np.ones_like(ids), 10**9, sampler=sampler, chunk=1)
    assert next(endless).tolist() == [[9]]
    endless.close()


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch runs uncompiled: nothing to trace"
)
def test_prompts_of_one_padded_size_share_their_programs(monkeypatch):
    traced = []
    for name in ("prefill", "step", "recompute"):
        function = getattr(forward, name)

        def counted(*args, name=name, function=function, **static):
            traced.append(name)
            return function(*args, **static)

        monkeypatch.setattr(forward, name, counted)
    fresh = tiny_ar.causal_lm()
    for policy in POLICIES:
        new_tokens(fresh, tiny_ar.ids(2, 11), 12, use_cache=policy, sampler="greedy")
    first = list(traced)
    assert set(first) == {"prefill", "step", "recompute"}
    for length, count, seed in ((9, 12, 1), (20, 13, 2), (MAX_LENGTH // 2, 5, 3)):
        for policy in POLICIES:
            ids = tiny_ar.ids(2, length, seed)
            options = {"use_cache": policy, "seed": seed, "sampler": "greedy"}
            new_tokens(fresh, ids, count, **options)
    # "exact" and False see a longer window as the text grows, at most the longest.
    assert traced == first


def sizes(cache):
    arrays = keras.tree.flatten(cache)
    return sum(int(np.prod(x.shape)) for x in arrays)


def test_the_cache_does_not_grow(model):
    ids = tiny_ar.ids(2, 11)
    arrays = (ops.convert_to_tensor(x) for x in (ids, np.ones_like(ids)))
    sizes_of = {"num_latents": 1, "window": MAX_LENGTH}
    logits, cache = program(model, forward.prefill, **sizes_of)(*arrays)
    before = sizes(cache)
    sampler = forced([range(64)] * 2)
    decode = program(model, loop.decode, sampler=sampler, stop_ids=(), size=64)
    seed = ops.convert_to_tensor(3, keras.random.SeedGenerator(0).state.dtype)
    first, steps = (ops.convert_to_tensor(n, "int32") for n in (0, 60))
    finished = ops.zeros((2,), dtype="bool")
    _, _, cache, _, count = decode(logits, cache, finished, seed, first, steps)
    assert int(count) == 60 > MAX_LENGTH
    assert sizes(cache) == before
    assert int(cache["position"][0]) == 11 + 60


def test_weights_that_change_are_used(model):
    fresh, ids = tiny_ar.causal_lm(), tiny_ar.ids(1, 11)
    new_tokens(fresh, ids, 2, sampler="greedy")
    bias = fresh.get_layer("logits").weights[0]
    value = np.zeros(VOCAB_SIZE)
    value[77] = 1e4
    bias.assign(value)
    np.testing.assert_array_equal(new_tokens(fresh, ids, 2, sampler="greedy"), [[77, 77]])


def test_weights_that_are_added_are_used():
    """LoRA after a first generation: its weights are in the programs."""
    fresh, ids = tiny_ar.causal_lm(), tiny_ar.ids(2, 11)
    before = new_tokens(fresh, ids, 4, sampler="greedy")
    layer = fresh.get_layer("stack").layers[0].mlp_out
    layer.enable_lora(2)
    np.testing.assert_array_equal(new_tokens(fresh, ids, 4, sampler="greedy"), before)
    for weight in (layer.lora_kernel_a, layer.lora_kernel_b):
        weight.assign(np.ones(weight.shape) * 3)
    after = new_tokens(fresh, ids, 4, sampler="greedy")
    assert (after != before).any()
    recomputed = new_tokens(fresh, ids, 4, sampler="greedy", use_cache=False)
    np.testing.assert_array_equal(after, recomputed)


@pytest.mark.parametrize("quantized", [False, True])
def test_logits_of_a_token_are_those_of_the_embedding_in_reverse(quantized):
    embedding = token_embedding(7, 4, init_scale=1.0)
    embedding.build()
    if quantized:
        embedding.quantize("int8")
    x = keras.random.normal((3, 1, 4), seed=1)
    expected = ops.convert_to_numpy(embedding(x, reverse=True))
    logits = ops.convert_to_numpy(token.head(embedding)(x))
    assert logits.shape == (3, 1, 7)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
