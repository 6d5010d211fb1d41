"""Batches to train a model on that continues performances."""

import numpy as np

from keras_perceiver.data.causal import next_tokens
from keras_perceiver.data.pipeline import check_batch_size
from keras_perceiver.data.rows import checked_rows, row_count
from keras_perceiver.preprocessing import pad
from keras_perceiver.preprocessing.midi import MIDI_PAD_ID


def midi_batches(tokens, model, batch_size=64, seed=None, min_length=None, length=None):
    """Batches of pieces of performances, and what comes after each event in them.

    A piece of the corpus that goes across the end of a performance keeps its longest
    part within one, and is filled up with padding at the left.

    With a seed: endless random crops, without an incomplete last batch;
    `midi_batches(...)[k:]` resumes at step k with what an uninterrupted run would have
    seen, and `shard` gives one of several processes its part. Without a seed:
    consecutive pieces, each once, the same in each run.

    Args:
        tokens: integers `[N]`, of `keras_perceiver.data.midi_tokens`.
        model: a `SymbolicAudioLM`; its `preprocessor` is a `MidiPreprocessor`.
        batch_size: rows a batch.
        seed: of the crops, or None.
        min_length: crop random lengths of at least as many events; None for full
            rows. Needs a seed.
        length: of a row in events; None for the preprocessor's `max_length`.

    Returns:
        A `grain.MapDataset` of `(inputs, labels, sample_weight)`: a dict of
        `token_ids` and `padding_mask`, int32 `[B, S]`; the events one position on,
        int32 `[B, L]`, for the last L positions, which the model predicts; and float32
        `[B, L]`, 1 at events, 0 at padding. `keras_perceiver.training.TokenCrossentropy`
        is the mean over events.

    Raises:
        ValueError: tokens that are no events, fewer than a row or a batch of rows, or
            lengths out of range: before training starts.

    Reference:
        `SymbolicAudioDataModule` of krasserm/perceiver-io. There held-out pieces are
        random as well, so that no two evaluations agree.
    """
    import grain

    preprocessor, length = checked_rows(tokens, model, length, min_length, seed)
    max_latents = model.max_latents  # no model goes to worker processes
    # One event more than a row: the label of the last position.
    count = row_count(tokens, length + 1)
    check_batch_size(batch_size, count, f"rows of {length} events", seed)

    def piece(index):
        return longest_part(tokens[index * (length + 1) : (index + 1) * (length + 1)])

    def crop(_, rng):
        size = 1 + int(rng.integers(min_length or length, length, endpoint=True))
        start = int(rng.integers(len(tokens) - size, endpoint=True))
        return longest_part(tokens[start : start + size])

    def predicted(pieces):
        ids, mask = pad(pieces, MIDI_PAD_ID, length + 1, preprocessor.padding_side)
        return next_tokens(ids, mask, max_latents)

    dataset = grain.MapDataset.range(count)
    if seed is None:
        return dataset.map(piece).batch(batch_size, batch_fn=list).map(predicted)
    dataset = dataset.seed(seed).random_map(crop)
    dataset = dataset.batch(batch_size, drop_remainder=True, batch_fn=list)
    return dataset.map(predicted).repeat()


def longest_part(ids):
    """The longest part of some ids `[n]` without padding; the first of equal ones.

    Example:
    >>> longest_part(np.array([7, 388, 8, 9, 388, 1])).tolist()
    [8, 9]
    """
    ends = np.flatnonzero(ids == MIDI_PAD_ID)
    edges = np.concatenate([[-1], ends, [len(ids)]])
    i = int(np.argmax(np.diff(edges)))
    return ids[edges[i] + 1 : edges[i + 1]]
