"""Symbolic audio models: performances in, performances out."""

import json
import pathlib

import numpy as np
import pretty_midi
import pytest

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.preprocessing import MidiPreprocessor, decode_midi, encode_midi
from tiny_ar import forced

MIDI = pathlib.Path(__file__).parents[1] / "golden" / "midi"
PROMPT = [376, 60, 305, 188]
NEW = [380, 64, 275, 192]


@pytest.fixture(scope="module")
def model():
    spec = AttentionSpec(num_heads=2)
    model = kp.models.SymbolicAudioLM(
        64, 16, max_latents=8, num_layers=1, attention=spec, init_scale=0.1
    )
    contract.randomize(model, np.random.default_rng(1))
    return model


def notes(midi):
    assert isinstance(midi, pretty_midi.PrettyMIDI)
    return [
        (note.pitch, round(note.start, 2), round(note.end, 2))
        for note in midi.instruments[0].notes
    ]


def test_a_performance_comes_with_its_continuation(model, tmp_path):
    midi = decode_midi(PROMPT)
    both = model.generate(midi, 4, sampler=forced([NEW]))
    assert notes(both) == notes(decode_midi(PROMPT + NEW))
    assert notes(both) == [(60, 0, 0.5), (64, 0.5, 0.7)]
    added = model.generate(midi, 4, strip_prompt=True, sampler=forced([NEW]))
    assert notes(added) == [(64, 0, 0.2)]
    midi.write(str(tmp_path / "prompt.mid"))
    read = model.generate(tmp_path / "prompt.mid", 4, sampler=forced([NEW]))
    assert notes(read) == notes(both)


def test_performances_of_different_lengths_are_each_alone(model):
    midis = [decode_midi(PROMPT), decode_midi(PROMPT + NEW)]
    together = model.generate(midis, 20, sampler="greedy")
    for midi, received in zip(midis, together, strict=True):
        alone = model.generate(midi, 20, sampler="greedy")
        assert notes(received) == notes(alone)
    assert [len(notes(x)) >= n for x, n in zip(together, (1, 2), strict=True)] == [True] * 2


def test_the_tokens_are_those_of_the_codec():
    """What the model reads is what `encode_midi` says, golden to the id."""
    model = kp.presets.load(MIDI.parent / "symbolic_audio")
    ids = json.loads((MIDI / "synthetic_1.json").read_text())["tokens"]
    with pytest.raises(ValueError, match=r"at most 32 events.*with \d+ events"):
        model.generate(MIDI / "synthetic_1.mid", 4)
    model.preprocessor = MidiPreprocessor(32, truncate=True)
    inputs = model.preprocessor(MIDI / "synthetic_1.mid")
    assert inputs["token_ids"].tolist() == [ids[:32]]
    received = model.generate(
        MIDI / "synthetic_1.mid", 10, num_latents=12, sampler="greedy"
    )
    from keras_perceiver.generation import generate

    new = generate(model, **inputs, max_new_tokens=10, num_latents=12, sampler="greedy")
    assert notes(received) == notes(decode_midi(np.array(ids[:32] + new[0].tolist())))


def test_a_preset_keeps_the_preprocessor(model, tmp_path):
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert again.preprocessor.get_config() == {"max_length": 64, "truncate": False}
    midi = decode_midi(PROMPT)
    one, two = (m.generate(midi, 20, sampler="greedy") for m in (model, again))
    assert notes(one) == notes(two)
    assert encode_midi(two).tolist()[: len(PROMPT)] == PROMPT


@pytest.mark.one_backend
def test_what_cannot_be_continued_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"at least one note each. .*midi\[1\]"):
        model.generate([decode_midi(PROMPT), pretty_midi.PrettyMIDI()], 4)
    with pytest.raises(ValueError, match="at least one performance"):
        model.generate([], 4)
    with pytest.raises(FileNotFoundError):
        model.generate(tmp_path / "none.mid", 4)
    (tmp_path / "broken.mid").write_bytes(b"MThd" + bytes(30))
    with pytest.raises(ValueError, match="broken.mid is not a complete MIDI file"):
        model.generate(tmp_path / "broken.mid", 4)
    with pytest.raises(ValueError, match="`midi` must be a pretty_midi.PrettyMIDI"):
        model.generate(5, 4)
    with pytest.raises(ValueError, match="`num_latents` must lie between 1 and 4"):
        model.generate(decode_midi(PROMPT), 4, num_latents=5)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("preprocessor", "match"),
    [
        (MidiPreprocessor(65), "must not exceed the model's. Received: 65"),
        (kp.preprocessing.ByteTokenizer(), "a MidiPreprocessor. Received: ByteTokenizer"),
    ],
)
def test_preprocessors_that_do_not_fit_are_refused(preprocessor, match):
    spec = AttentionSpec(num_heads=2)
    with pytest.raises(ValueError, match=match):
        kp.models.SymbolicAudioLM(
            64, 16, preprocessor=preprocessor, max_latents=8, num_layers=1, attention=spec
        )
