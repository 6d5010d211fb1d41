"""Token ids of a corpus, and their cache: nothing stale, nothing broken is read."""

import multiprocessing
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_perceiver as kp
from keras_perceiver.data import shards, token_ids
from keras_perceiver.preprocessing import ByteTokenizer, JsonTokenizer

pytestmark = pytest.mark.one_backend
DOCUMENTS = ["Grüße", "", "one two", "x" * 300] * 100
BYTES = ByteTokenizer()


def expected(before=(), after=()):
    rows = [[*before, *(b + 6 for b in text.encode()), *after] for text in DOCUMENTS]
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("options", "marks"),
    [
        ({}, ([], [])),
        ({"eos": True}, ([], [2])),
        ({"special_tokens": True}, ([4], [5])),
        ({"special_tokens": True, "eos": True}, ([4], [5, 2])),
    ],
)
def test_documents_one_after_the_other(tmp_path, options, marks):
    ids = kp.data.tokens(DOCUMENTS, BYTES, **options)
    cached = kp.data.tokens(DOCUMENTS, BYTES, **options, cache=tmp_path)
    assert ids.dtype == cached.dtype == np.uint16
    np.testing.assert_array_equal(ids, expected(*marks))
    np.testing.assert_array_equal(cached, ids)
    assert isinstance(cached, kp.data.TokenShards)


def test_labels_are_left_out():
    records = kp.data.LabelledTexts(["ab", "c"], [0, 1])
    assert kp.data.tokens(records, BYTES).tolist() == [103, 104, 105]


def big_vocabulary():
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {f"w{i}": i for i in range(70_000)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return JsonTokenizer(tokenizer.to_str())


def test_a_large_vocabulary_needs_more_than_uint16(tmp_path):
    ids = kp.data.tokens(["w69999 w1"], big_vocabulary(), cache=tmp_path)
    assert ids.dtype == np.int32 and ids[:].tolist() == [69999, 1]


class LikeBytes(ByteTokenizer):
    """For the cache it is the tokenizer of bytes."""

    def to_form(self):
        return BYTES.to_form()


class Counting(LikeBytes):
    """Counts the texts it encodes."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def encode_batch(self, texts):
        self.count += len(texts)
        return super().encode_batch(texts)


def test_a_second_run_reads_what_the_first_wrote(tmp_path):
    tokenizer = Counting()
    first = kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path / "deep" / "cache")
    assert tokenizer.count == len(DOCUMENTS)
    second = kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path / "deep" / "cache")
    assert tokenizer.count == len(DOCUMENTS)
    np.testing.assert_array_equal(first, second)


def test_whatever_shapes_the_ids_is_in_the_key(tmp_path, monkeypatch):
    def count():
        return len(list(tmp_path.iterdir()))

    variants = [
        lambda: kp.data.tokens(["ab", "c"], BYTES, cache=tmp_path),
        lambda: kp.data.tokens(["a", "bc"], BYTES, cache=tmp_path),
        lambda: kp.data.tokens(["abc"], BYTES, cache=tmp_path),
        lambda: kp.data.tokens(["c", "ab"], BYTES, cache=tmp_path),
        lambda: kp.data.tokens(["ab", "c"], BYTES, eos=True, cache=tmp_path),
        lambda: kp.data.tokens(["ab", "c"], BYTES, special_tokens=True, cache=tmp_path),
        lambda: kp.data.tokens(["ab", "c"], ByteTokenizer(False), cache=tmp_path),
        lambda: kp.data.tokens(["ab", "c"], big_vocabulary(), cache=tmp_path),
        lambda: kp.data.tokens(["ab", "\ud800"], BYTES, cache=tmp_path),
    ]
    for i, variant in enumerate(variants):
        variant()
        assert count() == i + 1
        variant()
        assert count() == i + 1
    monkeypatch.setattr(token_ids, "FORMAT", token_ids.FORMAT + 1)
    variants[0]()
    assert count() == len(variants) + 1


def truncate(folder):
    path = folder / shards.TOKENS
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / shards.TOKENS
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def no_tokens(folder):
    (folder / shards.TOKENS).unlink()


def no_manifest(folder):
    (folder / shards.MANIFEST).unlink()


def broken_manifest(folder):
    (folder / shards.MANIFEST).write_text("{")


@pytest.mark.parametrize(
    "damage", [truncate, flip, no_tokens, no_manifest, broken_manifest, shutil.rmtree]
)
def test_a_broken_shard_is_made_again_and_no_other(tmp_path, damage):
    tokenizer = Counting()
    first = kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    folders = [pathlib.Path(folder) for folder in first.folders]
    assert len(folders) == 2  # of 256 documents, and of the other 144
    damage(folders[1])
    ids = kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    assert tokenizer.count == len(DOCUMENTS) + 144
    np.testing.assert_array_equal(ids, expected())
    kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    assert tokenizer.count == len(DOCUMENTS) + 144


def numbered(count):
    return [f"document {i}" * (i % 5) for i in range(count)]


def test_shards_are_few_however_many_documents_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(token_ids, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(token_ids, "MAX_SHARDS", 4)
    for count, shards_ in ((2, 1), (7, 3), (101, 4)):
        ids = kp.data.tokens(numbered(count), BYTES, eos=True, cache=tmp_path)
        assert len(ids.folders) == shards_
        np.testing.assert_array_equal(ids, kp.data.tokens(numbered(count), BYTES, eos=True))
    # What was added at the end of a corpus is all that is tokenized.
    tokenizer = Counting()
    kp.data.tokens(numbered(9), tokenizer, eos=True, cache=tmp_path)
    assert tokenizer.count == 3


def test_workers_make_the_same_shards_without_keras(tmp_path):
    documents = [*DOCUMENTS, *numbered(400)]
    one = kp.data.tokens(documents, BYTES, eos=True, cache=tmp_path / "one")
    two = kp.data.tokens(documents, Lean(), eos=True, cache=tmp_path / "two", workers=2)
    np.testing.assert_array_equal(one, two)
    names = [[pathlib.Path(x).name for x in ids.folders] for ids in (one, two)]
    assert names[0] == names[1] and len(names[0]) == 4


class Lean(LikeBytes):
    """Works in a worker process without a backend only."""

    def encode_batch(self, texts):
        assert multiprocessing.parent_process() is not None
        assert not {"tensorflow", "jax", "torch"} & set(sys.modules)
        return super().encode_batch(texts)


SLOW = """
import pathlib, sys, time
from keras_perceiver.data import tokens
from keras_perceiver.preprocessing import ByteTokenizer

class Slow(ByteTokenizer):
    def encode_batch(self, texts):
        time.sleep(0.2)
        return super().encode_batch(texts)

    def to_form(self):
        return ByteTokenizer().to_form()

if __name__ == "__main__":
    documents = [f"text {i}" for i in range(20_000)]
    tokens(documents, Slow(), cache=sys.argv[1], workers=int(sys.argv[2]))
"""


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(x) for x in path.read_text().split()]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_where_it_was(tmp_path, workers):
    script, cache = tmp_path / "slow.py", tmp_path / "cache"
    script.write_text(SLOW)
    process = subprocess.Popen([sys.executable, script, cache, str(workers)])
    wait_for(lambda: len(list(cache.glob("[!.]*"))) >= 3)
    started = children(process.pid)
    assert len(started) >= workers * (workers > 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started))
    done = len(list(cache.glob("[!.]*")))
    left = [x.name for x in cache.iterdir() if x.name.startswith(".")]
    assert len(left) <= workers and all(x.endswith(".partial") for x in left)
    documents, tokenizer = [f"text {i}" for i in range(20_000)], Counting()
    ids = kp.data.tokens(documents, tokenizer, cache=cache)
    assert len(ids.folders) == 79 and 3 <= done < 79
    assert tokenizer.count <= 20_000 - (done - 1) * 256  # the last shard is smaller
    np.testing.assert_array_equal(ids, kp.data.tokens(documents, BYTES))


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def three_files(tmp_path_factory):
    """Ids 0 to 9 in files, one of them without any."""
    root = tmp_path_factory.mktemp("shards")
    parts = [np.arange(4), np.arange(0), np.arange(4, 10)]
    for i, part in enumerate(parts):
        shards.write_shard(root / str(i), [part.astype("uint16")], np.uint16)
    return kp.data.TokenShards([root / str(i) for i in range(3)])


@given(*[st.none() | st.integers(-12, 12)] * 2, st.sampled_from([None, 1, 2, 3, -1, -2]))
def test_shards_are_sliced_like_an_array(three_files, start, stop, step):
    index, array = slice(start, stop, step), np.arange(10, dtype="uint16")
    found = three_files[index]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, array[index])


def test_shards_read_like_an_array(three_files):
    assert len(three_files) == 10 and three_files.shape == (10,) and three_files.ndim == 1
    assert [three_files[i] for i in (0, 4, -1, np.int64(3))] == [0, 4, 9, 3]
    assert list(three_files) == list(range(10))
    assert (three_files.min(), three_files.max()) == (0, 9)
    np.testing.assert_array_equal(np.asarray(three_files, "int32"), np.arange(10))
    for index in (10, -11):
        with pytest.raises(IndexError):
            three_files[index]
    # A view of the file, which nobody can write.
    assert three_files[4:8].base is not None and not three_files[4:8].flags.writeable
    assert len(pickle.dumps(three_files)) < 500
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(three_files)), np.arange(10))


class Failing(ByteTokenizer):
    """Fails at one text."""

    def encode_batch(self, texts):
        if "last" in texts:
            raise OSError("no space left")
        return super().encode_batch(texts)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_midway_leaves_whole_shards_only(tmp_path, workers):
    with pytest.raises(OSError, match="no space left"):
        kp.data.tokens([*DOCUMENTS, "last"], Failing(), cache=tmp_path, workers=workers)
    (name,) = os.listdir(tmp_path)
    assert shards.is_sound(tmp_path / name)


def test_long_work_says_how_far_it_is(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(token_ids, "SECONDS_BETWEEN_NOTES", -1)
    documents = ["text"] * 1000
    notes = [f"tokenized {n} of 1,000 documents ({p}%)" for n, p in ((256, 26), (512, 51))]
    for cache in (None, tmp_path):
        kp.data.tokens(documents, BYTES, cache=cache)
        out, err = capfd.readouterr()
        assert out == "" and err.splitlines()[:2] == notes
    monkeypatch.setattr(token_ids, "SECONDS_BETWEEN_NOTES", 10)
    kp.data.tokens(documents, BYTES)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ([], {}, "`documents` must hold at least one text that is .* Received: 0 texts"),
        (["", " "], {}, "`documents` must hold at least one text that .* 2 texts"),
        ("text", {}, "`documents` must be a sequence of texts. Received: 'text'"),
        (["text", b"text"], {}, "`documents` must hold strings.*Received: b'text'"),
        (["text", (1, "text")], {}, r"`documents` must hold .*Received: \(1, 'text'\)"),
        (["w1"], {"eos": True}, "`tokenizer` must have a `eos_id`.*JsonTokenizer"),
        (["w1"], {"special_tokens": True}, "`tokenizer` must have a `cls_id`"),
        (["w1"], {"workers": 2}, "`workers` must .* Received: workers=2, cache=None"),
        (["w1"], {"workers": 0}, "`workers` must be at least 1"),
    ],
)
def test_tokens_refuses(documents, options, message):
    tokenizer = big_vocabulary() if options else BYTES
    with pytest.raises(ValueError, match=message):
        kp.data.tokens(documents, tokenizer, **options)


class Mute(ByteTokenizer):
    """Knows no character."""

    def encode_batch(self, texts):
        return [np.empty(0, "int32") for _ in texts]


def test_documents_without_a_token_are_refused(tmp_path):
    for cache in (None, tmp_path):
        with pytest.raises(ValueError, match="at least one token. Received none"):
            kp.data.tokens(["a", "b"], Mute(), cache=cache)
