"""All documents of a corpus as one array of token ids, made once and kept on disk."""

import hashlib
import itertools
import json
import os
import sys
import time

import numpy as np

from keras_perceiver.files import atomic_folder, read_json, write_json
from keras_perceiver.preprocessing.packing import join

# Part of the cache's key: another version does not read what this one wrote.
FORMAT = 1
TOKENS, MANIFEST = "tokens.npy", "manifest.json"
# Documents that are tokenized together: enough for tokenizers that work in parallel.
BATCH_DOCUMENTS = 256
SECONDS_BETWEEN_NOTES = 10


def tokens(documents, tokenizer, eos=False, special_tokens=False, cache=None):
    """Token ids of all documents, one document after the other.

    With a `cache` they are written to a file there as they are made, and read through
    the page cache (`numpy.memmap`), so a corpus may exceed the memory. The file is
    found again by the content of the documents, the tokenizer and the options; when it
    is broken, it is made again. Long work reports to standard error.

    Args:
        documents: a sequence of strings, or of `(text, label)`, whose labels are left
            out; for example `TextData.train`.
        tokenizer: a `Tokenizer`, for example `model.preprocessor.tokenizer`.
        eos: put the tokenizer's [EOS] after each document.
        special_tokens: put its [CLS] before and its [SEP] after each document.
        cache: folder to keep token ids in, or None for none.

    Returns:
        Integers `[N]`, uint16 if the vocabulary allows, else int32. With a `cache`
        they are read-only.

    Raises:
        ValueError: no documents, something that is no text, nothing but empty texts,
            or a tokenizer that lacks a token to put between them.

    Example:
    >>> from keras_perceiver.preprocessing import ByteTokenizer
    >>> tokens(["Hi", "Ho"], ByteTokenizer(), eos=True).tolist()
    [78, 111, 2, 78, 117, 2]
    """
    check_documents(documents)
    before, after = document_marks(tokenizer, eos, special_tokens)
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
    pieces = _checked(
        join(tokenizer.encode_batch(texts), before, after).astype(dtype)
        for texts in _batched(_reported(documents, "tokenized"))
    )
    if cache is None:
        return np.concatenate(list(pieces))
    form = [FORMAT, tokenizer.to_form(), before, after, dtype.__name__]
    folder = os.path.join(cache, _key(form, documents))
    ids = _read(folder)
    if ids is None:
        with atomic_folder(folder) as fresh:
            _write(fresh, pieces, dtype)
        ids = _read(folder)
    return ids


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


def _batched(texts):
    while batch := list(itertools.islice(texts, BATCH_DOCUMENTS)):
        yield batch


def _checked(pieces):
    count = 0
    for piece in pieces:
        count += len(piece)
        yield piece
    if count == 0:
        raise ValueError("`documents` must hold at least one token. Received none.")


def _reported(documents, done):
    """Texts of documents; from time to time says on standard error how far it is."""
    said = time.monotonic()
    for i in range(len(documents)):
        if time.monotonic() - said > SECONDS_BETWEEN_NOTES:
            said = time.monotonic()
            print(
                f"{done} {i:,} of {len(documents):,} documents ({i / len(documents):.0%})",
                file=sys.stderr,
                flush=True,
            )
        yield text_of(documents[i])


def _key(form, documents):
    """Digest of all that the token ids follow from."""
    digest = hashlib.sha256(json.dumps(form, sort_keys=True).encode())
    for text in _reported(documents, "looked up"):
        content = text.encode("utf-8", errors="surrogatepass")
        # The length tells ["ab", "c"] from ["a", "bc"].
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _write(folder, pieces, dtype):
    path = os.path.join(folder, TOKENS)
    count = 0
    with open(path, "wb") as file:
        _write_header(file, dtype, count)
        for piece in pieces:
            count += len(piece)
            file.write(piece.tobytes())
        # numpy leaves room in the header for the length to grow.
        file.seek(0)
        _write_header(file, dtype, count)
    write_json(os.path.join(folder, MANIFEST), {"sha256": _digest(path)})


def _write_header(file, dtype, count):
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": (count,)}
    )


def _read(folder):
    """Token ids in a folder of the cache, or None if they are not there or broken."""
    path = os.path.join(folder, TOKENS)
    try:
        if read_json(os.path.join(folder, MANIFEST)).get("sha256") != _digest(path):
            return None
        return np.load(path, mmap_mode="r")
    except (ValueError, OSError):
        return None


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
