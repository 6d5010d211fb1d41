"""MIDI files as data: which are trained on, their events, their cache."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import midi as midi_data
from keras_perceiver.data.midi_sets import GIANTMIDI_TABLE
from keras_perceiver.preprocessing import decode_midi, encode_midi

pytestmark = pytest.mark.one_backend
GOLDEN = Path(__file__).parents[1] / "golden" / "midi"
FILES = sorted(GOLDEN.glob("*.mid"))


def write(path, ids=(376, 60, 305, 188)):
    path.parent.mkdir(parents=True, exist_ok=True)
    decode_midi(list(ids)).write(str(path))


def test_a_folder_is_split_by_seed(tmp_path):
    names = [f"midis/Composer, Piece {i:02}, Op. 1.mid" for i in range(20)]
    for name in [*names, "2018/a.MIDI", "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = kp.data.midi_folder(str(tmp_path), test_fraction=0.2)
    assert (len(data.train), len(data.test)) == (17, 4)
    assert data.train == sorted(data.train) and data.test == sorted(data.test)
    found = {str(x.relative_to(tmp_path)) for x in data.train + data.test}
    assert found == {*names, "2018/a.MIDI"}
    again = kp.data.midi_folder(str(tmp_path), test_fraction=0.2)
    other = kp.data.midi_folder(str(tmp_path), test_fraction=0.2, seed=1)
    assert again == data and other.test != data.test
    one = kp.data.midi_folder(str(tmp_path), test_fraction=0.001)
    assert len(one.test) == 1


def test_a_folder_is_refused(tmp_path):
    write(tmp_path / "one.mid")
    message = rf"two or more .mid or .midi files.*path={tmp_path} with 1"
    with pytest.raises(ValueError, match=message):
        kp.data.midi_folder(str(tmp_path))
    with pytest.raises(ValueError, match="path=/nowhere with 0"):
        kp.data.midi_folder("/nowhere")
    with pytest.raises(ValueError, match="`test_fraction` must lie.*test_fraction=1"):
        kp.data.midi_folder(str(tmp_path), test_fraction=1)


ROWS = [
    ("train", "2004/a.midi"),
    ("test", "2004/b.midi"),
    ("validation", "2018/c.midi"),
    ("train", "2018/d.midi"),
]


def maestro_folder(path, kind, rows=ROWS, columns=("split", "midi_filename")):
    for _, name in ROWS:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).touch()
    table = path / f"maestro-v3.0.0.{kind}"
    if kind == "csv":
        lines = [",".join(["canonical_title", *columns])]
        lines += [f'"Sonata, ""K. 1""",{split},{name}' for split, name in rows]
        table.write_text("\n".join(lines))
    else:
        values = [{str(i): row[k] for i, row in enumerate(rows)} for k in range(2)]
        table.write_text(json.dumps(dict(zip(columns, values, strict=True))))
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_maestro(tmp_path, kind):
    data = kp.data.maestro(maestro_folder(tmp_path, kind))
    assert data.train == [tmp_path / "2004/a.midi", tmp_path / "2018/d.midi"]
    assert data.test == [tmp_path / "2018/c.midi"]
    assert kp.data.maestro(str(tmp_path), "test").test == [tmp_path / "2004/b.midi"]


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": [*ROWS, ("dev", "2004/a.midi")]}, "must have a `split`.*split='dev'"),
        ({"rows": [("train", "2004/a.midi")]}, "in the splits.*'validation': 0"),
        ({"rows": [*ROWS, ("train", "2004/x.midi")]}, "without 1 of them, first .*x.midi"),
        ({"columns": ("split", "file")}, "must have .*`midi_filename`"),
        ({"columns": ("part", "midi_filename")}, "must have .*`split`"),
    ],
)
def test_maestro_refuses(tmp_path, kind, options, message):
    folder = maestro_folder(tmp_path, kind, **options)
    with pytest.raises(ValueError, match=message):
        kp.data.maestro(folder)


def test_maestro_needs_a_table(tmp_path):
    with pytest.raises(ValueError, match=f"must hold maestro-v3.0.0.csv or.*{tmp_path}"):
        kp.data.maestro(str(tmp_path))


PIECES = [
    ('A, "Opus 1", x', "validation"),
    ("A, Éclair, y", "train"),
    ("B, Étude, No. 2, z", "test"),
    ("B, Lost, w", "train"),
    ("", ""),
]


def giantmidi_table(path, columns=("audio_name", "split")):
    lines = ["\t".join(("surname", *columns, "surname_in_youtube_title"))]
    lines += [f"Composer\t{name}\t{split}\t1" for name, split in PIECES]
    (path / GIANTMIDI_TABLE).write_text("\n".join([*lines, ""]), "utf-8")
    (path / "midis").mkdir()
    for name in (PIECES[0][0], PIECES[1][0], PIECES[2][0], "not in the table"):
        (path / "midis" / f"{name}.mid").touch()
    return str(path)


def test_giantmidi_as_its_authors_split_it(tmp_path):
    data = kp.data.giantmidi(giantmidi_table(tmp_path))
    assert data.train == [tmp_path / "midis" / "A, Éclair, y.mid"]
    assert data.test == [tmp_path / "midis" / 'A, "Opus 1", x.mid']
    data = kp.data.giantmidi(str(tmp_path), "test")
    assert data.test == [tmp_path / "midis" / "B, Étude, No. 2, z.mid"]


def test_giantmidi_as_krasserm_splits_it(tmp_path):
    for name in ("train/b.mid", "train/a.mid", "valid/c.mid", "rest/d.mid"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = kp.data.giantmidi(str(tmp_path))
    assert data.train == [tmp_path / "train/a.mid", tmp_path / "train/b.mid"]
    assert data.test == [tmp_path / "valid/c.mid"]


def test_giantmidi_refuses(tmp_path):
    with pytest.raises(ValueError, match="`folder` must hold.*0 to train on and 0 held"):
        kp.data.giantmidi(str(tmp_path))
    folder = giantmidi_table(tmp_path, ("audio_name", "part"))
    with pytest.raises(ValueError, match=r"must have columns `split` and.*'part'"):
        kp.data.giantmidi(folder)


def test_events_of_files_one_after_the_other(tmp_path):
    ids = kp.data.midi_tokens(FILES)
    expected = np.concatenate([[*encode_midi(path), 388] for path in FILES])
    np.testing.assert_array_equal(ids, expected)
    cached = kp.data.midi_tokens([str(x) for x in FILES], cache=tmp_path, workers=2)
    np.testing.assert_array_equal(cached, ids)
    assert ids.dtype == cached.dtype == np.uint16


def test_the_cache_follows_the_content(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        midi_data, "encode_midi", lambda path: calls.append(path) or encode_midi(path)
    )
    files = [tmp_path / "with a  space" / path.name for path in FILES]
    files[0].parent.mkdir()
    for path, copy in zip(FILES, files, strict=True):
        shutil.copy(path, copy)
    cache = tmp_path / "cache"
    first = kp.data.midi_tokens(files, cache=cache)
    kp.data.midi_tokens(files, cache=cache)
    assert calls == [str(x) for x in files]
    shutil.copy(FILES[1], files[0])
    second = kp.data.midi_tokens(files, cache=cache)
    assert len(calls) == 6 and len(second) != len(first)
    monkeypatch.setattr(midi_data, "CODEC_VERSION", midi_data.CODEC_VERSION + 1)
    kp.data.midi_tokens(files, cache=cache)
    assert len(calls) == 9


def test_a_broken_file_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "broken.mid").write_bytes(FILES[0].read_bytes()[:-9])
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="broken.mid is not a complete MIDI file"):
        kp.data.midi_tokens([*FILES, tmp_path / "broken.mid"], cache=cache)
    assert list(cache.iterdir()) == []
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mid"):
        kp.data.midi_tokens([*FILES, "/nowhere.mid"], cache=cache)


@pytest.mark.parametrize("files", [[], "a.mid", FILES[0]])
def test_events_of_no_files_are_refused(files):
    with pytest.raises(ValueError, match="`files` must be a sequence of one or more"):
        kp.data.midi_tokens(files)
