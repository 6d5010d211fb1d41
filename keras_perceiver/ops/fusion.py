"""Keeping XLA's CPU compiler from recomputing a whole network per gradient."""

import keras

from keras_perceiver.ops.devices import on_accelerator


def cut_fusion(x):
    """Identity, which XLA's CPU compiler cannot fuse across.

    XLA on CPU fuses the chain of residual additions and norms into every weight
    gradient that reads it, and so computes the chain over and over: a training
    step of 18 residual layers runs twice as slowly. A conditional whose outcome
    the compiler cannot know stops that (`jax.lax.optimization_barrier` does not:
    it is dropped before fusion). Other backends, GPU and TPU need nothing.
    """
    if keras.backend.backend() != "jax" or on_accelerator():
        return x
    import jax

    flag = x[(0,) * x.ndim]
    # True for every number, infinities included; unknown to the compiler for NaN.
    return jax.lax.cond(flag == flag, lambda y: y, lambda y: -y, x)
