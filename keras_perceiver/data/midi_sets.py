"""Sets of performances in the files you downloaded, split as their authors do."""

import csv
import pathlib
from typing import Literal

from keras_perceiver.data.midi import MidiData, midi_files
from keras_perceiver.files import read_json

MAESTRO_TABLE = "maestro-v3.0.0"
GIANTMIDI_TABLE = "full_music_pieces_youtube_similarity_pianosoloprob_split.csv"
GIANTMIDI_SPLITS = ("train", "validation", "test")


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


def giantmidi(
    folder: str, test_split: Literal["validation", "test"] = "validation"
) -> MidiData:
    """GiantMIDI-Piano: 10,854 performances, transcribed from recordings.

    Args:
        folder: with the table of its authors,
            `full_music_pieces_youtube_similarity_pianosoloprob_split.csv`, and the MIDI
            files in a sub-folder `midis`, or `surname_checked_midis` for the curated
            two thirds of them; or with sub-folders `train` and `valid`, as
            krasserm/perceiver-io splits them.
        test_split: which split of the table is held out; the other is left out.

    Returns:
        A `MidiData` of paths. What is in the table and not in the folder is left out.

    Raises:
        ValueError: a folder of another kind, or no files in a split.

    Reference:
        arXiv 2010.07061
    """
    root = pathlib.Path(folder)
    table = root / GIANTMIDI_TABLE
    if table.is_file():
        names = _giantmidi_names(table)
        found = {path.stem: path for path in midi_files(root)}
        train, test = (
            [found[name] for name in names[split] if name in found]
            for split in ("train", test_split)
        )
    else:
        train, test = midi_files(root / "train"), midi_files(root / "valid")
    if not train or not test:
        raise ValueError(
            f"`folder` must hold {GIANTMIDI_TABLE} and MIDI files of its splits 'train' "
            f"and {test_split!r}, or sub-folders `train` and `valid` with MIDI files. "
            f"Received: folder={folder} with {len(train)} to train on and {len(test)} "
            "held out"
        )
    return MidiData(train, test)


def _giantmidi_names(table):
    """Names of files without suffix, by split, of a table separated by tabs."""
    names = {split: [] for split in GIANTMIDI_SPLITS}
    with open(table, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"split", "audio_name"} <= set(rows.fieldnames or ()):
            raise ValueError(
                f"{table} must have columns `split` and `audio_name`, separated by tabs. "
                f"Received: {rows.fieldnames}"
            )
        for row in rows:
            # Pieces for which no recording was found have no split.
            if row["split"] in names:
                names[row["split"]].append(row["audio_name"])
    return names


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
