"""E4: one model answers in several threads as in one."""

import functools
from concurrent import futures

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_ar
import tiny_text

THREADS, ROUNDS = 4, 3
rng = np.random.default_rng(0)
TEXTS = ["Some [MASK][MASK] text", "a [MASK]", "[MASK]!", "None of [MASK] it"]


def classify():
    model = kp.presets.load("digits")
    images = rng.integers(0, 255, (THREADS, 8, 8)).astype("uint8")
    return model.classify, images


def fill_mask():
    tokenizer = kp.preprocessing.ByteTokenizer()
    preprocessor = kp.preprocessing.TextPreprocessor(tokenizer, tiny_text.MAX_LENGTH)
    model = tiny_text.masked_lm(preprocessor=preprocessor)
    return functools.partial(model.fill_mask, top_k=2), TEXTS


def generate():
    model = tiny_ar.causal_lm()
    prompts = [tiny_ar.ids(1, 9, seed) for seed in range(THREADS)]
    sample = functools.partial(
        model.generate, max_new_tokens=5, num_latents=3, sampler="top_k", seed=1
    )
    return sample, prompts


def same(one, other):
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return str(one) == str(other)


@pytest.mark.parametrize("make", [classify, fill_mask, generate])
def test_threads_get_the_answers_of_one(make):
    """The first calls too, in which programs are compiled."""
    answer, questions = make()
    asked = [*questions] * ROUNDS
    with futures.ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(answer, asked))
    for question, got in zip(asked, answers, strict=True):
        assert same(got, answer(question))
