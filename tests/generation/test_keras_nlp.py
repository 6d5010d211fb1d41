"""Samplers of keras-nlp, by name or object, over this library's caches."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import tiny_ar
from keras_perceiver.generation import forward, generate
from keras_perceiver.generation.loop import program
from tiny_ar import MAX_LENGTH

pytest.importorskip("keras_nlp")


@pytest.fixture(scope="module")
def model():
    """One whose next tokens are not certain."""
    model = tiny_ar.causal_lm(num_layers=1)
    embedding = model.get_layer("token_embedding").embeddings
    embedding.assign(np.array(embedding) * 0.3)
    return model


def new_tokens(model, ids, count, **options):
    return generate(model, ids, np.ones_like(ids), count, **options)


def log_probabilities(model, ids, num_latents, new):
    """Of each of `new` `[B, n]` after `ids` and those before it, by recomputation."""
    total = np.zeros(len(ids))
    for i in range(new.shape[1]):
        before = np.concatenate([ids, new[:, :i]], axis=1)
        padding = ((0, 0), (MAX_LENGTH - before.shape[1], 0))
        logits = program(model, forward.recompute)(
            ops.convert_to_tensor(np.pad(before, padding)),
            ops.convert_to_tensor(np.pad(np.ones_like(before), padding)),
            ops.convert_to_tensor(num_latents + i, "int32"),
        )
        rows = ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))
        total += np.take_along_axis(rows, new[:, i : i + 1], 1)[:, 0]
    return total


@pytest.mark.parametrize("name", ["random", "top_p"])
def test_names_and_objects_draw_by_the_seed(model, name):
    import keras_nlp

    options = {"top_p": {"p": 0.9}}.get(name, {})
    sampler = {"random": "RandomSampler", "top_p": "TopPSampler"}[name]
    sampler = getattr(keras_nlp.samplers, sampler)(**options)
    ids, before = tiny_ar.ids(2, 11), dict(vars(sampler))
    draws = [new_tokens(model, ids, 6, seed=s, sampler=sampler) for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    assert vars(sampler) == before and len(sampler._seed_generators) == 1
    named = new_tokens(model, ids, 6, seed=1, sampler=name)
    if not options:
        np.testing.assert_array_equal(named, draws[0])


def test_their_greedy_is_ours(model):
    import keras_nlp

    ids = tiny_ar.ids(2, 11)
    theirs = new_tokens(model, ids, 6, sampler=keras_nlp.samplers.GreedySampler())
    np.testing.assert_array_equal(theirs, new_tokens(model, ids, 6, sampler="greedy"))


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch runs uncompiled: no programs"
)
def test_a_name_is_compiled_once(model):
    ids = tiny_ar.ids(2, 11)
    new_tokens(model, ids, 6, sampler="random")
    programs = len(vars(model)["_generation_programs"])
    new_tokens(model, ids, 6, sampler="random")
    assert len(vars(model)["_generation_programs"]) == programs


def test_beams_find_the_likeliest_continuation():
    """With as many beams as tokens, two steps are searched completely."""
    import keras_nlp

    model = tiny_ar.causal_lm(vocab_size=12, num_layers=1)
    embedding = model.get_layer("token_embedding").embeddings
    embedding.assign(np.array(embedding) * 0.5)
    ids = tiny_ar.ids(2, 11) % 12
    beams = keras_nlp.samplers.BeamSampler(num_beams=12)
    found = new_tokens(model, ids, 2, sampler=beams, num_latents=3)
    all_pairs = [
        log_probabilities(model, ids, 3, np.array([pair] * 2))
        for pair in itertools.product(range(12), repeat=2)
    ]
    best = np.argmax(all_pairs, axis=0)  # [B]
    np.testing.assert_array_equal(found, np.stack(np.divmod(best, 12), axis=1))


def test_one_beam_is_greedy_and_more_are_likelier(model):
    import keras_nlp

    ids = tiny_ar.ids(2, 11)
    one = keras_nlp.samplers.BeamSampler(num_beams=1)
    greedy = new_tokens(model, ids, 5, sampler="greedy", num_latents=3)
    np.testing.assert_array_equal(
        new_tokens(model, ids, 5, sampler=one, num_latents=3), greedy
    )
    several = new_tokens(model, ids, 5, sampler="beam", num_latents=3)
    likelier = log_probabilities(model, ids, 3, several)
    assert (likelier >= log_probabilities(model, ids, 3, greedy) - 1e-4).all()


@pytest.mark.parametrize("sampler", ["beam", "contrastive"])
def test_a_search_of_one_row_is_that_of_the_row_in_a_batch(model, sampler):
    ids = tiny_ar.ids(2, 11)
    options = {"sampler": sampler, "num_latents": 3}
    together = new_tokens(model, ids, 5, **options)
    alone = new_tokens(model, ids[:1], 5, **options)
    np.testing.assert_array_equal(alone, together[:1])


def test_contrastive_search_without_a_penalty_is_greedy(model):
    import keras_nlp

    ids = tiny_ar.ids(2, 11)
    greedy = new_tokens(model, ids, 12, sampler="greedy")
    sampler = keras_nlp.samplers.ContrastiveSampler(k=3, alpha=0.0)
    np.testing.assert_array_equal(new_tokens(model, ids, 12, sampler=sampler), greedy)
    contrasted = new_tokens(model, ids, 12, sampler="contrastive")
    assert contrasted.shape == greedy.shape
    repeats = (np.diff(greedy, axis=1) == 0).mean()
    assert (np.diff(contrasted, axis=1) == 0).mean() <= repeats


def test_a_search_stops(model):
    import keras_nlp

    ids = tiny_ar.ids(2, 11)
    whole = new_tokens(model, ids, 8, sampler="greedy")
    one = keras_nlp.samplers.BeamSampler(num_beams=1)
    stops = (int(whole[0, 1]), int(whole[1, 3]))
    expected = new_tokens(model, ids, 8, sampler="greedy", stop_ids=stops)
    received = new_tokens(model, ids, 8, sampler=one, stop_ids=stops)
    np.testing.assert_array_equal(received, expected)


@pytest.mark.one_backend
def test_what_does_not_fit_is_refused(model):
    import keras_nlp

    ids = tiny_ar.ids(1, 11)
    with pytest.raises(ValueError, match="one of.*greedy.*Received: sampler='topk'"):
        new_tokens(model, ids, 2, sampler="topk")
    with pytest.raises(ValueError, match="`use_cache` must be True with a sampler"):
        new_tokens(model, ids, 2, sampler="beam", use_cache="exact")
    beams = keras_nlp.samplers.BeamSampler(return_all_beams=True)
    with pytest.raises(ValueError, match="must return one continuation"):
        new_tokens(model, ids, 2, sampler=beams)
