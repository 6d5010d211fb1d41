"""The tokenizer of the official language models: bytes of UTF-8."""

import numpy as np

from keras_perceiver.preprocessing.tokenizer import Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[BOS]", "[EOS]", "[MASK]", "[CLS]", "[SEP]")


class ByteTokenizer(Tokenizer):
    """Bytes of UTF-8 as ids from 6, after six special tokens: 262 ids.

    Ids are those of `transformers.PerceiverTokenizer`, and so is what a special token
    in a text does: it is found anywhere, and the white space around it stays.

    Args:
        parse_special_tokens: whether "[MASK]" in a string means the mask token, and
            so on. False for text that nobody vouches for.

    Example:
    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.encode("Hi [MASK]").tolist()
    [78, 111, 38, 3]
    >>> tokenizer.decode([78, 111, 3], skip_special_tokens=False)
    'Hi[MASK]'
    """

    def __init__(self, parse_special_tokens=True):
        special_ids = {text: i for i, text in enumerate(SPECIAL_TOKENS)}
        super().__init__(len(special_ids) + 256, special_ids, parse_special_tokens)

    def _encode_plain(self, texts):
        rows = [text.encode("utf-8") for text in texts]
        # All rows at once: a batch costs little more than one row.
        ids = np.frombuffer(b"".join(rows), "uint8").astype("int32")
        ids += len(SPECIAL_TOKENS)
        ends = np.cumsum([len(row) for row in rows], dtype="int64").tolist()
        return [ids[end - len(row) : end] for row, end in zip(rows, ends, strict=True)]

    def _decode(self, ids):
        special = self.special[ids]
        if not special.any():
            content = (ids - len(SPECIAL_TOKENS)).astype("uint8").tobytes()
        else:
            content = b"".join(
                SPECIAL_TOKENS[i].encode() if i < len(SPECIAL_TOKENS) else _byte(i)
                for i in ids.tolist()
            )
        return content.decode("utf-8", errors="replace")

    def _token_texts(self):
        return [*SPECIAL_TOKENS, *map(chr, range(256))]


def _byte(i):
    return bytes([i - len(SPECIAL_TOKENS)])
