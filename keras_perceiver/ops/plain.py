"""Functions on tensors without what Keras does around each."""

import keras
from keras import ops


def plain_ops():
    """Where `reshape`, `stack` and the like are: `keras.ops`, or `torch` on PyTorch.

    Keras looks at all arguments of its functions to find symbolic ones. For the numbers
    of one token that takes PyTorch several times as long as the work; other backends do
    it once, while they compile. Both have arguments in the same order; axes last.
    """
    if keras.backend.backend() != "torch":
        return ops
    import torch

    return torch


def rows(table, index):
    """Rows `[..., C]` of a table `[N, C]`, by integers `[...]` from 0 to N - 1."""
    if keras.backend.backend() != "torch":
        return ops.take(table, index, axis=0)
    from torch.nn.functional import embedding

    return embedding(index, table)
