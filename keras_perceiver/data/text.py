"""Texts by random access: documents in files of your own."""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".text")
# Where one document ends and the next begins.
SEPARATORS = {
    "file": None,
    "line": re.compile(rb"[\r\n]+"),
    "paragraph": re.compile(rb"\r?\n[ \t]*\r?\n\s*"),
}


@dataclasses.dataclass(frozen=True)
class TextData:
    """A data set of texts, split in two.

    Args:
        train: records to train on: a sequence of strings, or of `(text, label)`.
        test: records held out.
        labels: names of the classes, or None for text without labels.

    Example:
    >>> TextData(["to train on"], ["held out"]).test[0]
    'held out'
    """

    train: Sequence
    test: Sequence
    labels: list[str] | None = None


class LabelledTexts(Sequence):
    """Texts and their labels in memory.

    Args:
        texts: strings.
        labels: `[n]`, integers.

    Raises:
        ValueError: labels that are not one integer a text.

    Example:
    >>> LabelledTexts(["good", "bad"], [1, 0])[0]
    ('good', 1)
    """

    def __init__(self, texts, labels):
        self.texts = list(texts)
        self.labels = np.asarray(labels, "int64" if len(labels) == 0 else None)
        if self.labels.shape != (len(self.texts),) or self.labels.dtype.kind not in "iu":
            raise ValueError(
                f"`labels` must be {len(self.texts)} integers, one a text. Received: "
                f"labels.shape={self.labels.shape}, dtype={self.labels.dtype}"
            )

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        return self.texts[index], int(self.labels[index])

    def __repr__(self):
        return f"LabelledTexts({len(self)} texts)"


class FileTexts(Sequence):
    """Texts in UTF-8 files, read when asked for: files may exceed the memory.

    Args:
        paths: of the files.
        spans: int64 `[n, 3]`: index of the file, first byte, and byte after the last,
            for each text.

    Raises:
        ValueError: when a text is read that is not UTF-8.
    """

    def __init__(self, paths, spans):
        self.paths = paths
        self.spans = spans

    def __len__(self):
        return len(self.spans)

    def __getitem__(self, index):
        file, start, stop = map(int, self.spans[index])
        with open(self.paths[file], "rb", buffering=0) as content:
            content.seek(start)
            text = content.read(stop - start)
        return decode_utf8(text, self.paths[file], start)

    def __repr__(self):
        return f"FileTexts({len(self)} texts in {len(self.paths)} files)"


def decode_utf8(content, path, start=0, encoding="utf-8"):
    """Text of bytes that begin at `start` of a file, or a ValueError that says where."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be UTF-8 text. Received: byte 0x{content[error.start]:02x} at "
            f"position {start + error.start}"
        ) from None


def text_files(
    path: str,
    documents: Literal["file", "line", "paragraph"] = "file",
    test_fraction: float = 0.1,
    seed: int = 0,
) -> TextData:
    """Text in a file, or in the files of a folder and its sub-folders.

    Args:
        path: of a text file, or of a folder with `.txt`, `.text`, `.md` or `.rst`
            files.
        documents: what a document is: a whole file, a line, or a paragraph (ended by
            an empty line). Empty ones are left out.
        test_fraction: fraction of the documents held out.
        seed: of the split.

    Returns:
        A `TextData` of strings.

    Raises:
        ValueError: no such file, fewer than two documents, or (when it is read) text
            that is not UTF-8.
    """
    paths = document_files(path, TEXT_SUFFIXES)
    separator = SEPARATORS[documents]
    spans = [cut(i, file, separator) for i, file in enumerate(paths)]
    return hold_out(paths, np.concatenate(spans), test_fraction, seed)


def document_files(path, suffixes):
    """Files with one of some endings in a folder, in order; or the one file."""
    root = pathlib.Path(path)
    if root.is_file():
        return [root]
    paths = sorted(
        file
        for file in root.rglob("*")
        if file.name.lower().endswith(suffixes) and file.is_file()
    )
    if not paths:
        raise ValueError(
            f"`path` must be a text file, or a folder with {', '.join(suffixes)} files. "
            f"Received: path={path}"
        )
    return paths


def cut(index, path, separator=None):
    """Where the documents of a file are.

    Args:
        index: of the file, for the first column.
        path: of the file.
        separator: a regular expression for what is between documents; None for one
            document.

    Returns:
        int64 `[n, 3]`, as `FileTexts` has it, without documents that are blank.
    """
    content = path.read_bytes()
    between = [] if separator is None else [m.span() for m in separator.finditer(content)]
    edges = np.array([0, *itertools.chain(*between), len(content)], "int64")
    spans = [(index, a, b) for a, b in edges.reshape(-1, 2) if content[a:b].strip()]
    return np.array(spans, "int64").reshape(-1, 3)


def hold_out(paths, spans, test_fraction, seed):
    """The texts at `spans`, a random fraction held out, in the order of the files.

    Raises:
        ValueError: a fraction out of range, or fewer than two texts.
    """
    if len(spans) < 2:
        raise ValueError(
            "`path` must hold two or more documents that are not empty, because one is "
            f"held out. Received: {paths[0]}{' and others' * (len(paths) > 1)} with "
            f"{len(spans)} (a file can be cut with documents='paragraph' or 'line')"
        )
    train, test = random_split(len(spans), test_fraction, seed)
    return TextData(FileTexts(paths, spans[train]), FileTexts(paths, spans[test]))


def random_split(count, test_fraction, seed):
    """Indices of `count` records, two or more, to train on and held out, ascending.

    Raises:
        ValueError: a fraction that is not between 0 and 1.
    """
    check_fraction(test_fraction)
    held_out = min(max(1, round(test_fraction * count)), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def check_fraction(test_fraction):
    """Raise a ValueError unless the fraction leaves something on both sides."""
    if not 0 < test_fraction < 1:
        raise ValueError(
            "`test_fraction` must lie between 0 and 1. Received: "
            f"test_fraction={test_fraction}"
        )
