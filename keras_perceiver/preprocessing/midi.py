"""Piano performances as event ids, and back."""

import numpy as np

from keras_perceiver.preprocessing.midi_files import as_midi

# Ids in order: a key goes down, a key comes up, time passes (10 ms to 1 s), and how
# hard the keys that follow go down (in steps of 4).
NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY, MIDI_PAD_ID = 0, 128, 256, 356, 388
MIDI_VOCAB_SIZE = MIDI_PAD_ID + 1
STEPS_PER_SECOND = 100
LONGEST_SHIFT = VELOCITY - TIME_SHIFT
VELOCITY_STEP = 4
# MIDI's control change of the sustain pedal, and the least value at which it is down.
PEDAL, PEDAL_DOWN = 64, 64
# Of what is decoded: a piano, as the reference has it.
PROGRAM = 1


def encode_midi(midi):
    """Event ids of a performance.

    The notes of all instruments become one sequence. A note that begins while the
    sustain pedal is down lasts until the pedal is up or the same key goes down again.
    As in the reference, from which trained models have their ids, notes that begin
    after the pedal's last release are left out where a pedal is used, and a velocity
    is left out where a fourth of it equals the full velocity of the event before.

    Args:
        midi: a `pretty_midi.PrettyMIDI`, which stays as it is, or the path of a MIDI
            file.

    Returns:
        int32 `[n]`: 0 to 127 note on, 128 to 255 note off, 256 to 355 time shift,
        356 to 387 velocity; empty without a note.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file (its name is in the message), or notes out of range.

    Example:
    >>> import pretty_midi
    >>> midi, piano = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0)
    >>> piano.notes.append(pretty_midi.Note(velocity=80, pitch=60, start=0.5, end=1))
    >>> midi.instruments.append(piano)
    >>> encode_midi(midi).tolist()
    [305, 376, 60, 305, 188]

    Reference:
        arXiv 1809.04281, section 4.2, and the program midi-neural-processor. There,
        notes can come twice where a pedal moves after the last note; here they do
        not. A pedal that stays down until the end counts here as released there.
    """
    notes = [note for x in as_midi(midi).instruments for note in _sustained(x)]
    if not notes:
        return np.empty(0, "int32")
    notes.sort(key=lambda note: note[0])
    start, end, pitch, velocity = np.array(notes, "float64").T  # [n] each
    # A key goes down and comes up: two events a note.
    time = np.stack([start, end], 1).ravel()  # [2 n]
    key = np.stack([NOTE_ON + pitch, NOTE_OFF + pitch], 1).ravel()
    velocity = np.stack([velocity, np.full_like(velocity, -1)], 1).ravel()
    order = np.argsort(time, kind="stable")
    time, key, velocity = time[order], key[order], velocity[order]

    steps = np.rint(np.diff(time, prepend=0) * STEPS_PER_SECOND).astype("int64")
    whole, rest = np.divmod(steps, LONGEST_SHIFT)
    step = velocity // VELOCITY_STEP
    # The full velocity of the event before, -1 at note off: see above.
    written = (velocity >= 0) & (step != np.concatenate([[0], velocity[:-1]]))
    # At most three ids an event; -1 is none.
    ids = np.full((len(key), 3), -1, "int32")
    ids[:, 0] = np.where(rest > 0, TIME_SHIFT - 1 + rest, -1)
    ids[:, 1] = np.where(written, VELOCITY + step, -1)
    ids[:, 2] = key
    before = np.repeat(3 * np.arange(len(key)), whole)
    ids = np.insert(ids.ravel(), before, TIME_SHIFT + LONGEST_SHIFT - 1)
    return ids[ids >= 0]


def decode_midi(ids):
    """The performance of event ids: the inverse of `encode_midi`, up to its steps.

    Padding is skipped, as are keys that come up without having gone down, and notes
    without length. A key that goes down twice before it comes up counts from the
    second time; each further time it comes up gives a note, as in the reference.

    Args:
        ids: integers `[n]`, from 0 to 388.

    Returns:
        A `pretty_midi.PrettyMIDI` of one piano, its notes by start and pitch.

    Raises:
        ValueError: ids that are no integers `[n]` of the vocabulary.

    Example:
    >>> decode_midi([305, 376, 60, 305, 188]).instruments[0].notes
    [Note(start=0.500000, end=1.000000, pitch=60, velocity=80)]
    """
    import pretty_midi

    piano = pretty_midi.Instrument(PROGRAM)
    time, velocity, down = 0, 0, {}
    for i in _checked(ids).tolist():
        if i == MIDI_PAD_ID:
            continue
        if i >= VELOCITY:
            velocity = (i - VELOCITY) * VELOCITY_STEP
        elif i >= TIME_SHIFT:
            time += i - TIME_SHIFT + 1
        elif i < NOTE_OFF:
            down[i - NOTE_ON] = time, velocity
        elif (pitch := i - NOTE_OFF) in down and down[pitch][0] < time:
            start, loudness = down[pitch]
            # In a MIDI file a velocity of 0 ends a note.
            note = pretty_midi.Note(
                max(1, loudness), pitch, start / STEPS_PER_SECOND, time / STEPS_PER_SECOND
            )
            piano.notes.append(note)
    piano.notes.sort(key=lambda note: (note.start, note.pitch))
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(piano)
    return midi


def _sustained(instrument):
    """Notes of an instrument, `[start, end, pitch, velocity]`, as the pedal leaves them.

    The order is that of the reference, because it decides between notes that begin at
    the same time: by their end, but the pedal's notes last.
    """
    notes = [[x.start, x.end, x.pitch, x.velocity] for x in instrument.notes]
    notes.sort(key=lambda note: note[1])
    pedals = _pedals(instrument)
    if not pedals:
        return notes
    free, sustained, position = [], [], 0
    for down, up in pedals:
        held = []
        while position < len(notes) and notes[position][0] <= up:
            (held if notes[position][0] >= down else free).append(notes[position])
            position += 1
        again = {}  # when each key goes down next
        for note in sorted(held, key=lambda note: note[0], reverse=True):
            start, end, pitch, _ = note
            note[1] = again.get(pitch, max(up, end))
            again[pitch] = start
        sustained += held
    return free + sustained


def _pedals(instrument):
    """When the sustain pedal goes down and up again: pairs of seconds, in order."""
    pedals, down = [], None
    controls = [x for x in instrument.control_changes if x.number == PEDAL]
    for control in sorted(controls, key=lambda control: control.time):
        is_down = control.value >= PEDAL_DOWN
        if is_down and down is None:
            down = control.time
        elif not is_down and down is not None:
            pedals.append((down, control.time))
            down = None
    if down is not None:
        pedals.append((down, max((x.end for x in instrument.notes), default=down)))
    return pedals


def _checked(ids):
    ids = np.asarray(ids)
    if ids.size == 0:
        ids = ids.astype("int32")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"`ids` must be integers [n]. Received: shape={ids.shape}, dtype={ids.dtype}"
        )
    if ids.size and (ids.min() < 0 or ids.max() >= MIDI_VOCAB_SIZE):
        raise ValueError(
            f"`ids` must lie between 0 and {MIDI_VOCAB_SIZE - 1}. Received: from "
            f"{ids.min()} to {ids.max()}"
        )
    return ids
