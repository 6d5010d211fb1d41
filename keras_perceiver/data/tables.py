"""Tables of texts with or without labels: CSV, TSV and JSON lines."""

import contextlib
import csv
import io
import json
import pathlib

from keras_perceiver.data.text import LabelledTexts, TextData, decode_utf8

SUFFIXES = (".csv", ".tsv", ".jsonl")
# The limit of `csv` itself, 131,072 characters, is less than a long article has.
MAX_CELL = 2**31 - 1


def table(
    path: str,
    text_column: str = "text",
    label_column: str | None = None,
    test_path: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> TextData:
    r"""Texts in a table, with or without labels.

    Args:
        path: of a UTF-8 file: `.csv` or `.tsv` with the names of the columns in the
            first line, or `.jsonl` with an object a line.
        text_column: name of the column of texts.
        label_column: name of the column of labels, which are words or whole numbers;
            None for text without labels.
        test_path: of a file of the same form with the held-out records; None to hold
            out a fraction of `path`.
        test_fraction: fraction held out, with every class in proportion.
        seed: of the split.

    Returns:
        A `TextData`; the classes are sorted, as numbers if all are.

    Raises:
        ValueError: another kind of file, text that is not UTF-8, broken lines, no such
            column, a record without text or label, fewer than two classes, or too few
            records to hold some out.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "films.csv")
    ...     _ = path.write_text("text,label\nDull,bad\nFun,good\nSad,bad\nWow,good\n")
    ...     data = table(path, label_column="label", test_fraction=0.5)
    >>> data.labels, len(data.test)
    (['bad', 'good'], 2)
    """
    texts, names = _read(path, text_column, label_column)
    labels = None if names is None else _classes(path, label_column, names)
    if test_path is None:
        parts = _split(path, texts, names, test_fraction, seed)
    else:
        parts = (texts, names), _read(test_path, text_column, label_column)
    if labels is None:
        return TextData(*(texts for texts, _ in parts))
    unknown = sorted(set(parts[1][1]) - set(labels))
    if unknown:
        raise ValueError(
            f"`test_path` must have labels of {path}: {labels}. Received: {unknown}"
        )
    index = {name: i for i, name in enumerate(labels)}
    return TextData(
        *(LabelledTexts(x, [index[name] for name in names]) for x, names in parts), labels
    )


def _read(path, text_column, label_column):
    """Texts, and names of their labels or None."""
    texts, names = [], []
    for where, record in _records(pathlib.Path(path)):
        for column in (text_column, label_column):
            if column is not None and column not in record:
                raise ValueError(
                    f"{where} must have a column {column!r}. Received: columns "
                    f"{[str(name) for name in record]}"
                )
        texts.append(record[text_column])
        if not isinstance(texts[-1], str):
            raise ValueError(f"{where} must have a text. Received: {texts[-1]!r}")
        if label_column is not None:
            name = record[label_column]
            # bool is an int to Python, but "True" is no whole number.
            if type(name) not in (str, int) or name == "":
                raise ValueError(
                    f"{where} must have a label, a word or a whole number, in column "
                    f"{label_column!r}. Received: {name!r}"
                )
            names.append(str(name))
    if not texts:
        raise ValueError(f"{path} must hold at least one record. Received none.")
    return texts, names if label_column is not None else None


def _records(path):
    """Records as dicts, each with the place where it stands."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"`path` must be one of {SUFFIXES} files. Received: path={path}")
    # Spreadsheets write a byte order mark, which is no part of a column's name.
    text = decode_utf8(path.read_bytes(), path, encoding="utf-8-sig")
    if path.suffix.lower() == ".jsonl":
        return _json_records(path, text)
    return _csv_records(path, text, "\t" if path.suffix.lower() == ".tsv" else ",")


def _json_records(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number},"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where} must be JSON. Received: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{where} must be a JSON object. Received: {line[:50]}")
        yield where, record


def _csv_records(path, text, delimiter):
    with _long_cells():
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        for record in reader:
            where = f"{path}, line {reader.line_num},"
            if None in record or None in record.values():
                raise ValueError(
                    f"{where} must have {len(reader.fieldnames)} cells, one a column. "
                    f"Received: {[x for x in record.values() if x is not None]}"
                )
            yield where, record


@contextlib.contextmanager
def _long_cells():
    limit = csv.field_size_limit(MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _classes(path, column, names):
    """Names of the classes in order."""
    labels = set(names)
    try:
        labels = sorted(labels, key=int)
    except ValueError:
        labels = sorted(labels)
    if len(labels) < 2:
        raise ValueError(
            "`label_column` must have two or more classes. Received: "
            f"label_column={column!r} of {path} with {labels}"
        )
    return labels


def _split(path, texts, names, test_fraction, seed):
    from sklearn.model_selection import train_test_split

    try:
        parts = train_test_split(
            texts, names or [None] * len(texts), test_size=test_fraction,
            random_state=seed, stratify=names,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(
            f"{path} must have enough records of each class to hold out "
            f"test_fraction={test_fraction} of them. Received: {error}"
        ) from None
    train, test, train_names, test_names = parts
    return (train, train_names), (test, test_names)
