"""Piano exercises by rule: performances that are there without a download."""

import os

from keras_perceiver.data.midi import MidiData

KEYS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MAJOR = (0, 2, 4, 5, 7, 9, 11)
# Degrees of the scale, counted from the tonic, in the order they are played.
FIGURES = {
    "scale": [*range(15), *range(13, -1, -1)],
    "thirds": [x for i in range(12) for x in (i, i + 2)] + [14],
    "arpeggio": [0, 2, 4, 7, 9, 11, 14, 11, 9, 7, 4, 2, 0],
    # A chord broken as in the slow movements of Mozart's sonatas: I, IV, V, I.
    "alberti": [root + x for root in (0, 3, 4, 0) for x in (0, 4, 2, 4) * 2],
}
HELD_OUT = ("Eb", "A")


def exercises(folder: str) -> MidiData:
    """Scales, thirds, arpeggios and Alberti basses in the twelve major keys, by rule.

    To try a command on, and small enough to learn: 48 pieces, of which those in E flat
    and A major are held out. Needs the package `pretty_midi`.

    Args:
        folder: to write the MIDI files to; made if it is not there.

    Returns:
        A `MidiData` of paths.

    Example:
    >>> import tempfile
    >>> data = exercises(tempfile.mkdtemp())
    >>> len(data.train), len(data.test)
    (40, 8)
    """
    os.makedirs(folder, exist_ok=True)
    parts = {True: [], False: []}
    for tonic, key in enumerate(KEYS):
        for name, degrees in FIGURES.items():
            path = os.path.join(folder, f"{name}_{key}.mid")
            _performance(48 + tonic, degrees).write(path)
            parts[key in HELD_OUT].append(path)
    return MidiData(parts[False], parts[True])


def _performance(tonic, degrees):
    import pretty_midi

    midi = pretty_midi.PrettyMIDI()
    piano = pretty_midi.Instrument(program=0)
    length = 0.2  # seconds
    for i, degree in enumerate(degrees):
        octave, step = divmod(degree, len(MAJOR))
        velocity = 80 if i % 4 == 0 else 64  # the beat is louder
        pitch = tonic + 12 * octave + MAJOR[step]
        note = pretty_midi.Note(velocity, pitch, i * length, (i + 1) * length)
        piano.notes.append(note)
    midi.instruments.append(piano)
    return midi
