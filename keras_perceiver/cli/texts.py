"""What tasks on text have in common, and texts as the command line names them."""

import dataclasses
import pathlib
import tempfile

from keras_perceiver.cli.options import documented, option_class, values
from keras_perceiver.cli.sources import Texts
from keras_perceiver.cli.task import Task
from keras_perceiver.data import tokens
from keras_perceiver.data.text import decode_utf8
from keras_perceiver.data.token_ids import text_of
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import TextEncoder
from keras_perceiver.preprocessing import (
    ByteTokenizer,
    JsonTokenizer,
    SentencePieceTokenizer,
    TextPreprocessor,
)

# What a name says of the content of a vocabulary's file.
FILES = {".model": SentencePieceTokenizer, ".json": JsonTokenizer}
BYTES, TRAINED = "bytes", "sentencepiece:"
TOKENIZER_HELP = (
    "`bytes`; the file of a vocabulary: a SentencePiece model (*.model), or a "
    "tokenizer.json of the Hugging Face hub; or `sentencepiece:SIZE`, a SentencePiece "
    "vocabulary of so many tokens that is trained on the training texts first."
)

CorpusOptions = option_class("CorpusOptions", tokens, skip=("documents", "tokenizer"))
CORPUS = tuple(field.name for field in dataclasses.fields(CorpusOptions))


class TextTask(Task):
    """A task on texts: its encoder and its tokenizer."""

    encoder_sources = (TextEncoder, PerceiverEncoder)
    preprocessor_class = TextPreprocessor
    preprocessor_skip = ("tokenizer", "labels")
    preprocessor_options = {
        # Rows of a corpus and texts of a table alike are what the model sees, no more.
        "defaults": {"add_special_tokens": False},
        "max_length": (
            int | None,
            None,
            documented(TextPreprocessor)["max_length"] + " None: the encoder's.",
        ),
    }
    data = Texts

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        parser.add_argument(
            "--tokenizer",
            type=str | None,
            default=None,
            help=f"{TOKENIZER_HELP} None: that of the preset, or else `bytes`.",
        )

    def part_defaults(self, model):  # noqa: D102 (inherited)
        defaults = super().part_defaults(model)
        key = "model.preprocessor.max_length"
        if defaults.get(key) == model.encoder.max_length:
            del defaults[key]  # so that it follows the encoder's
        return defaults

    def parts(self, chosen, origin, labels=None):
        """Encoder and preprocessor of the options.

        Args:
            chosen: the options.
            origin: the model whose tokenizer is the default, or None.
            labels: names of the classes, or None.
        """
        texts = chosen.data.train
        if chosen.tokenizer is not None:
            tokenizer = make_tokenizer(chosen.tokenizer, texts)
        elif origin is not None and origin.preprocessor is not None:
            tokenizer = origin.preprocessor.tokenizer
        else:
            tokenizer = ByteTokenizer()
        encoder_options = values(chosen.model.encoder)
        encoder_options.pop("preset", None)
        if encoder_options["vocab_size"] is None:
            encoder_options["vocab_size"] = tokenizer.vocab_size
        encoder = TextEncoder(**encoder_options)
        options = values(chosen.model.preprocessor)
        options["max_length"] = options["max_length"] or encoder.max_length
        return encoder, TextPreprocessor(tokenizer, labels=labels, **options)


def make_tokenizer(name, texts):
    """The tokenizer that `--tokenizer` names.

    Args:
        name: what `TOKENIZER_HELP` says.
        texts: to train it on, if it says so.
    """
    if name == BYTES:
        return ByteTokenizer()
    size = name.removeprefix(TRAINED)
    if size != name and size.isdecimal():
        return _trained(texts, int(size))
    path = pathlib.Path(name)
    if path.suffix not in FILES or not path.is_file():
        raise ValueError(
            f"--tokenizer must be `{BYTES}`, `{TRAINED}SIZE`, or a file "
            f"{' or '.join(f'*{suffix}' for suffix in FILES)}. Received: {name}"
        )
    return FILES[path.suffix].from_file(path)


def _trained(texts, vocab_size):
    # SentencePiece reads lines of files.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace") as file:
        for i in range(len(texts)):
            file.write(f"{text_of(texts[i])}\n")
        file.flush()
        return SentencePieceTokenizer.train([file.name], vocab_size)


def read_text(path):
    """The text in a UTF-8 file."""
    text = decode_utf8(pathlib.Path(path).read_bytes(), path, encoding="utf-8-sig")
    if not text.strip():
        raise ValueError(f"{path} must hold a text. Received: an empty file")
    return text
