"""Batches to train a masked language model on, from documents as they are read."""

import numpy as np

from keras_perceiver.data.masked import HELD_OUT_SEED, masked
from keras_perceiver.data.pipeline import checked_preprocessor
from keras_perceiver.data.rows import checked_length
from keras_perceiver.data.token_ids import check_documents, document_marks, text_of
from keras_perceiver.preprocessing import Masking, join


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
    import grain

    preprocessor = checked_preprocessor(model)
    tokenizer = preprocessor.tokenizer
    length = checked_length(length, preprocessor)
    before, after = document_marks(tokenizer, eos, special_tokens)
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            "`shard` must be (index, count) with an index from 0 to count - 1. Received: "
            f"shard={shard}"
        )
    check_documents(documents)
    if len(documents) < count:
        raise ValueError(
            f"`documents` must hold at least one text for each shard, {count}. Received: "
            f"{len(documents)}"
        )

    def encode(record):
        rows = tokenizer.encode_batch([text_of(record)])
        return {"ids": join(rows, before, after)}

    def mask(row, rng):
        # Rows at the end are filled up; what is of no document is padding.
        padding_mask = (row["ids_segment_ids"] > 0).astype("int32")  # [B, S]
        ids = np.where(padding_mask, row["ids"], tokenizer.pad_id or 0)
        return masked(ids, padding_mask, masking, tokenizer, rng)

    dataset = grain.MapDataset.source(documents)
    if seed is not None:
        dataset = dataset.seed(seed).shuffle().repeat()
    dataset = dataset[index::count].map(encode).to_iter_dataset()
    dataset = dataset.filter(lambda x: len(x["ids"]) > 0)
    dataset = grain.experimental.ConcatThenSplitIterDataset(
        dataset, length_struct={"ids": length}
    )
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None)
    # Processes draw their own masks.
    own_seed = HELD_OUT_SEED if seed is None else seed * count + index
    return dataset.random_map(mask, seed=own_seed)
