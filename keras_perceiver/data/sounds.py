"""Labelled clips of sound by random access: synthesized, or in folders."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_perceiver.data.folders import class_folders
from keras_perceiver.preprocessing import read_wav, synthesize

NOTE_RATE, NOTE_SAMPLES = 4000, 1000
NOTE_NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
# Two octaves, from the C in the middle of a piano.
PITCHES = range(60, 84)


@dataclasses.dataclass(frozen=True)
class AudioData:
    """A data set of labelled clips of sound, split in two.

    Args:
        train: records to train on: a sequence of `(clip, label)`, where a clip is an array
            `[samples]` or `[samples, channels]`, or the path of a WAV file.
        test: records held out.
        labels: names of the classes.
        sampling_rate: samples a second.
    """

    train: Sequence
    test: Sequence
    labels: list[str]
    sampling_rate: int


def audio_folder(path: str, test_fraction: float = 0.2, seed: int = 0) -> AudioData:
    """WAV files in `path/<class>/<any name>.wav`, of one length and sampling rate.

    Args:
        path: folder with one sub-folder a class; its name is the class's.
        test_fraction: fraction held out, with every class in proportion.
        seed: of the split.

    Returns:
        An `AudioData` of paths. What a model does not take is refused when it is read.

    Raises:
        ValueError: `path` is no folder, or has fewer than two classes, or a class has
            fewer than two files, or the first is no WAV file.
    """
    *parts, labels = class_folders(path, (".wav",), test_fraction, seed)
    train, test = (
        [(str(file), int(label)) for file, label in zip(*part, strict=True)]
        for part in parts
    )
    rate, _ = read_wav(train[0][0])
    return AudioData(train, test, labels, rate)


def notes(train_count: int = 4000, test_count: int = 480) -> AudioData:
    """Quarters of a second of noisy notes, synthesized: 24 of two octaves, 12 names.

    To try a command on, and small enough to learn. A clip is a piece from anywhere in the
    first half of a note, as loud as it happens to be, in noise. Needs the package
    `pretty_midi`.

    Args:
        train_count: clips to train on.
        test_count: clips held out.

    Returns:
        An `AudioData` of float32 arrays `[1000]`, at 4000 samples a second.

    Example:
    >>> data = notes(train_count=5, test_count=2)
    >>> clip, label = data.train[0]
    >>> clip.shape, data.labels[label]
    ((1000,), 'G#')
    """
    takes = {pitch: _note(pitch) for pitch in PITCHES}
    train, test = (
        _pieces(takes, count, np.random.default_rng(seed))
        for seed, count in enumerate((train_count, test_count))
    )
    return AudioData(train, test, NOTE_NAMES, NOTE_RATE)


def _note(pitch):
    import pretty_midi

    instrument = pretty_midi.Instrument(0)
    instrument.notes = [pretty_midi.Note(100, pitch, 0.0, 2.0)]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(instrument)
    return synthesize(midi, NOTE_RATE)


def _pieces(takes, count, rng):
    records = []
    for _ in range(count):
        pitch = int(rng.choice(PITCHES))
        start = rng.integers(len(takes[pitch]) // 2)
        clip = takes[pitch][start : start + NOTE_SAMPLES]
        clip = clip / np.abs(clip).max() * rng.uniform(0.1, 0.8)
        noise = rng.normal(scale=0.02, size=NOTE_SAMPLES)
        records.append(((clip + noise).astype("float32"), pitch % len(NOTE_NAMES)))
    return records
