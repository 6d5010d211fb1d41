"""Corpora that tensorflow-datasets does not have, in the files you downloaded.

They are read where they are and as they are: an index of where the documents begin is
made in seconds, and nothing is converted or held in memory.
"""

import pathlib
import re
from typing import Literal

import numpy as np

from keras_perceiver.data.text import (
    FileTexts,
    TextData,
    cut,
    document_files,
    hold_out,
)

WIKITEXT_SUFFIXES = (".raw", ".tokens")
# What goes before a heading of the first level, " = Title = "; one of the second is
# " = = Part = = ".
WIKITEXT_ARTICLE = re.compile(rb"^(?= = (?!= ).* = *$)", re.M)
BOOKCORPUS_FILES = ("books_large_p1.txt", "books_large_p2.txt")
# Parts of enwik8 to train on, to validate on and to test on.
ENWIK8_PARTS = (0.9, 0.05, 0.05)
# Lines that make a document where the files do not mark any.
RUN_LINES = 64
BLOCK_BYTES = 2**24


def wikitext103(folder: str, test_split: Literal["valid", "test"] = "valid") -> TextData:
    """WikiText-103: good and featured articles of Wikipedia, one a document.

    Args:
        folder: with `wiki.train.raw`, `wiki.valid.raw` and `wiki.test.raw`, or the
            same with `.tokens` for `.raw`.
        test_split: which of the official splits is held out.

    Returns:
        A `TextData` of strings.

    Raises:
        ValueError: files missing, or without an article.
    """
    root = pathlib.Path(folder)
    for suffix in WIKITEXT_SUFFIXES:
        paths = [root / f"wiki.{split}{suffix}" for split in ("train", test_split)]
        if all(path.is_file() for path in paths):
            break
    else:
        raise ValueError(
            f"`folder` must hold wiki.train and wiki.{test_split} with one of the endings "
            f"{WIKITEXT_SUFFIXES}. Received: folder={folder}"
        )
    parts = [FileTexts([path], cut(0, path, WIKITEXT_ARTICLE)) for path in paths]
    for path, articles in zip(paths, parts, strict=True):
        if not articles or not articles[0].startswith(" = "):
            raise ValueError(f"{path} must hold articles under headings ' = Title = '.")
    return TextData(*parts)


def bookcorpus(folder: str, test_fraction: float = 0.02, seed: int = 0) -> TextData:
    """BookCorpus: 74 million sentences of 7,000 novels, a document for each 64.

    The files do not say where a book ends, and a document of many sentences keeps what
    follows one another together.

    Args:
        folder: with `books_large_p1.txt` and `books_large_p2.txt`: a sentence a line.
        test_fraction: fraction of the documents held out.
        seed: of the split.

    Returns:
        A `TextData` of strings.

    Raises:
        ValueError: files missing, or fewer than two documents in them.
    """
    paths = [pathlib.Path(folder, name) for name in BOOKCORPUS_FILES]
    for path in paths:
        if not path.is_file():
            raise ValueError(
                f"`folder` must hold {' and '.join(BOOKCORPUS_FILES)}. Received: "
                f"folder={folder} without {path.name}"
            )
    spans = [_line_runs(i, path) for i, path in enumerate(paths)]
    return hold_out(paths, np.concatenate(spans), test_fraction, seed)


def bookcorpusopen(folder: str, test_fraction: float = 0.02, seed: int = 0) -> TextData:
    """BookCorpusOpen: 18,000 books, one a document.

    Args:
        folder: with files `*.epub.txt`, a book each, also in sub-folders.
        test_fraction: fraction of the books held out.
        seed: of the split.

    Returns:
        A `TextData` of strings.

    Raises:
        ValueError: fewer than two books.
    """
    paths = document_files(folder, (".epub.txt",))
    spans = [cut(i, path) for i, path in enumerate(paths)]
    return hold_out(paths, np.concatenate(spans), test_fraction, seed)


def enwik8(path: str, test_split: Literal["valid", "test"] = "valid") -> TextData:
    """enwik8: the first 100 million bytes of a dump of Wikipedia, XML and all.

    Split as is customary: 90 million bytes to train on, 5 million to validate on and
    5 million to test on, in order. A line across a border belongs to the part in which
    it begins. A document is 64 lines; all documents in a row are the file.

    Args:
        path: of the file.
        test_split: which of the two parts is held out; the other is left out.

    Returns:
        A `TextData` of strings.

    Raises:
        ValueError: no such file, or one too short to split.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f"`path` must be the file enwik8. Received: path={path}")
    spans = _line_runs(0, file)
    borders = np.cumsum(ENWIK8_PARTS)[:-1] * file.stat().st_size
    train, valid, test = np.split(spans, np.searchsorted(spans[:, 1], borders))
    held_out = {"valid": valid, "test": test}[test_split]
    if 0 in (len(train), len(held_out)):
        raise ValueError(
            f"`path` must be a file long enough to split. Received: path={path} with "
            f"{file.stat().st_size} bytes"
        )
    return TextData(FileTexts([file], train), FileTexts([file], held_out))


def _line_runs(index, path):
    """Where each run of `RUN_LINES` lines of a file is: int64 `[n, 3]`."""
    edges, lines, position = [np.zeros(1, "int64")], 0, 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            ends = np.flatnonzero(np.frombuffer(block, "uint8") == ord("\n")) + 1
            edges.append(position + ends[(-1 - lines) % RUN_LINES :: RUN_LINES])
            lines += len(ends)
            position += len(block)
    # The last run may be shorter.
    edges = np.unique(np.concatenate([*edges, [position]]))  # [n + 1]
    return np.stack([np.full(len(edges) - 1, index), edges[:-1], edges[1:]], axis=1)
