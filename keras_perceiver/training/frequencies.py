"""What a language model must beat."""

import numpy as np

# Tokens that are counted at once: a corpus may exceed the memory.
BLOCK = 2**24


def unigram_entropy(tokens, batches, vocab_size):
    """Loss of a model that knows nothing but how frequent each token is.

    The cross-entropy of the frequencies in the training tokens, on what is to be
    predicted in held-out batches. Each token of the vocabulary counts once more than it
    occurs, so that what training never saw has a probability too.

    Args:
        tokens: integers `[N]` to train on, of `keras_perceiver.data.tokens`.
        batches: of `keras_perceiver.data.masked_batches`, without a seed.
        vocab_size: number of token ids.

    Returns:
        Nats per predicted token, a float.

    Raises:
        ValueError: batches in which nothing is to be predicted.

    Example:
    >>> tokens, labels = np.array([0, 0, 0, 1]), np.array([[0, 1]])
    >>> float(np.exp(-unigram_entropy(tokens, [(None, labels, labels == 0)], 2)))
    0.6666666666666666
    """
    counts = np.ones(vocab_size, "int64")
    for start in range(0, len(tokens), BLOCK):
        counts += np.bincount(tokens[start : start + BLOCK], minlength=vocab_size)
    nats = np.log(counts.sum()) - np.log(counts)  # [V]
    total = weight = 0.0
    for _, labels, weights in batches:
        total += float((nats[labels] * weights).sum())
        weight += float(weights.sum())
    if weight == 0:
        raise ValueError("`batches` must have tokens to predict. Received none.")
    return total / weight
