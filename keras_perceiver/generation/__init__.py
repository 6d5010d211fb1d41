"""Generation with Perceiver AR: fixed-size caches, and a loop compiled per backend."""

from keras_perceiver.generation.generate import generate, stream
from keras_perceiver.generation.samplers import Greedy, TopK

__all__ = ["Greedy", "TopK", "generate", "stream"]
