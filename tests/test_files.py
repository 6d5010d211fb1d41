"""Folders are complete or absent; files are refused before they do harm."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_perceiver import files
from keras_perceiver.files import (
    TensorFile,
    atomic_files,
    atomic_folder,
    read_json,
    write_json,
    write_tensors,
)

pytestmark = pytest.mark.one_backend


def write(path, number, size=4):
    with atomic_folder(path) as folder:
        write_json(os.path.join(folder, "a.json"), {"number": number})
        tensors = {"x": np.full((size,), number, "float32")}
        write_tensors(os.path.join(folder, "b.safetensors"), tensors)


def read(path):
    """The number written, the same in both files."""
    number = read_json(path / "a.json")["number"]
    values = TensorFile(path / "b.safetensors").read("x")
    assert (values == number).all()
    return number


def test_a_folder_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder"
    for number in (1, 2):
        write(path, number)
        assert read(path) == number
    assert os.listdir(path.parent) == ["folder"]


def test_others_may_read_what_is_written(tmp_path):
    write(tmp_path / "x", 1)
    modes = {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "x").iterdir()}
    assert modes == {oct(0o666 & ~current_umask())}


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_error_midway_leaves_the_old_folder(tmp_path):
    write(tmp_path / "x", 1)
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "x") as folder:
        write_json(os.path.join(folder, "a.json"), {"number": 2})
        raise RuntimeError
    assert read(tmp_path / "x") == 1
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_leaves_the_old_folder(tmp_path):
    write(tmp_path / "x", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"b.safetensors"):
            write(tmp_path / "x", 2, size=100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read(tmp_path / "x") == 1
    assert os.listdir(tmp_path) == ["x"]


def test_nothing_else_is_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"would be replaced.*thesis\.tex"):
        write(tmp_path, 1)
    with pytest.raises(ValueError, match="must be a folder"):
        write(tmp_path / "thesis.tex", 1)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Cannot write into .*file"):
        write(tmp_path / "file" / "x", 1)


def test_without_an_atomic_exchange_folders_are_still_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_perceiver.files._exchange", lambda one, other: False)
    for number in (1, 2):
        write(tmp_path / "x", number)
    assert read(tmp_path / "x") == 2
    assert os.listdir(tmp_path) == ["x"]


def test_another_process_may_have_written_the_same_in_the_meantime(tmp_path, monkeypatch):
    for name in ("fresh", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    # It was not there when this process looked.
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    files._replace(tmp_path / "fresh", tmp_path / "there")
    assert (tmp_path / "there" / "a").read_text() == "fresh"


def test_files_move_into_a_folder_complete_or_not_at_all(tmp_path):
    for place in (tmp_path / "new", tmp_path):
        with atomic_files(place) as folder:
            pathlib.Path(folder, "a").write_text("1")
        assert (place / "a").read_text() == "1"
    pathlib.Path(tmp_path, "b").write_text("stays")
    with pytest.raises(RuntimeError), atomic_files(tmp_path) as folder:
        pathlib.Path(folder, "a").write_text("half")
        raise RuntimeError
    with atomic_files(tmp_path) as folder:
        pathlib.Path(folder, "c").write_text("3")
        assert not (tmp_path / "c").exists()
    contents = {x.name: x.read_text() for x in tmp_path.iterdir() if x.is_file()}
    assert contents == {"a": "1", "b": "stays", "c": "3"}
    assert not list(tmp_path.parent.glob(".*.partial"))
    with pytest.raises(ValueError, match="must be a folder to write"):
        atomic_files(tmp_path / "a").__enter__()


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    write(tmp_path / "x", 1)
    (tmp_path / "link").symlink_to(tmp_path / "x")
    write(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "x") == 2


WRITER = """
import itertools, pathlib, sys
sys.path.insert(0, sys.argv[2])
from test_files import write
print("ready", flush=True)
for number in itertools.count(1):
    write(pathlib.Path(sys.argv[1]), number, size=20_000)
"""


def test_killed_at_any_moment_the_folder_loads(tmp_path):
    """S6: kill -9, again and again, while one folder is replaced as fast as possible."""
    path = tmp_path / "x"
    write(path, 0)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(pathlib.Path(__file__).parent)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.01, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        seen.add(read(path))
    assert len(seen) > 1, "the writer never got as far as replacing the folder"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[1, 2]", "must hold a JSON object"),
        (b'{"a": ', "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"a": "' + b"x" * 5_000_000 + b'"}', "must not be larger than"),
    ],
)
def test_bad_json_is_refused(tmp_path, content, match):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_json(path)


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read_it in (read_json, TensorFile):
        with pytest.raises(ValueError, match="regular file"):
            read_it(tmp_path / "pipe")


def header(value):
    data = json.dumps(value).encode()
    return len(data).to_bytes(8, "little") + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        (2**63).to_bytes(8, "little") + b"{}",
        (90_000_000).to_bytes(8, "little") + b"{}",
        header({"x": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 8]}}),
        header({"x": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}})
        + b"8" * 8,
        header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 10**12]}}),
        header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}) + b"8" * 8,
    ],
)
def test_corrupt_tensors_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        TensorFile(path)


def test_tensors_must_be_floats(tmp_path):
    write_tensors(tmp_path / "x", {"ids": np.zeros(3, "int64")})
    with pytest.raises(ValueError, match=r"`ids`.*Received: I64"):
        TensorFile(tmp_path / "x")


def test_half_precision_is_read(tmp_path):
    data = np.asarray([1.5, -2.0], "float32")
    bfloat16 = (data.view("uint32") >> 16).astype("uint16").tobytes()
    info = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    (tmp_path / "b").write_bytes(header(info) + bfloat16)
    write_tensors(tmp_path / "h", {"x": data.astype("float16")})
    for name in ("b", "h"):
        values = TensorFile(tmp_path / name).read("x")
        assert values.dtype == "float32"
        np.testing.assert_array_equal(values, data)


@pytest.mark.one_backend
def test_a_log_is_cut_at_the_first_line_that_matches(tmp_path):
    path = tmp_path / "log"
    files.cut(path, "1,")  # not there
    assert not path.exists()
    path.write_text("head\n1,a\n10,b\n2,c\n")
    files.cut(path, "3,")
    assert path.read_text() == "head\n1,a\n10,b\n2,c\n"
    files.cut(path, r"10\b")
    assert path.read_text() == "head\n1,a\n"
    files.cut(path, "")
    assert path.read_text() == ""
