"""Performances in MIDI files, and their events as one array."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

from keras_perceiver.data.text import check_fraction, random_split
from keras_perceiver.data.token_ids import tokens
from keras_perceiver.preprocessing import Tokenizer, encode_midi
from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.midi import MIDI_PAD_ID, MIDI_VOCAB_SIZE

MIDI_SUFFIXES = (".mid", ".midi")
# Of the cache's key: another version does not read the events that this one wrote.
CODEC_VERSION = 1


@dataclasses.dataclass(frozen=True)
class MidiData:
    """A data set of performances, split in two.

    Args:
        train: paths of MIDI files to train on.
        test: paths of those held out.

    Example:
    >>> MidiData(["to_train_on.mid"], ["held_out.mid"]).test
    ['held_out.mid']
    """

    train: Sequence
    test: Sequence


def midi_folder(path: str, test_fraction: float = 0.1, seed: int = 0) -> MidiData:
    """MIDI files in a folder and its sub-folders.

    Args:
        path: of a folder with `.mid` or `.midi` files. A piece that is in it twice may
            end up on both sides.
        test_fraction: fraction of the files held out.
        seed: of the split.

    Returns:
        A `MidiData` of paths in order.

    Raises:
        ValueError: fewer than two files, or a fraction out of range.
    """
    check_fraction(test_fraction)
    files = midi_files(path)
    if len(files) < 2:
        raise ValueError(
            f"`path` must be a folder with two or more {' or '.join(MIDI_SUFFIXES)} "
            f"files, because one is held out. Received: path={path} with {len(files)}"
        )
    parts = random_split(len(files), test_fraction, seed)
    return MidiData(*([files[i] for i in part] for part in parts))


def midi_files(folder):
    """Paths of the MIDI files in a folder and its sub-folders, in order."""
    return sorted(
        x
        for x in pathlib.Path(folder).rglob("*")
        if x.suffix.lower() in MIDI_SUFFIXES and x.is_file()
    )


def midi_tokens(files, cache=None, workers=1):
    """Events of all performances, one performance after the other.

    Works as `keras_perceiver.data.tokens` does for texts; a shard in the `cache` is found
    again by the paths and contents of its MIDI files.

    Args:
        files: paths of MIDI files, for example `MidiData.train`.
        cache: folder to keep events in, or None for none.
        workers: processes that encode at the same time; needs a `cache` if more than 1.

    Returns:
        uint16 `[N]`: ids of `encode_midi`, and the id of padding after each file.
        With a `cache` they are `TokenShards`, which read like an array.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: no file, a broken one, whose name is in the message, or workers
            without a cache.
    """
    if isinstance(files, (str, os.PathLike)) or len(files) == 0:
        raise ValueError(
            f"`files` must be a sequence of one or more paths. Received: {files!r}"
        )
    records = _Fingerprints(files)
    return tokens(records, _MidiReader(), eos=True, cache=cache, workers=workers)


class _Fingerprints(Sequence):
    """Records `"<digest of the content> <path>"`: what the events follow from."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        path = self.files[index]
        return f"{hashlib.sha256(read_bytes(path)).hexdigest()} {path}"


class _MidiReader(Tokenizer):
    """A tokenizer whose texts are fingerprints of files."""

    def __init__(self):
        super().__init__(MIDI_VOCAB_SIZE, {"[EOS]": MIDI_PAD_ID}, False)

    def get_config(self):
        return {"version": CODEC_VERSION}

    def encode_batch(self, texts):
        return [encode_midi(text.split(" ", 1)[1]) for text in texts]
