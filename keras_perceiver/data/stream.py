"""Batches to train a language model on, from documents as they are read."""

from keras_perceiver.data.causal import next_tokens
from keras_perceiver.data.distributed import check_shard
from keras_perceiver.data.masked import HELD_OUT_SEED, masked
from keras_perceiver.data.pipeline import checked_preprocessor
from keras_perceiver.data.rows import check_min_length, check_needs_seed, checked_length
from keras_perceiver.data.token_ids import check_documents, document_marks, text_of
from keras_perceiver.preprocessing import Masking, join, pad, random_truncation


def masked_stream(
    documents,
    model,
    batch_size=64,
    seed=None,
    masking=Masking(),  # noqa: B008 (frozen)
    eos=False,
    special_tokens=False,
    shard=(0, 1),
    length=None,
):
    """Batches of masked rows of a corpus too large to tokenize first.

    Documents are read, tokenized, put one after the other, and cut into rows when
    they are needed: nothing is kept. With a seed: endless, documents in a new order
    each time through, without the incomplete last batch, with new masks. Without:
    each document once, in order, with the same masks in each run; the last row is
    filled up with padding.

    The state of its iterator (`get_state`, `set_state`) resumes where it was.

    Args:
        documents: a sequence of strings, or of `(text, label)`, whose labels are left
            out; it is read by random access, for example that of `tfds_text("c4/en")`.
        model: a `MaskedLM`; its `preprocessor` makes token ids.
        batch_size: rows a batch.
        seed: of order and masks, or None.
        masking: a `Masking`.
        eos: put the tokenizer's [EOS] after each document.
        special_tokens: put its [CLS] before and its [SEP] after each document.
        shard: `(index, count)`, for one of several processes: it sees each `count`-th
            document of the common order.
        length: of a row in tokens; None for the preprocessor's `max_length`.

    Returns:
        A `grain.IterDataset` of what `masked_batches` gives.

    Raises:
        ValueError: no text, fewer documents than shards, a shard that is none, rows too
            long for the model, or a tokenizer that lacks a token to put between
            documents.

    Reference:
        `C4DataModule` of krasserm/perceiver-io.
    """
    preprocessor = checked_preprocessor(model)
    tokenizer = preprocessor.tokenizer
    length = checked_length(length, preprocessor)
    marks = document_marks(tokenizer, eos, special_tokens)
    dataset = _rows(documents, preprocessor, length, batch_size, seed, marks, shard)

    def mask(batch, rng):
        return masked(*batch, masking, tokenizer, rng)

    return dataset.random_map(mask, seed=_own_seed(seed, shard))


def causal_stream(
    documents,
    model,
    batch_size=64,
    seed=None,
    eos=True,
    min_length=None,
    shard=(0, 1),
    length=None,
):
    """Batches of rows, and what comes next, of a corpus too large to tokenize first.

    Documents are read, tokenized, put one after the other, and cut into rows when
    they are needed: nothing is kept. With a seed: endless, documents in a new order
    each time through, without the incomplete last batch. Without: each document once,
    in order; the last row is filled up with padding.

    The state of its iterator (`get_state`, `set_state`) resumes where it was.

    Args:
        documents: a sequence of strings, or of `(text, label)`, whose labels are left
            out; it is read by random access, for example that of `tfds_text("c4/en")`.
        model: a `CausalLM`; its `preprocessor` makes token ids.
        batch_size: rows a batch.
        seed: of order and lengths, or None.
        eos: put the tokenizer's [EOS] after each document, so that the model learns
            where one ends.
        min_length: cut each row to a random length of at least as many tokens; None for
            full rows. Needs a seed. Rows are filled up with padding at the left.
        shard: `(index, count)`, for one of several processes: it sees each `count`-th
            document of the common order.
        length: of a row in tokens; None for the preprocessor's `max_length`. A row
            takes one token more: the label of its last position.

    Returns:
        A `grain.IterDataset` of what `causal_batches` gives.

    Raises:
        ValueError: no text, fewer documents than shards, a shard that is none, lengths
            out of range, or a tokenizer without [EOS].

    Reference:
        `C4DataModule` of krasserm/perceiver-io, which puts 16 documents together and
        drops what is left of them.
    """
    preprocessor = checked_preprocessor(model)
    length = checked_length(length, preprocessor)
    check_needs_seed(seed, min_length=min_length)
    check_min_length(min_length, length)
    marks = document_marks(preprocessor.tokenizer, eos, special_tokens=False)
    # With the label of the last position.
    dataset = _rows(documents, preprocessor, length + 1, batch_size, seed, marks, shard)

    def truncated(batch, rng):
        pad_id, side = preprocessor.tokenizer.pad_id, preprocessor.padding_side
        return random_truncation(batch[0], min_length + 1, pad_id, rng, side)

    if min_length is not None:
        dataset = dataset.random_map(truncated, seed=_own_seed(seed, shard))
    max_latents = model.max_latents  # no model goes to worker processes
    return dataset.map(lambda batch: next_tokens(*batch, max_latents))


def _rows(documents, preprocessor, length, batch_size, seed, marks, shard):
    """Documents one after the other in batches of token ids and padding mask `[B, S]`."""
    import grain

    index, count = shard
    check_shard(index, count)
    check_documents(documents)
    if len(documents) < count:
        raise ValueError(
            f"`documents` must hold at least one text for each shard, {count}. Received: "
            f"{len(documents)}"
        )
    tokenizer, side = preprocessor.tokenizer, preprocessor.padding_side

    def encode(record):
        return {"ids": join(tokenizer.encode_batch([text_of(record)]), *marks)}

    def padded(batch):
        # Rows at the end are filled up; what is of no document is padding.
        lengths = (batch["ids_segment_ids"] > 0).sum(axis=1)  # [B]
        rows = [row[:n] for row, n in zip(batch["ids"], lengths, strict=True)]
        return pad(rows, tokenizer.pad_id, length, side)

    dataset = grain.MapDataset.source(documents)
    if seed is not None:
        dataset = dataset.seed(seed).shuffle().repeat()
    dataset = dataset[index::count].map(encode).to_iter_dataset()
    dataset = dataset.filter(lambda x: len(x["ids"]) > 0)
    dataset = grain.experimental.ConcatThenSplitIterDataset(
        dataset, length_struct={"ids": length}
    )
    return dataset.batch(batch_size, drop_remainder=seed is not None).map(padded)


def _own_seed(seed, shard):
    """Processes draw their own random numbers."""
    index, count = shard
    return HELD_OUT_SEED if seed is None else seed * count + index
