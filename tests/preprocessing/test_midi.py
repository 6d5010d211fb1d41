"""MIDI and event ids: the golden files to the id, then what holds for all of them."""

import copy
import json
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_perceiver.preprocessing import (
    MidiPreprocessor,
    decode_midi,
    encode_midi,
    read_midi,
)

pytestmark = pytest.mark.one_backend
GOLDEN = Path(__file__).parents[1] / "golden" / "midi"
NAMES = ["audio_prompt_1", "synthetic_1", "synthetic_2_sustain"]


def performance(*notes, pedal=(), program=0):
    """Notes are (pitch, velocity, start, end), pedal moves (value, time)."""
    piano = pretty_midi.Instrument(program)
    piano.notes = [pretty_midi.Note(v, p, a, b) for p, v, a, b in notes]
    piano.control_changes = [pretty_midi.ControlChange(64, v, t) for v, t in pedal]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(piano)
    return midi


def notes_of(midi):
    """(pitch, velocity, start, end), rounded as the golden files are."""
    return [
        [note.pitch, note.velocity, round(float(note.start), 2), round(float(note.end), 2)]
        for instrument in midi.instruments
        for note in instrument.notes
    ]


@pytest.mark.parametrize("name", NAMES)
def test_golden_ids_and_notes(name):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    ids = encode_midi(GOLDEN / f"{name}.mid")
    assert ids.dtype == np.int32 and ids.tolist() == golden["tokens"]
    decoded = decode_midi(golden["tokens"])
    assert notes_of(decoded) == golden["decoded_notes_pitch_velocity_start_end"]
    (piano,) = decoded.instruments
    assert piano.program == 1 and not piano.is_drum


@pytest.mark.parametrize("name", NAMES)
def test_an_object_is_its_file_and_stays_as_it_is(name):
    midi = read_midi(GOLDEN / f"{name}.mid")
    before = copy.deepcopy(notes_of(midi))
    ids = encode_midi(midi)
    np.testing.assert_array_equal(ids, encode_midi(str(GOLDEN / f"{name}.mid")))
    np.testing.assert_array_equal(ids, encode_midi(midi))
    assert notes_of(midi) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_decoded_performance_survives_a_file(name, tmp_path):
    decoded = decode_midi(encode_midi(GOLDEN / f"{name}.mid"))
    decoded.write(str(tmp_path / "decoded.mid"))
    again = read_midi(tmp_path / "decoded.mid")
    assert len(notes_of(again)) == len(notes_of(decoded)) > 30
    starts = sorted(note[:3] for note in notes_of(again))
    for one, other in zip(starts, sorted(n[:3] for n in notes_of(decoded)), strict=True):
        assert one[:2] == other[:2] and abs(one[2] - other[2]) < 0.011


@st.composite
def separate_notes(draw):
    """Notes in steps of 10 ms that no event rounds; no key goes down twice at once."""
    free, notes = {}, []
    for _ in range(draw(st.integers(0, 20))):
        pitch = draw(st.integers(0, 127))
        start = free.get(pitch, 0) + draw(st.integers(0, 350))
        end = start + draw(st.integers(1, 350))
        free[pitch] = end + 1
        # A velocity that is never left out: its fourth is no velocity of the others.
        notes.append((pitch, 4 * draw(st.integers(16, 25)), start / 100, end / 100))
    return notes


@settings(deadline=None)
@given(separate_notes())
def test_what_needs_no_rounding_comes_back(notes):
    decoded = notes_of(decode_midi(encode_midi(performance(*notes))))
    expected = [[p, v, round(a, 2), round(b, 2)] for p, v, a, b in notes]
    assert sorted(decoded) == sorted(expected)


@settings(deadline=None)
@given(st.lists(st.integers(0, 388), max_size=60))
def test_any_ids_are_a_performance(ids):
    decoded = decode_midi(np.array(ids, "uint16"))
    last = sum(i - 255 for i in ids if 256 <= i < 356) / 100
    for _, velocity, start, end in notes_of(decoded):
        assert 1 <= velocity <= 124 and 0 <= start < end <= last + 0.005
    again = encode_midi(decoded)
    assert again.min(initial=0) >= 0 and again.max(initial=0) < 388


def test_padding_and_notes_without_length_are_skipped():
    ids = [388, 376, 60, 388, 305, 188, 388, 62, 190, 388]
    assert notes_of(decode_midi(ids)) == [[60, 80, 0.0, 0.5]]
    assert notes_of(decode_midi([188, 305, 188])) == []
    assert notes_of(decode_midi([])) == []


@pytest.mark.parametrize("ids", [[60, 305, 188], [356, 60, 305, 188]])
def test_a_note_without_velocity_is_the_softest(ids, tmp_path):
    decoded = decode_midi(ids)
    decoded.write(str(tmp_path / "soft.mid"))
    assert notes_of(read_midi(tmp_path / "soft.mid")) == [[60, 1, 0.0, 0.5]]


def test_times():
    ids = encode_midi(performance((60, 80, 3, 4), (61, 80, 4.004, 7.257)))
    # 1 s, 1 s, 1 s; 1 s; nothing; 1 s, 1 s, 1 s, 0.25 s.
    off = [355, 355, 355, 280, 189]
    assert ids.tolist() == [355, 355, 355, 376, 60, 355, 188, 376, 61, *off]


def test_velocities_are_written_as_the_reference_does():
    chord = performance((60, 80, 0, 1), (64, 20, 0, 1), (67, 80, 0, 1))
    # 80 // 4 is 20, the full velocity of the event before: it is left out.
    assert encode_midi(chord).tolist()[:5] == [376, 60, 361, 64, 67]
    # Never after a note off, even of the same velocity.
    line = performance((60, 80, 0, 1), (64, 80, 1, 2))
    assert encode_midi(line).tolist() == [376, 60, 355, 188, 376, 64, 355, 192]
    assert encode_midi(performance((60, 3, 0, 1))).tolist() == [60, 355, 188]


@pytest.mark.parametrize(
    ("pedal", "ends"),
    [
        ([], [1, 2, 3]),
        ([(64, 0.0), (63, 5.0)], [1.5, 5, 5]),  # the first key goes down again at 1.5
        ([(63, 0.0), (0, 5.0)], [1, 2, 3]),  # never down
        ([(127, 0.2), (0, 5.0)], [1, 5, 5]),  # the first note began before
        ([(127, 0.0), (0, 0.5), (127, 1.4), (0, 2.5)], [1, 2.5, 3]),
        ([(127, 0.0), (90, 0.5), (63, 4.0), (0, 5.0)], [1.5, 4, 4]),
        ([(127, 0.0), (0, 2.2)], [1.5, 2.2, 3]),  # the last begins as the pedal comes up
        ([(127, 0.0)], [1.5, 3, 3]),  # down until the end, where the last note ends
    ],
)
def test_the_pedal_extends_notes(pedal, ends):
    midi = performance((60, 80, 0, 1), (60, 80, 1.5, 2), (64, 80, 2.2, 3), pedal=pedal)
    decoded = notes_of(decode_midi(encode_midi(midi)))
    assert [note[3] for note in decoded] == ends


def test_a_last_note_without_pedal_is_left_out_as_in_the_reference():
    midi = performance((60, 80, 0, 1), (62, 80, 6, 7), pedal=[(127, 0), (0, 5)])
    assert [n[0] for n in notes_of(decode_midi(encode_midi(midi)))] == [60]


def test_no_note_comes_twice_when_the_pedal_moves_after_the_last():
    pedal = [(127, 0), (0, 5), (127, 6), (0, 7), (127, 8), (0, 9)]
    midi = performance((60, 80, 0, 1), (62, 80, 2, 3), pedal=pedal)
    assert sorted(i for i in encode_midi(midi) if i < 128) == [60, 62]


def test_other_controls_are_no_pedal_and_each_instrument_has_its_own():
    midi = performance((60, 80, 0, 1), pedal=[(127, 0), (0, 5)])
    other = performance((40, 80, 0, 1), program=20)
    other.instruments[0].control_changes = [
        pretty_midi.ControlChange(66, 127, 0),
        pretty_midi.ControlChange(66, 0, 5),
    ]
    midi.instruments += other.instruments
    ends = {n[0]: n[3] for n in notes_of(decode_midi(encode_midi(midi)))}
    assert ends == {60: 5, 40: 1}


def test_the_order_of_notes_in_an_object_does_not_matter():
    notes = [(60, 80, 0, 4), (60, 60, 2, 3), (64, 70, 1, 2.5)]
    pedal = [(127, 0), (0, 5)]
    one = encode_midi(performance(*notes, pedal=pedal))
    other = encode_midi(performance(*notes[::-1], pedal=pedal[::-1]))
    np.testing.assert_array_equal(one, other)
    assert [n[2:] for n in notes_of(decode_midi(one))] == [[0, 2], [1, 5], [2, 5]]


def test_nothing_is_no_ids():
    for midi in (pretty_midi.PrettyMIDI(), performance(pedal=[(127, 0), (0, 1)])):
        ids = encode_midi(midi)
        assert ids.dtype == np.int32 and ids.shape == (0,)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ((128, 80, 0, 1), "pitch=128"),
        ((60, 128, 0, 1), "velocity=128"),
        ((60, -1, 0, 1), "velocity=-1"),
        ((60.5, 80, 0, 1), "pitch=60.5"),
        ((60, 80, -1, 1), "start=-1"),
        ((60, 80, np.nan, np.nan), "start=nan"),
        ((60, 80, 0, 1e9), "end=1000000000"),
    ],
)
def test_notes_out_of_range_are_refused(note, message):
    with pytest.raises(ValueError, match=f"`midi` must have notes with.*{message}"):
        encode_midi(performance(note))


def test_other_things_are_refused():
    with pytest.raises(ValueError, match=r"`midi` must be a pretty_midi.*Received: 3 "):
        encode_midi(3)
    with pytest.raises(ValueError, match="control changes at 0 s or later.*time=nan"):
        encode_midi(performance((60, 80, 0, 1), pedal=[(127, np.nan)]))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        encode_midi("/nowhere.mid")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([60, 389], "`ids` must lie between 0 and 388. Received: from 60 to 389"),
        ([-1, 60], "Received: from -1 to 60"),
        ([[60]], r"`ids` must be integers \[n\]. Received: shape=\(1, 1\)"),
        ([60.0], "dtype=float64"),
        (["a"], "dtype=<U1"),
    ],
)
def test_bad_ids_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        decode_midi(ids)


def test_preprocessor():
    prepare = MidiPreprocessor(max_length=8)
    long, short = decode_midi([376, 60, 305, 188, 62, 355, 190]), GOLDEN / "none.mid"
    inputs = prepare([long, decode_midi([376, 60, 305, 188])])
    np.testing.assert_array_equal(
        inputs["token_ids"],
        [[376, 60, 305, 188, 376, 62, 355, 190], [388] * 4 + [376, 60, 305, 188]],
    )
    np.testing.assert_array_equal(inputs["padding_mask"], [[1] * 8, [0] * 4 + [1] * 4])
    assert {x.dtype for x in inputs.values()} == {np.dtype("int32")}
    assert prepare(pretty_midi.PrettyMIDI())["padding_mask"].tolist() == [[0]]
    assert prepare(long, pad_to=10)["token_ids"].shape == (1, 10)
    assert (prepare.vocab_size, prepare.pad_id, prepare.padding_side) == (389, 388, "left")
    with pytest.raises(FileNotFoundError, match=short.name):
        prepare([long, short])


def test_preprocessor_configuration():
    prepare = MidiPreprocessor(max_length=10, truncate=True)
    again = MidiPreprocessor.from_config(json.loads(json.dumps(prepare.get_config())))
    assert again.get_config() == {"max_length": 10, "truncate": True}
    path = GOLDEN / "audio_prompt_1.mid"
    np.testing.assert_array_equal(again(path)["token_ids"][0], encode_midi(path)[:10])


def test_preprocessor_refuses():
    path = str(GOLDEN / "audio_prompt_1.mid")
    with pytest.raises(ValueError, match=r"at most 9 events each.*midi\[1\] with 254"):
        MidiPreprocessor(9)([decode_midi([]), path])
    with pytest.raises(ValueError, match="at most 9 events.*max_length=300, pad_to=9"):
        MidiPreprocessor(300)(path, pad_to=9)
    with pytest.raises(ValueError, match="at least one performance. Received none"):
        MidiPreprocessor(9)([])
    for length in (0, 1.5, None):
        with pytest.raises(ValueError, match=f"`max_length` must.*max_length={length}"):
            MidiPreprocessor(length)
