"""Texts in files: what a document is, what is held out, and what is refused."""

import json

import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend


def records(data):
    return sorted([*data.train, *data.test])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_bytes("Grüße\r\n\r\nzwei\r\nZeilen\n \n\n\ndrei\n".encode())
    (tmp_path / "b" / "c.MD").write_text("# Notes\n\nshort")
    (tmp_path / "empty.rst").write_text(" \n\n")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    return tmp_path


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("file", ["Grüße\r\n\r\nzwei\r\nZeilen\n \n\n\ndrei\n", "# Notes\n\nshort"]),
        ("line", ["Grüße", "zwei", "Zeilen", "drei", "# Notes", "short"]),
        ("paragraph", ["Grüße", "zwei\r\nZeilen", "drei\n", "# Notes", "short"]),
    ],
)
def test_documents_of_a_folder(folder, documents, expected):
    data = kp.data.text_files(str(folder), documents)
    assert records(data) == sorted(expected) and len(data.test) == 1
    assert data.labels is None


def test_a_file_is_split_by_seed_in_its_order(tmp_path):
    path = tmp_path / "lines"
    path.write_text("\n".join(f"{i:03}" for i in range(100)))
    data = kp.data.text_files(str(path), "line", test_fraction=0.2)
    assert (len(data.train), len(data.test)) == (80, 20)
    assert list(data.train) == sorted(data.train) and list(data.test) == sorted(data.test)
    assert [int(x) for x in records(data)] == list(range(100))
    again = kp.data.text_files(str(path), "line", test_fraction=0.2)
    other = kp.data.text_files(str(path), "line", test_fraction=0.2, seed=1)
    assert list(again.test) == list(data.test) != list(other.test)


def test_text_files_refuses(folder, tmp_path):
    with pytest.raises(ValueError, match=r"a folder with .txt.*Received: path=/nowhere"):
        kp.data.text_files("/nowhere")
    with pytest.raises(ValueError, match=r"two or more documents.*c.MD with 1 .*'line'"):
        kp.data.text_files(str(folder / "b"))
    with pytest.raises(ValueError, match=r"two or more documents.*empty.rst with 0"):
        kp.data.text_files(str(folder / "empty.rst"), "line")
    with pytest.raises(ValueError, match="`test_fraction` must lie.*test_fraction=0"):
        kp.data.text_files(str(folder), test_fraction=0)


def test_broken_encoding_is_named_with_its_place(tmp_path):
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"one\ntwo\nna\xefve\n")
    data = kp.data.text_files(str(path), "line", test_fraction=0.5)
    message = r"latin1.txt must be UTF-8 text. Received: byte 0xef at position 10"
    with pytest.raises(ValueError, match=message):
        records(data)


@pytest.mark.parametrize("labels", [[0], [[0, 1]], [0.5, 1.0]])
def test_labelled_texts_have_a_label_each(labels):
    with pytest.raises(ValueError, match=r"`labels` must be \d integers, one a text"):
        kp.data.LabelledTexts(["a", "b"], labels)


FILMS = [
    ("Dull, long", "bad"),
    ("Fun\nand short", "good"),
    ("Sad", "bad"),
    ('"Wow"', "good"),
]


def write(path, rows, columns=("text", "label")):
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines) + "\n\n")
        return
    import csv

    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([columns, *rows])


@pytest.mark.parametrize("name", ["films.csv", "films.TSV", "films.tsv", "films.jsonl"])
def test_tables(tmp_path, name):
    path = tmp_path / name
    write(path.with_suffix(path.suffix.lower()), FILMS)
    path.with_suffix(path.suffix.lower()).rename(path)
    data = kp.data.table(str(path), label_column="label", test_fraction=0.5)
    assert data.labels == ["bad", "good"] and data.test.labels.tolist() in ([0, 1], [1, 0])
    expected = [(text, data.labels.index(name)) for text, name in FILMS]
    assert records(data) == sorted(expected)
    assert records(kp.data.table(str(path))) == sorted(text for text, _ in FILMS)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([10, 2, 10, 2], ["2", "10"]), (["10", "2", "x", "x"], ["10", "2", "x"])],
)
def test_numbers_are_sorted_as_numbers(tmp_path, labels, classes):
    for name in ("a.jsonl", "a.csv"):
        rows = [(f"text {i}", label) for i, label in enumerate(labels)]
        write(tmp_path / name, rows)
        path = str(tmp_path / name)
        data = kp.data.table(path, label_column="label", test_path=path)
        assert data.labels == classes
        names = [data.labels[i] for i in data.train.labels]
        assert names == [str(label) for label in labels]


def test_a_table_has_held_out_records_of_its_own(tmp_path):
    write(tmp_path / "train.csv", FILMS)
    write(tmp_path / "test.csv", [("Long", "bad")])
    write(tmp_path / "odd.csv", [("Long", "dreary")])
    path, test = str(tmp_path / "train.csv"), str(tmp_path / "test.csv")
    data = kp.data.table(path, label_column="label", test_path=test)
    assert list(data.test) == [("Long", 0)] and len(data.train) == 4
    with pytest.raises(ValueError, match=r"`test_path` .*'good'\]. Received: \['dreary'\]"):
        kp.data.table(path, label_column="label", test_path=str(tmp_path / "odd.csv"))


def test_long_cells_are_read_and_the_limit_of_csv_stays(tmp_path):
    import csv

    limit = csv.field_size_limit()
    write(tmp_path / "long.csv", [("x" * 200_000, "a"), ("y", "b")])
    data = kp.data.table(str(tmp_path / "long.csv"), test_fraction=0.5)
    assert max(map(len, records(data))) == 200_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv must hold at least one record"),
        ("a.csv", b"text,label\n", "a.csv must hold at least one record"),
        ("a.jsonl", b"\n", "a.jsonl must hold at least one record"),
        ("a.txt", b"text\n", r"`path` must be one of \('.csv'.*a.txt"),
        (
            "a.csv",
            b"text,label\na\xff,b\n",
            "UTF-8 text.*byte 0xff at position 12",
        ),
        ("a.csv", b"text,stars\nx,1\n", r"line 2, must have a column 'label'.*'stars'\]"),
        ("a.csv", b"review,label\nx,1\n", r"line 2, must have a column 'text'.*'review'"),
        ("a.csv", b"text,label\nx,a\ny\n", r"line 3, must have 2 cells.*\['y'\]"),
        (
            "a.csv",
            b"text,label\nx,a,b\n",
            r"must have 2 cells.*\['x', 'a', \['b'\]",
        ),
        ("a.csv", b"text,label\nx,\n", "line 2, must have a label.*'label'. Received: ''"),
        ("a.csv", b"text,label\nx,a\ny,a\n", r"two or more classes.*with \['a'\]"),
        ("a.csv", b"text,label\nx,a\ny,a\nz,b\n", "enough records of each class.*0.2"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text"', "line 2, must be JSON"),
        ("a.jsonl", b"[1]\n", r"line 1, must be a JSON object. Received: \[1\]"),
        ("a.jsonl", b'{"text": 3, "label": 1}\n', "line 1, must have a text. Received: 3"),
        ("a.jsonl", b'{"text": "", "label": true}\n', "must have a label.*Received: True"),
        ("a.jsonl", b'{"text": "", "label": 0.5}\n', "must have a label.*Received: 0.5"),
    ],
)
def test_bad_tables_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        kp.data.table(str(tmp_path / name), label_column="label")


WIKITEXT = """ \n = Robert Boulter = \n \n Robert was born . \n = = Career = = \n = x \n
 = Homarus = gammarus = \n \n A lobster = an animal . \n"""


@pytest.mark.parametrize("suffix", ["raw", "tokens"])
def test_wikitext_is_split_at_titles(tmp_path, suffix):
    for split in ("train", "valid", "test"):
        text = f" \n = {split} = \n" if split != "train" else WIKITEXT
        (tmp_path / f"wiki.{split}.{suffix}").write_text(text)
    data = kp.data.wikitext103(str(tmp_path))
    assert [text.split("\n")[0] for text in data.train] == [
        " = Robert Boulter = ", " = Homarus = gammarus = ",
    ]  # fmt: skip
    assert " \n" + "".join(data.train) == WIKITEXT
    assert list(data.test) == [" = valid = \n"]
    assert list(kp.data.wikitext103(str(tmp_path), "test").test) == [" = test = \n"]
    (tmp_path / f"wiki.test.{suffix}").write_text("no title\n")
    with pytest.raises(ValueError, match="wiki.test.* must hold articles under headings"):
        kp.data.wikitext103(str(tmp_path), "test")


def test_wikitext_needs_its_files(tmp_path):
    (tmp_path / "wiki.train.raw").write_text(WIKITEXT)
    with pytest.raises(ValueError, match=r"must hold wiki.train and wiki.valid.*folder="):
        kp.data.wikitext103(str(tmp_path))


def test_bookcorpus_is_in_documents_of_64_sentences(tmp_path, monkeypatch):
    # Blocks that are no multiple of a line, as in the real files.
    monkeypatch.setattr(kp.data.corpora, "BLOCK_BYTES", 1000)
    sentences = [f"sentence {i} , she said ." for i in range(1000)]
    (tmp_path / "books_large_p1.txt").write_text("\n".join(sentences[:600]) + "\n")
    with pytest.raises(ValueError, match=r"without books_large_p2.txt"):
        kp.data.bookcorpus(str(tmp_path))
    (tmp_path / "books_large_p2.txt").write_text("\n".join(sentences[600:]))
    data = kp.data.bookcorpus(str(tmp_path), test_fraction=0.2)
    documents = [text.strip().split("\n") for text in [*data.train, *data.test]]
    assert (len(data.train), len(data.test)) == (14, 3)
    assert sorted(map(len, documents)) == [16, 24, *[64] * 15]
    assert sorted(x for lines in documents for x in lines) == sorted(sentences)
    assert list(data.train) == sorted(data.train, key=lambda x: int(x.split()[1]))


def test_bookcorpusopen_has_a_book_a_document(tmp_path):
    (tmp_path / "epubtxt").mkdir()
    for i in range(5):
        (tmp_path / "epubtxt" / f"{i}.epub.txt").write_text(f"Book {i}\n\nChapter 1\n")
    (tmp_path / "readme.txt").write_text("no book")
    data = kp.data.bookcorpusopen(str(tmp_path))
    assert (len(data.train), len(data.test)) == (4, 1)
    assert records(data) == [f"Book {i}\n\nChapter 1\n" for i in range(5)]
    with pytest.raises(ValueError, match=r"a folder with .epub.txt files"):
        kp.data.bookcorpusopen(str(tmp_path / "nowhere"))


def test_enwik8_is_split_in_order_and_nothing_is_lost(tmp_path):
    path = tmp_path / "enwik8"
    lines = [f"  <title>Zürich {i}</title>" for i in range(64 * 40)]
    path.write_text("\n".join(lines))
    valid, test = (kp.data.enwik8(str(path), split) for split in ("valid", "test"))
    parts = ["".join(x) for x in (valid.train, valid.test, test.test)]
    assert "".join(parts) == path.read_text()
    sizes = np.array([len(part.encode()) for part in parts]) / path.stat().st_size
    np.testing.assert_allclose(sizes, [0.9, 0.05, 0.05], atol=0.03)
    with pytest.raises(ValueError, match="`path` must be the file enwik8. .*path=/nowhere"):
        kp.data.enwik8("/nowhere")
    (tmp_path / "short").write_text("one line")
    with pytest.raises(ValueError, match="long enough to split.*with 8 bytes"):
        kp.data.enwik8(str(tmp_path / "short"))
