"""From logits to the next token."""

import copy
import dataclasses
import functools

import keras
from keras import ops, random

from keras_perceiver.ops.dropout import FixedSeed


@dataclasses.dataclass(frozen=True)
class Greedy:
    """The likeliest token.

    Example:
    >>> Greedy()(ops.array([[0.0, 2.0, 1.0]]), seed=None)[0] == 1
    True
    """

    def __call__(self, logits, seed):
        """Ids `[B]` int32, of logits `[B, V]`; `seed` is not used."""
        return ops.cast(ops.argmax(logits, axis=-1), "int32")


@dataclasses.dataclass(frozen=True)
class TopK:
    """One of the `k` likeliest tokens, drawn by their probability.

    Args:
        k: how many are candidates.
        temperature: below 1 for likelier tokens, above 1 for more surprise.

    Raises:
        ValueError: `k` below 1, or a temperature that is not positive.
    """

    k: int = 10
    temperature: float = 1.0

    def __post_init__(self):
        if self.k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={self.k}")
        if not self.temperature > 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={self.temperature}"
            )

    def __call__(self, logits, seed):
        """Ids `[B]` int32, of logits `[B, V]` and a seed tensor."""
        k, batch = min(self.k, logits.shape[-1]), logits.shape[0]
        if keras.backend.backend() == "jax" and not isinstance(batch, int):
            # While JAX exports: of jax 0.10, TensorFlow 2.21 reads only the `top_k` of a
            # number that depends on the batch. Nothing is subtracted from it.
            k = k - batch // 2**30 % 2
        logits, ids = ops.top_k(logits, k)
        drawn = random.categorical(
            logits / self.temperature, 1, dtype="int32", seed=FixedSeed(seed)
        )
        return ops.cast(ops.take_along_axis(ids, drawn, axis=1)[:, 0], "int32")


@dataclasses.dataclass(frozen=True)
class FromKerasNLP:
    """A sampler of keras-nlp that draws one token at a time: random, top-p, ..."""

    sampler: object

    def __call__(self, logits, seed):
        """Ids `[B]` int32, of logits `[B, V]` and a seed tensor."""
        sampler = copy.copy(self.sampler)
        # Its own generator is a variable, which a compiled loop could not carry; and
        # it would keep the one that it is given, were it set in the usual way.
        vars(sampler)["seed_generator"] = FixedSeed(seed)
        probabilities = sampler.compute_probabilities(logits)
        return ops.cast(sampler.get_next_token(probabilities), "int32")


@dataclasses.dataclass(frozen=True)
class Search:
    """A sampler of keras-nlp that weighs several continuations: see `search`."""

    sampler: object


OWN = {"greedy": Greedy, "top_k": TopK}
SEARCHES = ("BeamSampler", "ContrastiveSampler")


def get(sampler):
    """A function from logits `[B, V]` and a seed tensor to ids `[B]`, or a `Search`.

    Args:
        sampler: "greedy" or "top_k"; the name of a sampler of keras-nlp ("random",
            "top_p", "beam", "contrastive"), which needs that package; or an object,
            of these or of one's own.

    Raises:
        ValueError: an unknown name, or a sampler that does not return one
            continuation.
        ImportError: a name of keras-nlp's, which is not installed.
    """
    if isinstance(sampler, str):
        return OWN[sampler]() if sampler in OWN else _named(sampler)
    if hasattr(sampler, "compute_probabilities"):
        if type(sampler).__name__ == "SpeculativeSampler" or getattr(
            sampler, "return_all_beams", False
        ):
            raise ValueError(
                "`sampler` must return one continuation, of this model alone. Received: "
                f"{type(sampler).__name__}"
            )
        searches = type(sampler).__name__ in SEARCHES
        return Search(sampler) if searches else FromKerasNLP(sampler)
    if not callable(sampler):
        raise ValueError(
            f"`sampler` must be a name or a sampler. Received: sampler={sampler!r}"
        )
    return sampler


@functools.cache  # one object a name: programs are compiled for the object
def _named(name):
    from keras_nlp import samplers

    try:
        found = samplers.get(name)
    except (KeyError, TypeError, ValueError):
        found = None
    if not hasattr(found, "compute_probabilities"):  # a name may come back as it is
        raise ValueError(
            f"`sampler` must be one of {sorted(OWN)} or the name of a sampler of "
            f"keras-nlp. Received: sampler={name!r}"
        )
    return get(found)
