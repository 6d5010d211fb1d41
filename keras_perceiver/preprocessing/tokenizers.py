"""Tokenizers from JSON and from folders: known classes only."""

import json
import os

from keras_perceiver.preprocessing.byte_tokenizer import ByteTokenizer
from keras_perceiver.preprocessing.files import read_bytes
from keras_perceiver.preprocessing.json_tokenizer import JsonTokenizer
from keras_perceiver.preprocessing.sentencepiece_tokenizer import SentencePieceTokenizer
from keras_perceiver.preprocessing.tokenizer import CONFIG

TOKENIZERS = {
    cls.__name__: cls for cls in (ByteTokenizer, SentencePieceTokenizer, JsonTokenizer)
}


def tokenizer_from_form(form):
    """The inverse of `Tokenizer.to_form`; nothing is imported or called by name.

    Raises:
        ValueError: an unknown class, or arguments it does not take.
    """
    cls = _class(form)
    return _build(cls, cls, form["config"])


def load_tokenizer(folder):
    """The tokenizer that `Tokenizer.save` wrote into a folder.

    Raises:
        FileNotFoundError: a folder without one of its files.
        ValueError: a file that is broken or too large, an unknown class, or
            arguments it does not take.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ByteTokenizer().save(folder)
    ...     load_tokenizer(folder)
    ByteTokenizer(vocab_size=262)
    """
    path = os.path.join(folder, CONFIG)
    try:
        form = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must hold JSON. Received: {error}") from None
    cls = _class(form)
    if cls.FILE is None:
        return _build(cls, cls, form["config"])
    if cls.CONTENT in form["config"]:
        raise ValueError(
            f"{path} must leave `{cls.CONTENT}` to the file {cls.FILE}. Received both."
        )
    file = os.path.join(folder, cls.FILE)
    return _build(cls, lambda **config: cls.from_file(file, **config), form["config"])


def _class(form):
    if not isinstance(form, dict) or form.get("class_name") not in list(TOKENIZERS):
        received = form.get("class_name") if isinstance(form, dict) else form
        raise ValueError(
            "A tokenizer must be an object with a `class_name` of "
            f"{sorted(TOKENIZERS)}. Received: {str(received)[:50]!r}"
        )
    if set(form) != {"class_name", "config"} or not isinstance(form["config"], dict):
        raise ValueError(
            "A tokenizer must be an object with `class_name` and `config`. Received: "
            f"keys {sorted(form)}"
        )
    return TOKENIZERS[form["class_name"]]


def _build(cls, make, config):
    try:
        return make(**config)
    except TypeError as error:
        raise ValueError(
            f"The configuration of {cls.__name__} has wrong arguments: {error}"
        ) from None
