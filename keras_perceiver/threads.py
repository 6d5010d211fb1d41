"""Models that answer in several threads."""

import contextlib
import threading

import keras

_LENT = threading.RLock()


def weights_in_place():
    """A context in which no `predict` of another thread has the weights of a model.

    Keras on JAX takes them out of the model until `predict` is done. Models share layers,
    so the lock is one for all. Nothing is locked on other backends.
    """
    return _LENT if keras.backend.backend() == "jax" else contextlib.nullcontext()
