"""SentencePiece vocabularies: of public checkpoints, or trained on your own texts."""

import base64
import io
import os
import re

import numpy as np

from keras_perceiver.preprocessing.byte_tokenizer import SPECIAL_TOKENS
from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.tokenizer import Tokenizer

SPACE = "\u2581"  # what SentencePiece writes for a space
UNKNOWN = "[UNK]"
MODEL_TYPES = ("unigram", "bpe")
# SentencePiece skips lines longer than 4,192 bytes; a character has four at most.
MAX_LINE = 1000
# Lines to train on, drawn from all: what more would add costs memory without use.
MAX_LINES = 1_000_000


class SentencePieceTokenizer(Tokenizer):
    """Pieces of words of a SentencePiece model.

    Needs the package `sentencepiece`. Special tokens are the model's control pieces
    and its piece for the unknown. In a text, a special token stands for a word: one
    space at each side of it belongs to it, as in text whose words were masked.

    Args:
        model: content of a model file (`tokenizer.model`, `spiece.model`): bytes, or
            base64 text as it stands in a configuration.
        parse_special_tokens: whether "[MASK]" in a string means the mask token, and
            so on. False for text that nobody vouches for.

    Raises:
        ValueError: a `model` that is not the content of a SentencePiece model.
    """

    FILE = "tokenizer.model"
    CONTENT = "model"
    _SPECIAL = " ?({}) ?"

    def __init__(self, model, parse_special_tokens=True):
        from sentencepiece import SentencePieceProcessor

        self._processor = processor = SentencePieceProcessor()
        try:
            if isinstance(model, str):
                model = base64.b64decode(model, validate=True)
            processor.LoadFromSerializedProto(model)
            size = processor.get_piece_size()
            self._pieces = [processor.id_to_piece(i) for i in range(size)]
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                "`model` must be the content of a SentencePiece model, as bytes or as "
                f"base64 text. Received: {repr(model)[:50]}"
            ) from error
        special_ids = {
            piece: i
            for i, piece in enumerate(self._pieces)
            if processor.is_control(i) or processor.is_unknown(i)
        }
        super().__init__(size, special_ids, parse_special_tokens)

    @classmethod
    def train(cls, files, vocab_size, model_type="unigram"):
        """A tokenizer trained on text files.

        Special tokens have the ids that they have in `ByteTokenizer`, "[UNK]" the one
        after. Bytes that no piece covers have ids of their own, so that nothing is
        unknown and every text comes back as it was, white space included; only
        U+2581, SentencePiece's mark for a space, comes back as a space.

        Args:
            files: paths of text files in UTF-8. Of more than a million lines a
                sample is used.
            vocab_size: number of ids, special ones and 256 bytes included.
            model_type: "unigram" or "bpe".

        Returns:
            A `SentencePieceTokenizer`.

        Raises:
            ValueError: no file, a file that is not UTF-8, or too little text for
                `vocab_size`.
        """
        import sentencepiece

        if isinstance(files, (str, os.PathLike)) or not files:
            raise ValueError(f"`files` must be a list of paths. Received: {files!r}")
        if model_type not in MODEL_TYPES:
            raise ValueError(
                f"`model_type` must be one of {MODEL_TYPES}. Received: {model_type!r}"
            )
        pad, bos, eos, *control = SPECIAL_TOKENS
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_lines(files),
                model_writer=model,
                vocab_size=vocab_size,
                model_type=model_type,
                input_sentence_size=MAX_LINES,
                byte_fallback=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                allow_whitespace_only_pieces=True,
                pad_piece=pad,
                bos_piece=bos,
                eos_piece=eos,
                unk_piece=UNKNOWN,
                control_symbols=control,
                **{f"{x}_id": i for i, x in enumerate(("pad", "bos", "eos"))},
                unk_id=len(SPECIAL_TOKENS),
                minloglevel=2,  # errors only
            )
        except RuntimeError as error:
            raise ValueError(
                "`vocab_size` must suit SentencePiece and the text. Received: "
                f"vocab_size={vocab_size}, files={[str(x) for x in files][:3]}: {error}"
            ) from None
        return cls(model.getvalue())

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        model = base64.b64encode(self.file_bytes()).decode("ascii")
        return {"model": model, **super().get_config()}

    @classmethod
    def from_file(cls, path, **options):  # noqa: D102 (inherited)
        return cls(read_bytes(path), **options)

    def file_bytes(self):  # noqa: D102 (inherited)
        return self._processor.serialized_model_proto()

    def _encode_plain(self, texts):
        return [np.array(ids, "int32") for ids in self._processor.encode(texts)]

    def _decode(self, ids):
        # A special token takes the space at each side, as when it is read.
        parts = np.split(ids, np.flatnonzero(np.diff(self.special[ids], prepend=False)))
        return " ".join(
            " ".join(self._pieces[i] for i in part)
            if self.special[part].all()
            else self._processor.decode(part.tolist())
            for part in parts
            if len(part)
        )

    def _token_texts(self):
        return [_text(piece) for piece in self._pieces]


def _text(piece):
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):  # a byte that no piece covers
        return chr(int(piece[3:5], 16))
    return piece.replace(SPACE, " ")


def _lines(files):
    for path in files:
        try:
            with open(path, encoding="utf-8") as file:
                for line in file:
                    line = line.rstrip("\n")
                    for start in range(0, len(line), MAX_LINE):
                        yield line[start : start + MAX_LINE]
        except UnicodeDecodeError as error:
            raise ValueError(
                f"`files` must be in UTF-8. Received: {path}: {error}"
            ) from None
