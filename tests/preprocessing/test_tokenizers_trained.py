"""SentencePiece and tokenizer.json vocabularies, trained on CPython's documentation."""

import json
import pickle
from pydoc_data.topics import topics

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from keras_perceiver.preprocessing import JsonTokenizer, SentencePieceTokenizer

pytestmark = pytest.mark.one_backend

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = st.lists(st.sampled_from(["the", "statement", "assertion", "x", "é"]), min_size=1)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "a, b.txt"
    path.write_text("\n".join(topics.values()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pieces(text_file):
    return SentencePieceTokenizer.train([text_file], vocab_size=600)


def trained(model, trainer, pre_tokenizer, decoder, **options):
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(
        topics.values(),
        trainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False, **options),
    )
    return tokenizer


def word_piece():
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer,
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
    )


def byte_level():
    return trained(
        models.BPE(),
        trainers.BpeTrainer,
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )


def metaspace():
    return trained(
        models.Unigram(),
        trainers.UnigramTrainer,
        pre_tokenizers.Metaspace(),
        decoders.Metaspace(),
        unk_token="[UNK]",
    )


def test_special_pieces_have_the_ids_of_bytes(pieces):
    names = ("pad_id", "bos_id", "eos_id", "mask_id", "cls_id", "sep_id")
    assert [getattr(pieces, name) for name in names] == [0, 1, 2, 3, 4, 5]
    assert pieces.special_ids["[UNK]"] == 6
    assert pieces.vocab_size == 600
    np.testing.assert_array_equal(np.flatnonzero(pieces.special), np.arange(7))


@settings(deadline=None)
@given(text=st.text())
@example("def f():\n\treturn  1 \r\n")
@example(topics["assert"])
@example("[MASK] [UNK]")
def test_nothing_is_unknown_to_pieces(pieces, text):
    plain = SentencePieceTokenizer(pieces.file_bytes(), parse_special_tokens=False)
    ids = plain.encode(text)
    assert ids.dtype == np.int32 and not plain.is_special(ids).any()
    assert plain.decode(ids) == text.replace("\u2581", " ")


def test_pieces_are_fewer_than_bytes(pieces):
    assert len(pieces.encode(topics["assert"])) < 0.5 * len(topics["assert"])


@given(words=WORDS, data=st.data())
@settings(deadline=None)
def test_a_mask_stands_for_a_word(pieces, words, data):
    masked = data.draw(st.integers(0, len(words) - 1))
    ids = pieces.encode(" ".join([*words[:masked], "[MASK]", *words[masked + 1 :]]))
    before, after = " ".join(words[:masked]), " ".join(words[masked + 1 :])
    expected = [*pieces.encode(before), pieces.mask_id, *pieces.encode(after)]
    assert ids.tolist() == expected
    filled = " ".join([*words[:masked], "[MASK]", *words[masked + 1 :]])
    assert pieces.decode(ids, skip_special_tokens=False) == filled


@given(words=WORDS)
@settings(deadline=None)
def test_words_of_pieces(pieces, words):
    ids = pieces.encode(" ".join(words))
    numbers = pieces.word_ids(ids)
    spelled = [pieces.decode(ids[numbers == n]) for n in np.unique(numbers)]
    assert spelled == words


def test_white_space_belongs_to_the_word_after_it(pieces):
    ids = pieces.encode("the\n\n    x")
    numbers = pieces.word_ids(ids)
    assert numbers[-1] == numbers[-3] and len(np.unique(numbers)) == 2


def test_training_again_gives_the_same(text_file, pieces):
    again = SentencePieceTokenizer.train([text_file], vocab_size=600)
    assert again.file_bytes() == pieces.file_bytes()


def test_long_lines_are_learned_from(tmp_path):
    path = tmp_path / "one_line.txt"
    path.write_text("statement " * 3000, encoding="utf-8")
    tokenizer = SentencePieceTokenizer.train([path], vocab_size=275, model_type="bpe")
    assert len(tokenizer.encode("statement")) < 9


@pytest.mark.parametrize("make", [word_piece, byte_level, metaspace])
def test_json_ids_are_those_of_the_package(make):
    theirs = make()
    theirs.enable_padding(length=40)
    theirs.enable_truncation(3)
    ours = JsonTokenizer(theirs.to_str())
    theirs.no_padding(), theirs.no_truncation()
    assert ours.vocab_size == theirs.get_vocab_size() == 600
    assert (ours.pad_id, ours.cls_id, ours.sep_id, ours.mask_id) == (0, 2, 3, 4)
    assert ours.bos_id is None and ours.eos_id is None
    text = "the assertion, [MASK] statements don't"
    encoding = theirs.encode(text, add_special_tokens=False)
    assert ours.encode(text).tolist() == encoding.ids
    assert ours.mask_id in encoding.ids
    for skip in (True, False):
        assert ours.decode(encoding.ids, skip) == theirs.decode(
            encoding.ids, skip_special_tokens=skip
        )


@settings(deadline=None, max_examples=30)
@given(words=WORDS)
def test_words_of_json_are_those_of_the_package(jsons, words):
    for theirs, ours in jsons:
        encoding = theirs.encode(" ".join(words), add_special_tokens=False)
        numbers = ours.word_ids(encoding.ids)
        kept = numbers >= 0  # here, what is unknown is special
        begins = np.diff(numbers[kept]) > 0
        expected = np.diff(np.array(encoding.word_ids)[kept]) > 0
        np.testing.assert_array_equal(begins, expected)


@pytest.fixture(scope="module")
def jsons():
    made = [make() for make in (word_piece, byte_level, metaspace)]
    return [(theirs, JsonTokenizer(theirs.to_str())) for theirs in made]


def test_white_space_of_byte_level(jsons):
    ours = jsons[1][1]
    numbers = ours.word_ids(ours.encode("a\n\n  b"))
    assert numbers[0] == 0 and (numbers[1:] == 1).all()


def test_words_that_cannot_be_told():
    whitespace = pre_tokenizers.Whitespace()
    bpe = trained(models.BPE(), trainers.BpeTrainer, whitespace, None)
    for decoder in (None, decoders.BPEDecoder()):
        if decoder is not None:
            bpe.decoder = decoder
        ours = JsonTokenizer(bpe.to_str())
        with pytest.raises(ValueError, match="tokens say where a word begins.*BPE"):
            ours.word_ids(ours.encode("the statement"))
    words = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    assert JsonTokenizer(words.to_str()).word_ids([0, 1, 1]).tolist() == [1, 2, 3]


def test_a_lone_surrogate_is_a_question_mark(pieces, jsons):
    for tokenizer in (pieces, jsons[1][1]):
        assert tokenizer.decode(tokenizer.encode("a\ud83d")) == "a?"


def test_tokenizers_travel_to_other_processes(pieces, jsons):
    for tokenizer in (pieces, jsons[0][1]):
        again = pickle.loads(pickle.dumps(tokenizer))
        assert again.encode("the x").tolist() == tokenizer.encode("the x").tolist()


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_broken_models(pieces, data):
    """A damaged file is refused, or gives a tokenizer: no crash, no other error."""
    content = bytearray(pieces.file_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    content = bytes(content[: data.draw(st.sampled_from([len(content), 5000, 10, 0]))])
    try:
        SentencePieceTokenizer(content)
    except ValueError as error:
        assert "`model` must be the content of a SentencePiece model" in str(error)


@pytest.mark.parametrize("model", [None, 5, b"", "", b"garbage", "bm90IGEgbW9kZWw=", "é"])
def test_no_model(model):
    with pytest.raises(ValueError, match="`model` must be the content .* Received: "):
        SentencePieceTokenizer(model)


@pytest.mark.parametrize("content", [None, 5, b"{}", "", "{}", "[]", "[" * 10_000])
def test_no_content(content):
    with pytest.raises(ValueError, match="`content` must be the text of a tokenizer.json"):
        JsonTokenizer(content)


def test_a_small_file_cannot_ask_for_a_large_table():
    content = json.loads(
        tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str()
    )
    content["model"]["vocab"]["b"] = 2**32 - 2
    with pytest.raises(ValueError, match="must not have ids larger .* 4294967294"):
        JsonTokenizer(json.dumps(content))


def test_bad_training(tmp_path, text_file):
    train = SentencePieceTokenizer.train
    with pytest.raises(
        ValueError, match="`files` must be a list of paths. Received: .*a, b"
    ):
        train(text_file, 600)
    with pytest.raises(ValueError, match="`files` must be a list of paths"):
        train([], 600)
    with pytest.raises(ValueError, match="`vocab_size` must suit .* vocab_size=100000"):
        train([text_file], 100_000)
    with pytest.raises(ValueError, match="Received: vocab_size=10,"):
        train([text_file], 10)
    with pytest.raises(
        ValueError, match="`model_type` must be one of .*Received: 'neural'"
    ):
        train([text_file], 600, model_type="neural")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="must be in UTF-8. Received: .*latin.txt"):
        train([tmp_path / "latin.txt"], 600)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="must suit SentencePiece"):
        train([tmp_path / "empty.txt"], 600)
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        train([tmp_path / "none.txt"], 600)
