"""Performances in MIDI files, and their events as one array."""

import csv
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Literal

from keras_perceiver.data.text import check_fraction, random_split
from keras_perceiver.data.token_ids import tokens
from keras_perceiver.files import read_json
from keras_perceiver.preprocessing import Tokenizer, encode_midi
from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.midi import MIDI_PAD_ID, MIDI_VOCAB_SIZE

MIDI_SUFFIXES = (".mid", ".midi")
MAESTRO_TABLE = "maestro-v3.0.0"
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
    """MIDI files in a folder and its sub-folders, for example those of GiantMIDI-Piano.

    GiantMIDI-Piano comes as one folder `midis` without a split. The split of
    krasserm/perceiver-io, in an archive of its own, is not reproduced.

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
    files = sorted(
        x
        for x in pathlib.Path(path).rglob("*")
        if x.suffix.lower() in MIDI_SUFFIXES and x.is_file()
    )
    if len(files) < 2:
        raise ValueError(
            f"`path` must be a folder with two or more {' or '.join(MIDI_SUFFIXES)} "
            f"files, because one is held out. Received: path={path} with {len(files)}"
        )
    parts = random_split(len(files), test_fraction, seed)
    return MidiData(*([files[i] for i in part] for part in parts))


def maestro(
    folder: str, test_split: Literal["validation", "test"] = "validation"
) -> MidiData:
    """MAESTRO v3: 200 hours of piano competitions, split as its authors do.

    Args:
        folder: with `maestro-v3.0.0.csv` or `maestro-v3.0.0.json`, and the MIDI files
            in a sub-folder a year.
        test_split: which of the official splits is held out; the other is left out.

    Returns:
        A `MidiData` of paths.

    Raises:
        ValueError: table or files missing, or a table of another kind.

    Reference:
        arXiv 1810.12247; https://magenta.tensorflow.org/datasets/maestro
    """
    root = pathlib.Path(folder)
    table, rows = _maestro_rows(root)
    parts = {"train": [], "validation": [], "test": []}
    for split, name in rows:
        if split not in parts or not name:
            raise ValueError(
                f"{table} must have a `split` of {sorted(parts)} and a `midi_filename` in "
                f"each row. Received: split={split!r}, midi_filename={name!r}"
            )
        parts[split].append(root / name)
    missing = [x for x in parts["train"] + parts[test_split] if not x.is_file()]
    if missing:
        raise ValueError(
            f"`folder` must hold the files that {table.name} names. Received: "
            f"folder={folder} without {len(missing)} of them, first {missing[0]}"
        )
    counts = {split: len(files) for split, files in parts.items()}
    if 0 in (counts["train"], counts[test_split]):
        raise ValueError(
            f"{table} must have files in the splits 'train' and {test_split!r}. "
            f"Received: {counts}"
        )
    return MidiData(parts["train"], parts[test_split])


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


def _maestro_rows(root):
    """Path of the table, and `(split, file name)` of each of its rows."""
    table = root / f"{MAESTRO_TABLE}.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return table, [(row.get("split"), row.get("midi_filename")) for row in rows]
    table = root / f"{MAESTRO_TABLE}.json"
    if not table.is_file():
        raise ValueError(
            f"`folder` must hold {MAESTRO_TABLE}.csv or {MAESTRO_TABLE}.json. Received: "
            f"folder={root}"
        )
    columns = read_json(table)
    splits, names = columns.get("split"), columns.get("midi_filename")
    if not (isinstance(splits, dict) and isinstance(names, dict)):
        raise ValueError(
            f"{table} must have columns `split` and `midi_filename`. Received: "
            f"{sorted(columns)[:10]}"
        )
    return table, [(splits[i], names.get(i)) for i in splits]
