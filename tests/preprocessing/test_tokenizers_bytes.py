"""The byte tokenizer: that of the official models, id by id."""

import string

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_perceiver.preprocessing import ByteTokenizer

pytestmark = pytest.mark.one_backend

TOKENS = ["[PAD]", "[BOS]", "[EOS]", "[MASK]", "[CLS]", "[SEP]"]
# Plain text, special tokens, beginnings of them, white space around them.
PARTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*TOKENS, "[MAS", "[", "MASK]", " ", "\n", "\0", "é", "😀"]),
)
TEXTS = st.lists(PARTS, max_size=8).map("".join)


@pytest.fixture(scope="module")
def official():
    from transformers import PerceiverTokenizer

    return PerceiverTokenizer()


def test_ids_are_the_official_ones():
    tokenizer = ByteTokenizer()
    assert tokenizer.vocab_size == 262
    assert list(tokenizer.special_ids) == TOKENS
    names = ("pad_id", "bos_id", "eos_id", "mask_id", "cls_id", "sep_id")
    assert [getattr(tokenizer, name) for name in names] == [0, 1, 2, 3, 4, 5]
    ids = tokenizer.encode("".join(map(chr, range(128))))
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, np.arange(6, 134))


@settings(deadline=None)
@given(text=TEXTS)
@example("")
@example("a [MASK] b")
@example("[[MASK]]")
@example("[MASK][MAS[MASK]K]")
@example("x" * 10_000 + "[SEP]" + "😀" * 5_000)
def test_what_the_official_tokenizer_does(official, text):
    ids = ByteTokenizer().encode(text)
    assert ids.tolist() == official(text, add_special_tokens=False).input_ids
    for skip in (True, False):
        expected = official.decode(ids, skip_special_tokens=skip)
        assert ByteTokenizer().decode(ids, skip_special_tokens=skip) == expected


@given(st.lists(TEXTS, max_size=5))
def test_a_batch_is_its_texts(texts):
    tokenizer = ByteTokenizer()
    batch = tokenizer.encode_batch(texts)
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(x).tolist() for x in texts]


@given(TEXTS)
def test_every_text_comes_back(text):
    assert ByteTokenizer().decode(ByteTokenizer().encode(text), False) == text
    plain = ByteTokenizer(parse_special_tokens=False)
    ids = plain.encode(text)
    assert plain.decode(ids) == text
    assert not plain.is_special(ids).any()


def test_a_lone_surrogate_is_a_question_mark():
    assert ByteTokenizer().encode("a\ud83d[MASK]").tolist() == [103, 69, 3]


@given(st.lists(st.integers(0, 261)))
def test_any_ids_have_a_text(ids):
    content = bytes(i - 6 for i in ids if i > 5)
    assert ByteTokenizer().decode(np.array(ids)) == content.decode("utf-8", "replace")


def literal_word_ids(ids):
    """The loop of krasserm/perceiver-io, in its words."""
    current, regular, out = 0, True, []
    for i in ids:
        if i < 6:
            out.append(-1)
            current += 1
        elif chr(i - 6) in string.whitespace:
            if regular:
                regular = False
                current += 1
            out.append(current)
        else:
            regular = True
            out.append(current)
    return out


IDS = st.one_of(st.integers(0, 261), st.integers(0, 5), st.sampled_from([15, 16, 38, 103]))


@given(st.lists(IDS, max_size=60))
@example([])
@example([38, 3, 38, 103])  # white space on both sides of a mask
@example([3, 38, 38, 103, 38])
@example([139, 166, 34])  # U+0085, U+00A0 and U+001C: no ASCII white space
def test_words_are_those_of_the_reference(ids):
    words = ByteTokenizer().word_ids(np.array(ids, "int32"))
    assert words.dtype == np.int32
    assert words.tolist() == literal_word_ids(ids)


def test_words_of_a_batch(rng):
    ids = rng.choice([3, 38, 103, 104], size=(3, 4, 50))
    words = ByteTokenizer().word_ids(ids)
    for i in np.ndindex(3, 4):
        assert words[i].tolist() == literal_word_ids(ids[i])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda t: t.encode(5), "`texts` must be strings. Received: texts.0.=5 .int."),
        (lambda t: t.encode(b"a"), "`texts` must be strings. Received: texts.0.=b'a'"),
        (lambda t: t.encode_batch("ab"), "`texts` must be a list of strings"),
        (lambda t: t.encode_batch(["a", None]), "Received: texts.1.=None .NoneType."),
        (lambda t: t.decode([262]), "`ids` must be integers from 0 to 261. .* to 262"),
        (lambda t: t.decode([-1]), "`ids` must be integers from 0 to 261"),
        (lambda t: t.decode([1.5]), "`ids` must be integers .* dtype=float64"),
        (lambda t: t.decode([[7]]), "`ids` must be of shape .n.. Received: shape=.1, 1."),
        (lambda t: t.word_ids([300]), "`ids` must be integers from 0 to 261"),
        (lambda t: t.from_file("x"), "ByteTokenizer has no file"),
        (lambda t: t.file_bytes(), "ByteTokenizer has no file"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises((ValueError, NotImplementedError), match=match):
        call(ByteTokenizer())
