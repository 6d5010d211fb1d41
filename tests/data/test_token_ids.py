"""Token ids of a corpus, and their cache: nothing stale, nothing broken is read."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import token_ids
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
    assert isinstance(cached, np.memmap) and not cached.flags.writeable


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
    assert ids.dtype == np.int32 and ids.tolist() == [69999, 1]


class Counting(ByteTokenizer):
    """Counts the texts it encodes; for the cache it is the tokenizer of bytes."""

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
    path = folder / token_ids.TOKENS
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / token_ids.TOKENS
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def no_tokens(folder):
    (folder / token_ids.TOKENS).unlink()


def no_manifest(folder):
    (folder / token_ids.MANIFEST).unlink()


def broken_manifest(folder):
    (folder / token_ids.MANIFEST).write_text("{")


@pytest.mark.parametrize(
    "damage", [truncate, flip, no_tokens, no_manifest, broken_manifest]
)
def test_a_broken_cache_is_made_again(tmp_path, damage):
    tokenizer = Counting()
    kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder)
    ids = kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    assert tokenizer.count == 2 * len(DOCUMENTS)
    np.testing.assert_array_equal(ids, expected())
    kp.data.tokens(DOCUMENTS, tokenizer, cache=tmp_path)
    assert tokenizer.count == 2 * len(DOCUMENTS)


SLOW = """
import sys, time
from keras_perceiver.data import tokens
from keras_perceiver.preprocessing import ByteTokenizer

class Slow(ByteTokenizer):
    def encode_batch(self, texts):
        time.sleep(0.05)
        return super().encode_batch(texts)

Slow.__name__ = "ByteTokenizer"
tokens(["text"] * 100_000, Slow(), cache=sys.argv[1])
"""


def test_a_killed_run_leaves_nothing_that_is_read(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SLOW, tmp_path])
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob(token_ids.TOKENS)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".") and left.endswith(".partial")
    ids = kp.data.tokens(["text"] * 100_000, BYTES, cache=tmp_path)
    assert len(ids) == 400_000 and len(os.listdir(tmp_path)) == 2


class Failing(ByteTokenizer):
    """Fails after some texts."""

    def encode_batch(self, texts):
        if "last" in texts:
            raise OSError("no space left")
        return super().encode_batch(texts)


def test_an_error_midway_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="no space left"):
        kp.data.tokens([*DOCUMENTS, "last"], Failing(), cache=tmp_path)
    assert os.listdir(tmp_path) == []


def test_long_work_says_how_far_it_is(monkeypatch, capfd):
    monkeypatch.setattr(token_ids, "SECONDS_BETWEEN_NOTES", -1)
    kp.data.tokens(["a", "b", "c", "d"], BYTES)
    out, err = capfd.readouterr()
    assert out == "" and "tokenized 3 of 4 documents (75%)" in err.splitlines()
    monkeypatch.setattr(token_ids, "SECONDS_BETWEEN_NOTES", 10)
    kp.data.tokens(["a", "b", "c", "d"], BYTES)
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
    assert os.listdir(tmp_path) == []
