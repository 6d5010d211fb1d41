"""The smallest Perceiver AR models with every part, for tests that need any."""

import functools

import numpy as np

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

MAX_LENGTH = 40
MAX_LATENTS = 8
VOCAB_SIZE = 262


def causal_lm(**options):
    """A CausalLM of bytes, with random weights that all matter."""
    dropout = options.pop("dropout", 0.0)
    spec = AttentionSpec(
        num_heads=2, widening_factor=2, dropout=dropout, residual_dropout=dropout
    )
    model = kp.models.CausalLM(
        **{
            "vocab_size": VOCAB_SIZE,
            "max_length": MAX_LENGTH,
            "channels": 16,
            "max_latents": MAX_LATENTS,
            "num_layers": 2,
            "attention": spec,
            **options,
        }
    )
    contract.randomize(model, np.random.default_rng(1))
    return model


@functools.cache
def shared_lm():
    """One for all tests that only read it: its programs are compiled once."""
    return causal_lm()


def ids(rows, length, seed=0):
    """Random token ids `[rows, length]`."""
    rng = np.random.default_rng(seed)
    return rng.integers(6, VOCAB_SIZE, size=(rows, length)).astype("int32")


def inputs(token_ids, padding=0):
    """Inputs of a model, with other tokens as padding on the left."""
    filler = ids(len(token_ids), padding, seed=9)
    mask = np.ones((len(token_ids), padding + token_ids.shape[1]), "int32")
    mask[:, :padding] = 0
    return {
        "token_ids": np.concatenate([filler, token_ids], axis=1),
        "padding_mask": mask,
    }


def reset_seeds(layer, value=5):
    """Make the next draw of each seed generator in a layer or model a known one."""
    states = [v for v in layer.variables if v.path.endswith("seed_generator_state")]
    for i, state in enumerate(states):
        state.assign(np.array([value, i]))
    return len(states)


def forced(sequence):
    """A sampler that draws what it is told, whatever the logits."""
    return Forced(tuple(tuple(row) for row in sequence))


class Forced:
    """Token ids `[B, T]` in turn; a smaller batch has the first rows."""

    def __init__(self, sequence):
        self.sequence = sequence

    def __hash__(self):
        return hash(self.sequence)

    def __eq__(self, other):
        return type(other) is type(self) and other.sequence == self.sequence

    def __call__(self, logits, seed):
        from keras import ops

        table = ops.convert_to_tensor(np.array(self.sequence, "int32"))
        return ops.take(table[: logits.shape[0]], ops.cast(seed[1], "int32"), axis=1)
