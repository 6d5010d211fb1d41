"""What every tokenizer does: text to ids, ids to text, and where words begin."""

import functools
import json
import os
import re
import string

import numpy as np

CONFIG = "tokenizer_config.json"


class Tokenizer:
    """Base class of tokenizers.

    A subclass says how plain text becomes ids (`_encode_plain`) and back
    (`_decode`), and what text each id stands for (`_token_texts`).

    Args:
        vocab_size: number of ids, special ones included.
        special_ids: id by text of each special token. It is found in a string where
            the tokenizer parses special tokens.
        parse_special_tokens: whether "[MASK]" in a string means the mask token, and
            so on. False for text that nobody vouches for, which then cannot make
            special tokens.

    Attributes:
        FILE: name of the file for the vocabulary beside the configuration, or None.
        CONTENT: name of the argument that holds the content of `FILE`, or None.
        pad_id: id of the token that fills up rows, or None where there is none. So
            are `bos_id`, `eos_id`, `mask_id`, `cls_id` and `sep_id`.
    """

    FILE = None
    CONTENT = None
    # How a special token stands in a text, `{}` for the tokens; None where
    # `_encode_plain` finds them itself.
    _SPECIAL = "({})"

    def __init__(self, vocab_size, special_ids, parse_special_tokens):
        self.vocab_size = vocab_size
        self.special_ids = special_ids
        self.parse_special_tokens = parse_special_tokens
        self.pad_id = self._first("[PAD]", "<pad>")
        self.bos_id = self._first("[BOS]", "<s>", "<bos>")
        self.eos_id = self._first("[EOS]", "</s>", "<eos>", "<|endoftext|>")
        self.mask_id = self._first("[MASK]", "<mask>")
        self.cls_id = self._first("[CLS]", "<cls>")
        self.sep_id = self._first("[SEP]", "<sep>")

    def _first(self, *texts):
        return next((self.special_ids[x] for x in texts if x in self.special_ids), None)

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {"parse_special_tokens": self.parse_special_tokens}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __repr__(self):
        return f"{type(self).__name__}(vocab_size={self.vocab_size})"

    @functools.cached_property
    def special(self):
        """Whether each id is that of a special token, bool `[vocab_size]`."""
        special = np.zeros(self.vocab_size, bool)
        special[list(self.special_ids.values())] = True
        return special

    def encode(self, text):
        """Ids of a text, int32 `[n]`, without special tokens around it."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts):
        """Ids of each of some texts: a list of int32 `[n]`.

        Lone surrogates, which UTF-8 cannot express, are read as "?".

        Raises:
            ValueError: something that is no string.
        """
        texts = _checked_texts(texts)
        if not (self.parse_special_tokens and self.special_ids and self._SPECIAL):
            return self._encode_plain(texts)
        parts = [self._pattern.split(text) for text in texts]
        # Text and special tokens in turn, text first and last.
        plain = iter(self._encode_plain([x for row in parts for x in row[::2]]))
        rows = []
        for row in parts:
            ids = [next(plain)]
            for special in row[1::2]:
                ids += [np.array([self.special_ids[special]], "int32"), next(plain)]
            rows.append(ids[0] if len(ids) == 1 else np.concatenate(ids))
        return rows

    def decode(self, ids, skip_special_tokens=True):
        """Text of ids `[n]`; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ValueError: ids that are no integers `[n]` of the vocabulary.
        """
        ids = self._checked(ids)
        if ids.ndim != 1:
            raise ValueError(f"`ids` must be of shape [n]. Received: shape={ids.shape}")
        if skip_special_tokens:
            ids = ids[~self.special[ids]]
        return self._decode(ids)

    def is_special(self, ids):
        """Whether each of some ids is that of a special token, bool.

        Raises:
            ValueError: ids out of the vocabulary.
        """
        return self.special[self._checked(ids)]

    def word_ids(self, ids):
        """Numbers of words: equal for the tokens of one word, -1 at special tokens.

        Words end where white space (ASCII) begins, and at special tokens; white space
        belongs to the word after it. Where a vocabulary has its own marks for words
        (WordPiece), those count.

        Args:
            ids: integers `[..., S]`.

        Returns:
            int32, of the shape of `ids`, ascending along the last axis.

        Raises:
            ValueError: ids out of the vocabulary, or a vocabulary that does not tell
                where words begin.

        Reference:
            krasserm/perceiver-io, `PerceiverTokenizerUtil.word_ids`.
        """
        ids = self._checked(ids)
        starts, blank = self._words
        special, position = self.special[ids], np.arange(ids.shape[-1], dtype="int32")
        # The last token before each that is not special: special ones do not end the
        # white space around them.
        last = np.maximum.accumulate(np.where(special, -1, position), axis=-1)
        last = np.concatenate([np.full_like(last[..., :1], -1), last[..., :-1]], axis=-1)
        after_blank = np.take_along_axis(blank[ids], np.maximum(last, 0), axis=-1)
        begins = starts[ids] & ~(after_blank & (last >= 0))
        words = np.cumsum(special | begins, axis=-1, dtype="int32")
        return np.where(special, np.int32(-1), words)

    @functools.cached_property
    def _words(self):
        """Whether each id starts with white space, and is nothing else."""
        texts = self._token_texts()
        starts = [text[:1] in string.whitespace and text != "" for text in texts]
        blank = [text.strip(string.whitespace) == "" and text != "" for text in texts]
        return np.array(starts), np.array(blank)

    @functools.cached_property
    def _pattern(self):
        # The longest first: one may begin with another.
        texts = sorted(map(re.escape, self.special_ids), key=len, reverse=True)
        return re.compile(self._SPECIAL.format("|".join(texts)))

    def _checked(self, ids):
        ids = np.asarray(ids)
        if ids.size == 0:
            return ids.astype("int32")
        if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= self.vocab_size:
            raise ValueError(
                f"`ids` must be integers from 0 to {self.vocab_size - 1}. Received: "
                f"dtype={ids.dtype}, from {ids.min()} to {ids.max()}"
            )
        return ids

    def _encode_plain(self, texts):
        """Ids of each text, in which nothing is special."""
        raise NotImplementedError

    def _decode(self, ids):
        """Text of checked ids, special tokens as their texts."""
        raise NotImplementedError

    def _token_texts(self):
        """What each id adds to a text that goes on; anything for special ids."""
        raise NotImplementedError

    @classmethod
    def from_file(cls, path, **options):
        """A tokenizer from the file of its vocabulary alone.

        Args:
            path: of a file as `file_bytes` gives it.
            options: further arguments of the constructor.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a regular file, too large, or broken.
        """
        raise NotImplementedError(f"{cls.__name__} has no file")

    def file_bytes(self):
        """Content of the file `FILE` that a preset keeps beside the configuration."""
        raise NotImplementedError(f"{type(self).__name__} has no file")

    def to_form(self):
        """`{"class_name": ..., "config": {...}}`, JSON values."""
        return {"class_name": type(self).__name__, "config": self.get_config()}

    def save(self, folder):
        """Write configuration and vocabulary into a folder, for `load_tokenizer`."""
        os.makedirs(folder, exist_ok=True)
        form = self.to_form()
        if self.FILE:
            del form["config"][self.CONTENT]
            with open(os.path.join(folder, self.FILE), "wb") as file:
                file.write(self.file_bytes())
        with open(os.path.join(folder, CONFIG), "w", encoding="utf-8") as file:
            json.dump(form, file, indent=2)
            file.write("\n")


def _checked_texts(texts):
    """Texts as a list, in a form that UTF-8 can express."""
    if isinstance(texts, (str, bytes)):
        raise ValueError(f"`texts` must be a list of strings. Received: {texts[:50]!r}")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"`texts` must be strings. Received: texts[{i}]={text!r} "
                f"({type(text).__name__})"
            )
    return [text.encode("utf-8", errors="replace").decode("utf-8") for text in texts]
