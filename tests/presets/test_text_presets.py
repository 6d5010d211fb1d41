"""Presets of text models: their tokenizers come along."""

import json

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_text
from keras_perceiver.preprocessing import (
    ByteTokenizer,
    JsonTokenizer,
    SentencePieceTokenizer,
    TextPreprocessor,
)
from keras_perceiver.presets.form import to_form

TEXT = "The quick brown fox jumps over the lazy dog, and does so again and again.\n" * 40


def byte_tokenizer(folder):
    return ByteTokenizer(parse_special_tokens=False)


def sentencepiece_tokenizer(folder):
    (folder / "text.txt").write_text(TEXT)
    return SentencePieceTokenizer.train([folder / "text.txt"], vocab_size=295)


def json_tokenizer(folder):
    tokenizers = pytest.importorskip("tokenizers")
    special = ["[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]"]
    words = {word: i for i, word in enumerate([*special, *sorted(set(TEXT.split()))])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    return JsonTokenizer(tokenizer.to_str())


@pytest.mark.parametrize("make", [byte_tokenizer, sentencepiece_tokenizer, json_tokenizer])
def test_tokenizers_come_along(tmp_path, make):
    tokenizer = make(tmp_path)
    preprocessor = TextPreprocessor(tokenizer, 30, truncate=True, labels=["a", "b"])
    model = tiny_text.text_classifier(
        2, preprocessor=preprocessor, vocab_size=tokenizer.vocab_size
    )
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert to_form(again) == to_form(model)
    texts = ["The quick brown fox", "again"]
    np.testing.assert_array_equal(
        again.preprocessor(texts)["token_ids"], preprocessor(texts)["token_ids"]
    )
    assert again.classify(texts) == model.classify(texts)
    written = json.loads((tmp_path / "preset" / "preprocessor.json").read_text())
    config = written["config"]["tokenizer"]["config"]
    if tokenizer.FILE:  # a file of its usual name, not text in the JSON
        assert (tmp_path / "preset" / tokenizer.FILE).read_bytes() == tokenizer.file_bytes()
        assert tokenizer.CONTENT not in config


@pytest.mark.one_backend
def test_a_keras_file_holds_the_tokenizer(tmp_path):
    import keras

    tokenizer = sentencepiece_tokenizer(tmp_path)
    model = tiny_text.masked_lm(
        preprocessor=TextPreprocessor(tokenizer, 30), vocab_size=tokenizer.vocab_size
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.fill_mask("The [MASK] fox") == model.fill_mask("The [MASK] fox")


def test_a_model_without_strings_has_no_preprocessor(tmp_path):
    model = tiny_text.masked_lm(vocab_size=61)
    kp.presets.save(model, tmp_path / "preset")
    assert not (tmp_path / "preset" / "preprocessor.json").exists()
    assert kp.presets.load(tmp_path / "preset").preprocessor is None


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda f: (f / "tokenizer.model").unlink(), "lacks tokenizer.model"),
        (lambda f: (f / "tokenizer.model").write_bytes(b"nothing"), "SentencePiece"),
        (lambda f: edit(f, class_name="os.system"), "`class_name` must be one of"),
        (lambda f: edit(f, class_name="ImagePreprocessor"), "`tokenizer` must be one of"),
        (lambda f: edit(f, config={"path": "/etc/passwd"}), "does not take.*path"),
    ],
)
def test_spoiled_tokenizers_are_named(tmp_path, spoil, match):
    tokenizer = sentencepiece_tokenizer(tmp_path)
    model = tiny_text.masked_lm(
        preprocessor=TextPreprocessor(tokenizer, 30), vocab_size=tokenizer.vocab_size
    )
    kp.presets.save(model, tmp_path / "preset")
    spoil(tmp_path / "preset")
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        kp.presets.load(tmp_path / "preset")


def edit(folder, **change):
    path = folder / "preprocessor.json"
    content = json.loads(path.read_text())
    content["config"]["tokenizer"] |= change
    path.write_text(json.dumps(content))
