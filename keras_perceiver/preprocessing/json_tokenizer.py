"""Vocabularies of the Hugging Face hub: `tokenizer.json`."""

import json

import numpy as np

from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.tokenizer import Tokenizer


class JsonTokenizer(Tokenizer):
    """A tokenizer of the package `tokenizers`, from its `tokenizer.json`.

    Special tokens are those that the file marks so; how they are found in a text is
    up to the file. Padding and truncation that it asks for are not done.

    Args:
        content: text of a `tokenizer.json`.

    Raises:
        ValueError: a `content` that is not that of a `tokenizer.json`.
    """

    FILE = "tokenizer.json"
    CONTENT = "content"
    _SPECIAL = None

    def __init__(self, content):
        import tokenizers

        with _NamingErrors(content):
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        self.content = content
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        added = self._tokenizer.get_added_tokens_decoder()
        # Ids may have gaps, but not such that a small file asks for large tables.
        vocab_size = 1 + max(self._tokenizer.get_vocab().values(), default=-1)
        if vocab_size > len(content):
            raise ValueError(
                "`content` must not have ids larger than its length. Received: an id of "
                f"{vocab_size - 1}"
            )
        super().__init__(
            vocab_size,
            {token.content: i for i, token in added.items() if token.special},
            parse_special_tokens=True,
        )

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {"content": self.content}

    @classmethod
    def from_file(cls, path, **options):  # noqa: D102 (inherited)
        try:
            content = read_bytes(path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} must be in UTF-8. Received: {error}") from None
        return cls(content, **options)

    def file_bytes(self):  # noqa: D102 (inherited)
        return self.content.encode("utf-8")

    def _encode_plain(self, texts):
        rows = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(row.ids, "int32") for row in rows]

    def _decode(self, ids):
        return self._tokenizer.decode(ids.tolist(), skip_special_tokens=False)

    def _token_texts(self):
        pieces = [self._tokenizer.id_to_token(i) or "" for i in range(self.vocab_size)]
        model = json.loads(self._tokenizer.to_str())["model"]
        if model["type"] == "WordPiece":
            mark = model["continuing_subword_prefix"]
            return [x[len(mark) :] if x.startswith(mark) else f" {x}" for x in pieces]
        if model["type"] == "WordLevel":
            return [f" {piece}" for piece in pieces]
        decoder = self._tokenizer.decoder
        # What a piece adds after another one; the first loses its space in some.
        texts = [decoder.decode(["x", x])[1:] for x in pieces] if decoder else []
        if not any(text.startswith(" ") for text in texts):
            raise ValueError(
                "Words can be told apart only in a `tokenizer.json` whose tokens say "
                "where a word begins: a WordPiece or WordLevel model, or a decoder that "
                f"gives some tokens a space at the front. Received: {model['type']} "
                f"with decoder={decoder}"
            )
        return texts


class _NamingErrors:
    """Make ValueErrors of the bare `Exception`s that `tokenizers` raises."""

    def __init__(self, content):
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind in (Exception, TypeError):
            raise ValueError(
                "`content` must be the text of a tokenizer.json. Received: "
                f"{repr(self.content)[:50]} ({error})"
            ) from None
