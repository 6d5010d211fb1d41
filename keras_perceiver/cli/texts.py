"""What tasks on text have in common, and texts as the command line names them."""

import dataclasses
import inspect
import itertools
import pathlib
import tempfile

from keras_perceiver.cli.encoders import EncoderTask
from keras_perceiver.cli.options import option_class, values
from keras_perceiver.cli.sequences import SequenceTask, TokenTask
from keras_perceiver.cli.sources import Texts
from keras_perceiver.cli.task import Training
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

STREAM_HELP = (
    "Tokenize the training texts as they are read, and keep nothing: for a corpus too "
    "large for --cache. --steps_per_epoch or --trainer.max_steps says how long to train."
)
# Workers are an option of `preprocess` alone, which fills the cache for the others.
CorpusOptions = option_class(
    "CorpusOptions", tokens, skip=("documents", "tokenizer", "workers")
)
CORPUS = tuple(field.name for field in dataclasses.fields(CorpusOptions))


class TextTask(SequenceTask):
    """A task on texts, and its tokenizer."""

    preprocessor_class = TextPreprocessor
    preprocessor_skip = ("tokenizer", "labels")
    data = Texts

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        super().add_training_options(parser)
        parser.add_argument(
            "--tokenizer",
            type=str | None,
            default=None,
            help=f"{TOKENIZER_HELP} None: that of the preset, or else `bytes`.",
        )

    def tokenizer(self, chosen, origin):
        """The tokenizer of the options.

        Args:
            chosen: the options.
            origin: the model whose tokenizer is the default, or None.
        """
        if chosen.tokenizer is not None:
            return make_tokenizer(chosen.tokenizer, chosen.data.train)
        if origin is not None and origin.preprocessor is not None:
            return origin.preprocessor.tokenizer
        return ByteTokenizer()


class TextEncoderTask(TextTask, EncoderTask):
    """A task on texts whose model has an encoder."""

    encoder_sources = (TextEncoder, PerceiverEncoder)

    @property
    def preprocessor_options(self):
        """Rows of a corpus and texts of a table alike are what the model sees, no more."""
        return {**super().preprocessor_options, "defaults": {"add_special_tokens": False}}

    smoke_encoder = {"input_channels": 32, "vocab_size": None, "max_length": 64}

    def smoke(self, output):  # noqa: D102 (inherited)
        return {
            **super().smoke(output),
            "tokenizer": "bytes",
            "model.preprocessor.max_length": None,
            "model.cross_attention.qk_channels": 32,
            "model.cross_attention.v_channels": 32,
        }

    def parts(self, chosen, origin, labels=None):
        """Encoder and preprocessor of the options.

        Args:
            chosen: the options.
            origin: the model whose tokenizer is the default, or None.
            labels: names of the classes, or None.
        """
        tokenizer = self.tokenizer(chosen, origin)
        options = values(chosen.model.encoder)
        options.pop("preset", None)
        if options["vocab_size"] is None:
            options["vocab_size"] = tokenizer.vocab_size
        encoder = TextEncoder(**options)
        return encoder, self.preprocessor(
            chosen, encoder.max_length, tokenizer, labels=labels
        )


class LanguageTask(TextTask, TokenTask):
    """A language model, trained on a corpus of texts.

    Attributes:
        stream: function that makes batches of texts as they are read.
    """

    corpus_options = CorpusOptions

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        super().add_training_options(parser)
        parser.add_argument("--samples", type=list[str], default=[], help=self.samples_help)
        parser.add_argument("--stream", type=bool, default=False, help=STREAM_HELP)

    def training(self, model, chosen):  # noqa: D102 (inherited)
        if not chosen.stream:
            return super().training(model, chosen)
        if not (chosen.steps_per_epoch or chosen.trainer.max_steps):
            raise ValueError(
                "--stream needs --steps_per_epoch or --trainer.max_steps. Received neither"
            )
        known = inspect.signature(self.stream).parameters
        options = self.batch_options(chosen)
        kinds = (CorpusOptions, self.row_options())
        for field in itertools.chain(*map(dataclasses.fields, kinds)):
            value = chosen[field.name]
            if field.name in known:
                options[field.name] = value
            # The cache is for what is held out.
            elif field.name != "cache" and value != field.default_factory():
                raise ValueError(f"--stream does without --{field.name}. Received: {value}")
        texts = chosen.data.train
        batches = self.stream(texts, model, chosen.batch_size, chosen.seed, **options)
        return Training(batches, None)

    def comparison(self, model, tokens, held_out):  # noqa: D102 (inherited)
        # Nobody has counted the tokens of a stream.
        return None if tokens is None else super().comparison(model, tokens, held_out)

    def tokens(self, records, model, chosen):  # noqa: D102 (inherited)
        options = {name: chosen[name] for name in CORPUS}
        return tokens(records, model.preprocessor.tokenizer, **options)

    def callbacks(self, model, chosen, folder):  # noqa: D102 (inherited)
        if not chosen.samples:
            return []
        callback = self.samples(chosen, folder)
        callback.set_model(model)
        callback.lines()  # A text that will not do shows now.
        return [callback]

    def samples(self, chosen, folder):
        """The callback that shows what becomes of the texts `--samples`."""
        raise NotImplementedError


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
