"""Performances as sound: pitches where they belong, WAV files, and fluidsynth."""

import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from keras_perceiver.preprocessing import (
    decode_midi,
    read_midi,
    render,
    synthesis,
    synthesize,
    write_wav,
)

pytestmark = pytest.mark.one_backend
PROMPT = Path(__file__).parents[1] / "golden" / "midi" / "audio_prompt_1.mid"
# A4 for a second, then A5 at half of its strength.
TWO_NOTES = [376, 69, 355, 128 + 69, 366, 81, 355, 128 + 81]


def loudest_frequency(samples, rate):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


def test_notes_sound_when_and_as_they_should():
    rate = 8000
    samples = synthesize(decode_midi(TWO_NOTES), sample_rate=rate)
    assert samples.dtype == np.float32 and samples.shape == (3 * rate,)
    assert np.abs(samples).max() == 1
    first, second, after = samples.reshape(3, rate)
    assert abs(loudest_frequency(first, rate) - 440) <= 1
    assert abs(loudest_frequency(second, rate) - 880) <= 1
    assert np.abs(first[:800]).max() > 1.8 * np.abs(second[:800]).max() > 0.5
    assert not after.any()


def test_a_file_and_its_object_sound_the_same():
    samples = synthesize(str(PROMPT), sample_rate=4000)
    np.testing.assert_array_equal(samples, synthesize(read_midi(PROMPT), 4000))
    assert np.isfinite(samples).all() and not samples[:4000].any() and samples.std() > 0.05


def test_silence_is_silent():
    assert synthesize(pretty_midi.PrettyMIDI()).shape == (0,)
    midi = decode_midi([380, 60, 355, 188])
    midi.instruments[0].is_drum = True
    samples = synthesize(midi, sample_rate=4000)
    assert samples.shape == (8000,) and not samples.any()


@pytest.mark.parametrize("function", [synthesize, lambda midi: render(midi, "x.wav")])
def test_long_performances_are_refused(function):
    midi = decode_midi([376, 60, *[355] * 3601, 188])
    with pytest.raises(ValueError, match=r"longer than 3600 s\. Received: 3601 s"):
        function(midi)
    with pytest.raises(ValueError, match="`midi` must be a pretty_midi.PrettyMIDI"):
        function([60])


def frames_of(path):
    with wave.open(str(path)) as file:
        channels = file.getnchannels()
        assert file.getsampwidth() == 2
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return frames.reshape(-1, channels), file.getframerate()


def test_wav_files(tmp_path):
    samples = np.array([0, 0.5, -0.25, 1, -1, 1.5, -7], "float32")
    assert write_wav(tmp_path / "mono.wav", samples, 8000) == tmp_path / "mono.wav"
    frames, rate = frames_of(tmp_path / "mono.wav")
    expected = [0, 16384, -8192, 32767, -32767, 32767, -32767]
    assert rate == 8000 and frames[:, 0].tolist() == expected
    stereo = np.stack([samples, samples[::-1]], axis=1)
    frames, rate = frames_of(write_wav(str(tmp_path / "stereo.wav"), stereo))
    assert rate == 44100 and frames[:, 1].tolist() == expected[::-1]
    frames, _ = frames_of(write_wav(tmp_path / "none.wav", np.empty(0)))
    assert frames.shape == (0, 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(3, "int16"), r"`samples` must be floats.*shape=\(3,\), dtype=int16"),
        (np.zeros((1, 2, 3)), r"shape=\(1, 2, 3\)"),
        (np.zeros((3, 0)), r"shape=\(3, 0\)"),
        (np.array([0, np.nan]), "`samples` must be finite"),
    ],
)
def test_bad_samples_are_refused(tmp_path, samples, message):
    with pytest.raises(ValueError, match=message):
        write_wav(tmp_path / "bad.wav", samples)
    assert not list(tmp_path.iterdir())


# Stands in for the program: checks what it gets, writes what it is told to.
FAKE = """#!/bin/sh
[ "$1 $2 $3 $5 $6" = "-n -i -F -r 44100" ] || { echo "options $*" >&2; exit 2; }
[ -f "$7" ] && [ "$(head -c 4 "$8")" = MThd ] || { echo "files $*" >&2; exit 3; }
"""


@pytest.fixture
def fluidsynth(tmp_path, monkeypatch):
    def install(end):
        program = tmp_path / "bin" / "fluidsynth"
        program.parent.mkdir()
        program.write_text(FAKE + end)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        font = tmp_path / "-font.sf2"
        font.write_bytes(b"RIFF")
        monkeypatch.chdir(tmp_path)
        return font.name

    return install


def test_rendering_calls_fluidsynth(tmp_path, fluidsynth):
    font = fluidsynth('echo sound > "$4"')
    target = tmp_path / "-out.wav"
    assert render(PROMPT, target, soundfont=font) == target
    assert target.read_text() == "sound\n"


@pytest.mark.parametrize("end", ["echo no sound >&2; exit 1", "echo no sound >&2"])
def test_a_program_that_fails_is_an_error(tmp_path, fluidsynth, end):
    font = fluidsynth(end)
    with pytest.raises(RuntimeError, match="fluidsynth failed: no sound"):
        render(PROMPT, tmp_path / "out.wav", soundfont=font)
    assert not (tmp_path / "out.wav").exists()


def test_what_is_missing_is_named(tmp_path, fluidsynth, monkeypatch):
    fluidsynth("")
    message = "apt install fluidsynth fluid-soundfont-gm.*Missing: nowhere.sf2"
    with pytest.raises(FileNotFoundError, match=message):
        render(PROMPT, tmp_path / "out.wav", soundfont="nowhere.sf2")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Missing: fluidsynth"):
        render(PROMPT, tmp_path / "out.wav")


@pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not os.path.isfile(synthesis.SOUNDFONT),
    reason="needs Debian's packages fluidsynth and fluid-soundfont-gm",
)
def test_the_program_itself(tmp_path):
    frames, rate = frames_of(render(decode_midi(TWO_NOTES), tmp_path / "notes.wav"))
    assert abs(loudest_frequency(frames[:rate, 0], rate) - 440) < 3
