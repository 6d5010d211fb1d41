"""Broken MIDI files: one kind of error, with the name of the file, and soon."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_perceiver.preprocessing import encode_midi, midi_files, read_midi

pytestmark = pytest.mark.one_backend
GOLDEN = Path(__file__).parents[1] / "golden" / "midi"
CONTENTS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.mid"))]


def chunk(name, data):
    return name + len(data).to_bytes(4, "big") + data


def midi_bytes(*tracks, resolution=220):
    header = b"\0\1" + len(tracks).to_bytes(2, "big") + resolution.to_bytes(2, "big")
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", x) for x in tracks)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("midi") / "piece.mid"


def read_or_refuse(file, content):
    """Ids of a file, or None where it is refused as it should be."""
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pretty_midi, on tempi in odd places
        try:
            ids = encode_midi(file)
        except ValueError as error:
            assert str(file) in str(error), error
            return None
    assert ids.min(initial=0) >= 0 and ids.max(initial=0) < 388
    return ids


@settings(deadline=None, max_examples=300)
@given(content=st.sampled_from(CONTENTS), data=st.data())
def test_flipped_bits(file, content, data):
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    read_or_refuse(file, bytes(content))


@settings(deadline=None, max_examples=100)
@given(content=st.sampled_from(CONTENTS), data=st.data())
def test_truncated(file, content, data):
    end = data.draw(st.integers(0, len(content) - 1))
    assert read_or_refuse(file, content[:end]) is None


EVENTS = st.one_of(
    st.binary(max_size=6),
    # Messages that are nearly right, of all kinds: status, data.
    st.builds(
        lambda delta, status, data: bytes([delta, status, *data]),
        st.integers(0, 127),
        st.integers(128, 255),
        st.lists(st.integers(0, 127), max_size=3),
    ),
    # Meta messages of all types with any content.
    st.builds(
        lambda delta, kind, data: bytes([delta, 255, kind, len(data), *data]),
        st.integers(0, 127),
        st.integers(0, 127),
        st.binary(max_size=6),
    ),
)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.lists(EVENTS, max_size=6).map(b"".join), max_size=3),
    st.integers(0, 2**16 - 1),
)
@example([b"\0\xff\x51\x03\0\0\0" + b"\x01\x90\x40\x40\x01\x80\x40\x40"], 220)  # tempo 0
@example([b"\0\xff\x59\x02\x0c\0"], 220)  # no such key signature
@example([b"\0\xff\x58\x04\0\xff\0\0"], 220)
@example([b"\0\x90\x40\x40\x40\x80\x40\x40"], 0)
@example([b"\0\x90\x40\x40\x40\x80\x40\x40"], 0xE728)  # time in frames
def test_made_up_events(file, tracks, resolution):
    read_or_refuse(file, midi_bytes(*tracks, resolution=resolution))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=100))
def test_any_bytes(file, content):
    read_or_refuse(file, content)
    read_or_refuse(file, b"MThd\0\0\0\6" + content)


SLOWEST = b"\0\xff\x51\x03\xff\xff\xff"
LONGEST_NOTE = b"\0\x90\x40\x40\x84\xe2\xac\x7f\x80\x40\x40"


def test_the_helper_makes_midi(file):
    track = b"\0\x90\x40\x40\x83\x38\x80\x40\x40\0\xff\x2f\0"
    ids = read_or_refuse(file, midi_bytes(track))
    assert ids.tolist() == [372, 64, 355, 192]  # 440 ticks of 120 * 220 a minute


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOFError"),
        (b"RIFF" + bytes(20), "MThd not found"),
        (midi_bytes(), "a complete MIDI file: ValueError"),
        (midi_bytes(b"\0\x90\x40"), "EOFError"),
        (midi_bytes(b"\0\x90\x40\x40\x40\x80\x40\x40", resolution=0), "ZeroDivision"),
        # 2 ** 28 - 1 ticks: the table of their times would take 2 GB.
        (midi_bytes(b"\xff\xff\xff\x7f\x90\x40\x40"), "largest tick.*corrupt"),
        # Nearly 1e7 ticks at 16.8 s a beat of one tick: five years.
        (
            midi_bytes(SLOWEST + LONGEST_NOTE, resolution=1),
            "by 86400 s. Received: pitch=64",
        ),
        (midi_bytes(b"\xff" * 100_000), "a number that does not end"),
    ],
)
def test_reasons(file, content, message):
    file.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(ValueError, match=f"{file.name} is not.*{message}"):
        read_midi(file)
    assert time.monotonic() - start < 5


def test_a_large_file_is_refused_unread(file, monkeypatch):
    content = CONTENTS[0]
    file.write_bytes(content)
    monkeypatch.setattr(midi_files, "MAX_MIDI_BYTES", len(content))
    read_midi(file)
    monkeypatch.setattr(midi_files, "MAX_MIDI_BYTES", len(content) - 1)
    with pytest.raises(ValueError, match=f"{file.name} must not be larger than"):
        read_midi(file)


def test_pipes_and_folders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.mid")
    for path in (tmp_path / "pipe.mid", tmp_path):
        with pytest.raises(ValueError, match="must be a regular file"):
            read_midi(path)


def test_a_long_file_is_read_whole(tmp_path, rng):
    midi, piano = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0)
    for i, start in enumerate(np.cumsum(rng.uniform(0.1, 1, 1000))):
        piano.notes.append(pretty_midi.Note(64, i % 128, start, start + 0.1))
    midi.instruments.append(piano)
    midi.write(str(tmp_path / "long.mid"))
    assert sum(encode_midi(tmp_path / "long.mid") < 128) == 1000
