"""Reading MIDI files that nobody vouches for."""

import io
import os
import re

import numpy as np

from keras_perceiver.preprocessing.files import read_bytes

# Hours of dense playing; the reader needs about three seconds for a megabyte.
MAX_MIDI_BYTES = 4 * 2**20
MAX_SECONDS = 24 * 3600
# What mido would read as one number, in a time that is quadratic in its length.
ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{1024}")


def read_midi(path):
    """A MIDI file.

    Args:
        path: of the file.

    Returns:
        A `pretty_midi.PrettyMIDI`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, too large, no MIDI file, or a broken one.
    """
    import mido
    import pretty_midi

    content = read_bytes(path)
    if len(content) > MAX_MIDI_BYTES:
        raise ValueError(
            f"{path} must not be larger than {MAX_MIDI_BYTES} bytes. "
            f"Received: {len(content)} bytes"
        )
    try:
        if ENDLESS_NUMBER.search(content):
            raise ValueError("a number that does not end")
        midi = pretty_midi.PrettyMIDI(io.BytesIO(content))
        check_midi(midi)
    # The reader has no error of its own for broken files: these are what it meets.
    except (
        ArithmeticError,
        EOFError,
        LookupError,
        OSError,
        ValueError,
        mido.KeySignatureError,
    ) as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise ValueError(f"{path} is not a complete MIDI file: {reason}") from None
    return midi


def as_midi(midi):
    """A `pretty_midi.PrettyMIDI` that can be encoded: the given one, or that of a path.

    Raises:
        ValueError: something else, or notes out of range.
    """
    if isinstance(midi, (str, os.PathLike)):
        return read_midi(midi)
    if not hasattr(midi, "instruments"):
        raise ValueError(
            "`midi` must be a pretty_midi.PrettyMIDI or the path of a MIDI file. "
            f"Received: {midi!r:.100} ({type(midi).__name__})"
        )
    check_midi(midi)
    return midi


def check_midi(midi):
    """Raise a ValueError unless the notes and pedals of `midi` are what MIDI can have."""
    for instrument in midi.instruments:
        for note in instrument.notes:
            # Comparisons with NaN are false.
            if not (
                0 <= note.start <= note.end <= MAX_SECONDS
                and _is_data(note.pitch)
                and _is_data(note.velocity)
            ):
                raise ValueError(
                    "`midi` must have notes with pitch and velocity from 0 to 127 that "
                    f"begin at 0 s or later and end by {MAX_SECONDS} s. Received: "
                    f"pitch={note.pitch}, velocity={note.velocity}, start={note.start}, "
                    f"end={note.end}"
                )
        for control in instrument.control_changes:
            if not 0 <= control.time < np.inf:
                raise ValueError(
                    "`midi` must have control changes at 0 s or later. Received: "
                    f"time={control.time}"
                )


def _is_data(value):
    return isinstance(value, (int, np.integer)) and 0 <= value < 128
