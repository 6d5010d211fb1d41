"""Dropout whose randomness is an argument, so that it can be recomputed."""

import keras


class FixedSeed(keras.random.SeedGenerator):
    """A seed generator that always gives the seed tensor it was made with.

    `keras.random` takes an integer or a generator, never a seed tensor, and a
    generator called inside `keras.remat` draws another mask in the recomputation
    than it drew in the forward pass: silently wrong gradients on TensorFlow and
    PyTorch, a leaked tracer on JAX. So seeds are drawn outside and wrapped here.
    """

    _initial_seed = 0

    def __init__(self, seed):  # no variable of its own: not calling super
        self.seed = seed

    def next(self, ordered=True):
        """The seed tensor, unchanged."""
        return self.seed


def dropout(x, rate, seed):
    """Zero elements of `x` with probability `rate`, scale the others up.

    Args:
        x: a tensor of any shape.
        rate: float in [0, 1).
        seed: a seed tensor, as `keras.random.SeedGenerator.next` gives; None
            outside training, when `x` comes back as it is.
    """
    if seed is None or not rate:
        return x
    return keras.random.dropout(x, rate, seed=FixedSeed(seed))


def seed_of_part(seed, start):
    """A seed for the part that starts at `start`: parts must not share one mask.

    Args:
        seed: a seed tensor, or None, which is returned.
        start: an integer or an integer tensor.
    """
    return None if seed is None else seed + keras.ops.cast(start, seed.dtype)
