"""All documents of a corpus as one array of token ids, made once and kept on disk."""

import dataclasses
import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from keras_perceiver.data.processes import in_processes
from keras_perceiver.data.shards import TokenShards, is_sound, write_shard
from keras_perceiver.preprocessing import Tokenizer
from keras_perceiver.preprocessing.packing import join

# Part of the cache's key: another version does not read what this one wrote.
FORMAT = 2
# Documents that are tokenized together: enough for tokenizers that work in parallel. A
# shard has no fewer.
BATCH_DOCUMENTS = 256
# Each is an open file. What is lost when the work is interrupted is one of so many parts.
MAX_SHARDS = 256
SECONDS_BETWEEN_NOTES = 10


def tokens(documents, tokenizer, eos=False, special_tokens=False, cache=None, workers=1):
    """Token ids of all documents, one document after the other.

    With a `cache` they are written there in up to 256 shards, and mapped into memory, so
    a corpus may exceed it. A shard is found again by the content of its documents, the
    tokenizer and the options, and checked against its checksum: what is missing or
    broken is made, so that work that was interrupted goes on where it was. Long work
    reports to standard error.

    Args:
        documents: a sequence of strings, or of `(text, label)`, whose labels are left
            out; for example `TextData.train`.
        tokenizer: a `Tokenizer`, for example `model.preprocessor.tokenizer`.
        eos: put the tokenizer's [EOS] after each document.
        special_tokens: put its [CLS] before and its [SEP] after each document.
        cache: folder to keep token ids in, or None for none.
        workers: processes that make shards at the same time; needs a `cache` if more
            than 1. Documents and tokenizer must pickle, and a script needs its
            `if __name__ == "__main__":`.

    Returns:
        Integers `[N]`, uint16 if the vocabulary allows, else int32. With a `cache`
        they are `TokenShards`, which read like an array; `numpy.asarray` makes one.

    Raises:
        ValueError: no documents, something that is no text, nothing but empty texts,
            a tokenizer that lacks a token to put between them, or workers without a
            cache.

    Example:
    >>> from keras_perceiver.preprocessing import ByteTokenizer
    >>> tokens(["Hi", "Ho"], ByteTokenizer(), eos=True).tolist()
    [78, 111, 2, 78, 117, 2]
    """
    if workers < 1 or (workers > 1 and cache is None):
        raise ValueError(
            "`workers` must be at least 1, and needs a `cache` if more. Received: "
            f"workers={workers}, cache={cache}"
        )
    check_documents(documents)
    corpus = _Corpus(documents, tokenizer, *document_marks(tokenizer, eos, special_tokens))
    count = len(documents)
    if cache is None:
        ids = np.concatenate(list(_reported(corpus.pieces(range(count)), count)))
    else:
        size = max(BATCH_DOCUMENTS, -(-count // MAX_SHARDS))
        shards = [range(i, min(i + size, count)) for i in range(0, count, size)]
        write = functools.partial(corpus.shard, cache=cache)
        folders = _reported(in_processes(write, shards, workers), count, size)
        ids = TokenShards(list(folders))
    if len(ids) == 0:
        raise ValueError("`documents` must hold at least one token. Received none.")
    return ids


@dataclasses.dataclass(frozen=True)
class _Corpus:
    """Documents, and how they become token ids.

    Args:
        documents: a sequence of strings, or of `(text, label)`.
        tokenizer: of them.
        before: ids in front of each document.
        after: ids after each.
    """

    documents: Sequence
    tokenizer: Tokenizer
    before: list
    after: list

    @property
    def dtype(self):
        """Of the ids."""
        return np.uint16 if self.tokenizer.vocab_size <= 2**16 else np.int32

    def pieces(self, part):
        """Ids of the documents with indices in a range, some documents at a time."""
        for start in range(part.start, part.stop, BATCH_DOCUMENTS):
            texts = list(self.texts(part[start - part.start :][:BATCH_DOCUMENTS]))
            ids = join(self.tokenizer.encode_batch(texts), self.before, self.after)
            yield ids.astype(self.dtype)

    def shard(self, part, cache):
        """Folder in the cache with the ids of those documents, made if it is not there."""
        folder = os.path.join(cache, self.key(part))
        if not is_sound(folder):
            write_shard(folder, self.pieces(part), self.dtype)
        return folder

    def key(self, part):
        """Digest of all that the ids of those documents follow from."""
        form = [FORMAT, self.tokenizer.to_form(), self.before, self.after]
        form.append(self.dtype.__name__)
        digest = hashlib.sha256(json.dumps(form, sort_keys=True).encode())
        for text in self.texts(part):
            content = text.encode("utf-8", errors="surrogatepass")
            # The length tells ["ab", "c"] from ["a", "bc"].
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
        return digest.hexdigest()

    def texts(self, part):
        """Those documents."""
        return (text_of(self.documents[i]) for i in part)


def document_marks(tokenizer, eos, special_tokens):
    """Ids to put before and after each document: two lists.

    Raises:
        ValueError: a tokenizer without such a token.
    """
    before = [("cls_id", tokenizer.cls_id)] * special_tokens
    after = [("sep_id", tokenizer.sep_id)] * special_tokens
    after += [("eos_id", tokenizer.eos_id)] * eos
    for name, value in before + after:
        if value is None:
            raise ValueError(
                f"`tokenizer` must have a `{name}` to put between documents. Received: "
                f"{tokenizer} with {sorted(tokenizer.special_ids)}"
            )
    return [value for _, value in before], [value for _, value in after]


def check_documents(documents):
    """Raise a ValueError unless there is some text in `documents`."""
    if isinstance(documents, (str, bytes)):
        raise ValueError(
            f"`documents` must be a sequence of texts. Received: {documents[:50]!r}"
        )
    # As a rule the first has some.
    if not any(text_of(documents[i]).strip() for i in range(len(documents))):
        raise ValueError(
            "`documents` must hold at least one text that is not empty. Received: "
            f"{len(documents)} texts"
        )


def text_of(record):
    """The text of a record, which may be `(text, label)`."""
    text = record[0] if isinstance(record, (tuple, list)) else record
    if not isinstance(text, str):
        raise ValueError(
            "`documents` must hold strings, or tuples of a string and a label. Received: "
            f"{record!r}"
        )
    return text


def _reported(results, count, size=BATCH_DOCUMENTS):
    """Results, each of `size` documents; says from time to time how far it is."""
    said = time.monotonic()
    for i, result in enumerate(results, 1):
        if time.monotonic() - said > SECONDS_BETWEEN_NOTES:
            said = time.monotonic()
            done = min(i * size, count)
            print(
                f"tokenized {done:,} of {count:,} documents ({done / count:.0%})",
                file=sys.stderr,
                flush=True,
            )
        yield result
