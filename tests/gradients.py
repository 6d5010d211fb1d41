"""Gradients of functions and of a layer's weights, on any backend."""

import keras
import numpy as np
from keras import ops


def weight_gradients(layer, loss):
    """The value of `loss()` and its gradients, by weight path, as numpy arrays."""
    weights = layer.trainable_weights
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def stateless(values):
            state = list(zip(weights, values, strict=True))
            with keras.StatelessScope(state_mapping=state):
                return loss()

        value, grads = jax.value_and_grad(stateless)([w.value for w in weights])
    elif backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        grads = tape.gradient(value, [w.value for w in weights])
    else:
        layer.zero_grad()
        value = loss()
        value.backward()
        grads = [w.value.grad for w in weights]
    assert all(g is not None for g in grads)
    arrays = [np.array(ops.convert_to_numpy(g)) for g in grads]
    return float(value), dict(zip([w.path for w in weights], arrays, strict=True))


def numeric_directional(layer, loss, direction, step):
    """Derivative of `loss()` along `direction` (by weight path), by differences."""
    values = {w.path: w.numpy() for w in layer.trainable_weights}

    def at(distance):
        for w in layer.trainable_weights:
            w.assign(values[w.path] + distance * direction[w.path])
        return float(loss())

    slope = (at(step) - at(-step)) / (2 * step)
    at(0.0)
    return slope


def gradient(function, *arrays):
    """Gradients of the sum of squares of a function's output, on any backend."""
    backend = keras.backend.backend()

    def loss(*xs):
        return ops.sum(ops.square(function(*xs)))

    if backend == "jax":
        import jax

        grads = jax.grad(loss, argnums=tuple(range(len(arrays))))(*arrays)
    elif backend == "tensorflow":
        import tensorflow as tf

        xs = [tf.constant(x) for x in arrays]
        with tf.GradientTape() as tape:
            tape.watch(xs)
            value = loss(*xs)
        grads = tape.gradient(value, xs)
    else:
        import torch

        xs = [torch.tensor(x, requires_grad=True) for x in arrays]
        loss(*xs).backward()
        grads = [x.grad for x in xs]
    return [ops.convert_to_numpy(g) for g in grads]
