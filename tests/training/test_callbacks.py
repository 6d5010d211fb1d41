"""Samples of filled masks and continuations; the loss that frequencies alone give."""

import os
import subprocess
import sys

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_ar
from keras_perceiver.preprocessing import ByteTokenizer
from keras_perceiver.training import callbacks
from tiny_text import masked_lm

TEXTS = ["a [MASK] b", "[MASK][MASK] is new"]


def events(folder):
    """(step, tag, text) of each summary in the one event file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = folder.glob("events.out.tfevents.*")
    return [
        (event.step, value.tag, value.tensor.string_val[0].decode())
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]


def test_samples_of_each_epoch_can_be_read_as_text_and_by_tensorboard(tmp_path):
    model = masked_lm()
    ids = kp.data.tokens(["Some text to train on. " * 40], ByteTokenizer())
    batches = kp.data.masked_batches(ids, model, 4, seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    folder = tmp_path / "new" / "logs"
    samples = kp.training.MaskedTokenSamples(TEXTS, folder, top_k=2)
    model.fit(
        batches, steps_per_epoch=1, epochs=2, shuffle=False, verbose=0, callbacks=[samples]
    )
    first, second = (folder / "samples.txt").read_text().rstrip("\n").split("\n\n")
    assert first.startswith("epoch 1, loss ") and second.startswith("epoch 2, loss ")
    lines = second.split("\n")
    assert [line for line in lines if "[MASK]" in line] == [repr(text) for text in TEXTS]
    expected = model.fill_mask(TEXTS, top_k=2)[1][0]
    assert f"  {expected['score']:.3f} {expected['text']!r}" == lines[5]
    steps, tags, shown = zip(*events(folder), strict=True)
    assert steps == (0, 1) and set(tags) == {"masked_token_samples"}
    assert [line.removeprefix("    ") for line in shown[1].split("\n")] == lines[1:]


def test_continuations_of_each_epoch_are_those_of_the_model(tmp_path):
    prompts = ["Some text", "x\n"]
    options = {"max_new_tokens": 12, "sampler": "greedy", "seed": 3}
    model = tiny_ar.causal_lm()
    ids = kp.data.tokens(["Some text\n\nto train on. " * 40], ByteTokenizer())
    batches = kp.data.causal_batches(ids, model, 4, seed=0)
    model.compile("adam", kp.training.TokenCrossentropy())
    samples = kp.training.GeneratedSamples(prompts, tmp_path, **options)
    before = model.generate(prompts, strip_prompt=True, **options)
    fit = {"steps_per_epoch": 20, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(batches, callbacks=[samples], **fit)
    after = model.generate(prompts, strip_prompt=True, **options)
    assert after != before
    first, second = (tmp_path / "samples.txt").read_text().rstrip("\n").split("\n\n")
    assert first.startswith("epoch 1, loss ") and second.startswith("epoch 2, loss ")
    expected = []
    for prompt, text in zip(prompts, after, strict=True):
        shown = callbacks.printable(text).split("\n")
        expected += [repr(prompt), *(f"  {line}" for line in shown)]
    assert second.split("\n")[1:] == expected
    steps, tags, shown = zip(*events(tmp_path), strict=True)
    assert steps == (0, 1) and set(tags) == {"generated_samples"}
    assert [line.removeprefix("    ") for line in shown[1].split("\n")] == expected


@pytest.mark.one_backend
def test_samples_need_no_tensorflow(tmp_path):
    program = f"""
import sys
from keras_perceiver.training import MaskedTokenSamples
class Model:
    def fill_mask(self, texts, top_k):
        return [[{{"text": "x", "score": 0.5}}] for _ in texts]
samples = MaskedTokenSamples(["[MASK]"], {str(tmp_path)!r})
samples.set_model(Model())
samples.on_epoch_end(0)
assert "tensorflow" not in sys.modules
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", program], env=environment)
    assert done.returncode == 0
    assert events(tmp_path) == [
        (0, "masked_token_samples", "    '[MASK]'\n      0.500 'x'")
    ]


@pytest.mark.one_backend
def test_unigram_entropy_is_the_loss_of_the_best_constant_prediction(rng):
    tokens = rng.choice(5, p=[0.1, 0.2, 0.3, 0.4, 0.0], size=10_000).astype("uint16")
    labels = rng.choice(5, p=[0.4, 0.3, 0.2, 0.1, 0.0], size=(8, 50))
    weights = (rng.random(labels.shape) < 0.2).astype("float32")
    batches = [(None, labels[:6], weights[:6]), (None, labels[6:], weights[6:])]
    found = kp.training.unigram_entropy(tokens, batches, 5)
    frequencies = (np.bincount(tokens, minlength=5) + 1) / (len(tokens) + 5)
    expected = -np.log(frequencies[labels[weights > 0]]).mean()
    assert found == pytest.approx(expected)
    # A token that training never saw costs much, but not everything.
    unseen = [(None, np.array([[4]]), np.array([[1.0]]))]
    assert kp.training.unigram_entropy(tokens, unseen, 5) == pytest.approx(np.log(10_005))
    with pytest.raises(ValueError, match="`batches` must have tokens to predict"):
        kp.training.unigram_entropy(tokens, [(None, labels, weights * 0)], 5)


@pytest.mark.one_backend
def test_unigram_entropy_counts_in_blocks(rng, monkeypatch):
    from keras_perceiver.training import frequencies

    tokens, batches = rng.integers(0, 7, 100), [(None, np.arange(7)[None], np.ones((1, 7)))]
    whole = kp.training.unigram_entropy(tokens, batches, 7)
    monkeypatch.setattr(frequencies, "BLOCK", 33)
    assert kp.training.unigram_entropy(tokens, batches, 7) == whole
