"""Texts to rows of ids of one length."""

import numpy as np

from keras_perceiver.preprocessing.tokenizers import tokenizer_from_form

SIDES = ("right", "left")


class TextPreprocessor:
    """Tokenize and pad texts.

    Args:
        tokenizer: a `Tokenizer`, for example `ByteTokenizer()`.
        max_length: largest number of tokens of a text, special ones included.
        add_special_tokens: whether texts stand between "[CLS]" and "[SEP]", as in the
            official language model; False for text to be continued.
        truncate: whether longer texts lose their end; otherwise they are refused.
        padding_side: "right", or "left" for text to be continued.
        labels: names of the classes, or None.

    Raises:
        ValueError: arguments out of range, or a tokenizer that has no tokens to add.

    Example:
    >>> from keras_perceiver.preprocessing import ByteTokenizer
    >>> inputs = TextPreprocessor(ByteTokenizer(), max_length=8)(["Hi", "Hi!"])
    >>> inputs["token_ids"].tolist()
    [[4, 78, 111, 5, 0], [4, 78, 111, 39, 5]]
    >>> inputs["padding_mask"].tolist()
    [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    """

    def __init__(
        self,
        tokenizer,
        max_length,
        add_special_tokens=True,
        truncate=False,
        padding_side="right",
        labels=None,
    ):
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.add_special_tokens = add_special_tokens
        self.truncate = truncate
        self.padding_side = padding_side
        self.labels = None if labels is None else [str(label) for label in labels]
        self._around = []
        if add_special_tokens:
            self._around = [tokenizer.cls_id, tokenizer.sep_id]
        if None in self._around:
            raise ValueError(
                "`add_special_tokens` must be False for a tokenizer without tokens for "
                f"start and end. Received: {tokenizer} with {sorted(tokenizer.special_ids)}"
            )
        if not isinstance(max_length, int) or max_length <= len(self._around):
            raise ValueError(
                f"`max_length` must be an integer greater than {len(self._around)}. "
                f"Received: max_length={max_length!r}"
            )
        check_side("padding_side", padding_side)

    @property
    def vocab_size(self):
        """Number of token ids."""
        return self.tokenizer.vocab_size

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {
            "tokenizer": self.tokenizer.to_form(),
            "max_length": self.max_length,
            "add_special_tokens": self.add_special_tokens,
            "truncate": self.truncate,
            "padding_side": self.padding_side,
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**{**config, "tokenizer": tokenizer_from_form(config["tokenizer"])})

    def __call__(self, texts, pad_to=None):
        """Model inputs of texts.

        Args:
            texts: a string or a sequence of strings.
            pad_to: length of the rows, for shapes that stay the same; None for that
                of the longest text.

        Returns:
            A dict of `token_ids` and `padding_mask` (1 at tokens, 0 at padding), both
            int32 `[B, S]`.

        Raises:
            ValueError: no text, something that is no string, or a text that is
                longer than `max_length` (without `truncate`) or `pad_to`.
        """
        rows = self.tokenizer.encode_batch([texts] if isinstance(texts, str) else texts)
        if not rows:
            raise ValueError("`texts` must hold at least one text. Received none.")
        if self.truncate:
            rows = [row[: self.max_length - len(self._around)] for row in rows]
        if self._around:
            start, end = np.array(self._around, "int32")[:, None]
            rows = [np.concatenate([start, row, end]) for row in rows]
        note = ", special ones included"
        return model_inputs(
            rows, self, self.tokenizer.pad_id, pad_to, "texts", "tokens", note
        )


def model_inputs(rows, preprocessor, pad_id, pad_to, name, unit, note=""):
    """Rows of ids as inputs of a model.

    Args:
        rows: a list of integers `[n]`, one or more.
        preprocessor: whose `max_length` and `padding_side` count.
        pad_id: id of padding; None for 0.
        pad_to: length of the rows that come out; None for that of the longest.
        name: of the argument that they come from, for the error.
        unit: what they are rows of, likewise.
        note: what else to say of their number.

    Returns:
        A dict of `token_ids` and `padding_mask`, both int32 `[B, S]`.

    Raises:
        ValueError: a row longer than `max_length` or `pad_to`.
    """
    lengths = np.array([len(row) for row in rows])
    max_length = preprocessor.max_length
    limit = max_length if pad_to is None else min(pad_to, max_length)
    if lengths.max() > limit:
        index = int(np.argmax(lengths > limit))
        raise ValueError(
            f"`{name}` must have at most {limit} {unit} each{note}. Received: "
            f"{name}[{index}] with {lengths[index]} {unit}, max_length={max_length}, "
            f"pad_to={pad_to}"
        )
    # A batch of empty rows still has a place, so that no axis is empty.
    length = max(1, lengths.max()) if pad_to is None else pad_to
    ids, mask = pad(rows, pad_id, length, preprocessor.padding_side)
    return {"token_ids": ids, "padding_mask": mask}


def pad(rows, pad_id, length, side="right"):
    """Rows of ids, one length.

    Args:
        rows: a list of integers `[n]`, none longer than `length`.
        pad_id: id of padding; None for 0. Nothing may depend on it: the mask counts.
        length: of the rows that come out.
        side: where padding goes, "right" or "left".

    Returns:
        `(ids, mask)`, int32 `[B, length]`; the mask is 1 at what was in `rows`.

    Raises:
        ValueError: a row that is too long, or an unknown side.

    Example:
    >>> pad([[7], [8, 9]], pad_id=0, length=3, side="left")[0].tolist()
    [[0, 0, 7], [0, 8, 9]]
    """
    check_side("side", side)
    lengths = np.array([len(row) for row in rows], "int64")
    if lengths.max(initial=0) > length:
        raise ValueError(
            f"`rows` must not be longer than length={length}. Received: {lengths.max()}"
        )
    place = np.arange(length)
    if side == "left":
        place = place[::-1]
    mask = place < lengths[:, None]  # [B, length]
    ids = np.full(mask.shape, 0 if pad_id is None else pad_id, "int32")
    if lengths.any():
        ids[mask] = np.concatenate(rows)
    return ids, mask.astype("int32")


def check_side(name, side):
    """Raise a ValueError unless `side` is one of `SIDES`."""
    if side not in SIDES:
        raise ValueError(f"`{name}` must be one of {SIDES}. Received: {name}={side!r}")
