"""TensorFlow SavedModel, from TensorFlow and from JAX."""

import keras
import numpy as np

from keras_perceiver.files import atomic_folder
from keras_perceiver.layers import LearnedPositions

# Largest difference between the model and what was written that counts as equal,
# relative to the largest output: XLA and TensorFlow round differently.
TOLERANCE = 1e-4


def saved_model(model, path):
    """Write a SavedModel that takes batches of any size, and verify it.

    The result needs neither this package nor Keras: `tf.saved_model.load(path)`
    gives an object whose `serve` takes what the model takes (an array, or a dict of
    arrays by input name). An optional mask becomes a required input: serve ones
    where there is no padding.

    Args:
        model: a functional model; its inputs of unknown size stay so. All inputs
            share one batch size, and those with an unknown length one length.
        path: folder to write, replaced if it exists, once the new one is complete.

    Raises:
        ValueError: the backend is PyTorch, or what was written computes something
            else than the model.
        ImportError: TensorFlow is not installed (needed under JAX too).

    Example:
    ```python
    kp.export.saved_model(model, "saved_model")
    # elsewhere, with TensorFlow alone
    logits = tf.saved_model.load("saved_model").serve(images)
    ```
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(
            f"SavedModel export needs the TensorFlow or JAX backend. Received: {backend}. "
            "Save a preset (keras_perceiver.presets.save), and export it in a process with "
            "KERAS_BACKEND=tensorflow: keras-perceiver export PRESET --output=FOLDER"
        )
    import tensorflow as tf

    options = {}
    if backend == "jax":
        # Keras would give every unknown size a symbol of its own, and the graph
        # could not add a mask of one length to scores of another.
        shapes = keras.tree.map_structure(_symbolic_shape, model._inputs_struct)
        options["jax2tf_kwargs"] = {
            "polymorphic_shapes": [shapes],
            "polymorphic_constraints": _length_constraints(model),
            "with_gradient": False,  # it is served, not trained
        }
    # The graph alone: an optimizer's slots are not served, and TensorFlow cannot save
    # those of Keras' SGD with momentum.
    graph = keras.Model(model.input, model.output, name=model.name)
    with atomic_folder(path) as folder:
        graph.export(str(folder), format="tf_saved_model", verbose=False, **options)
        loaded = tf.saved_model.load(str(folder))  # `serve` alone would not keep it alive
        for batch_size in (1, 3):
            _verify(model, loaded.serve, batch_size)


def _symbolic_shape(tensor):
    sizes = ["batch" if tensor.shape[0] is None else str(tensor.shape[0])]
    sizes += ["length" if n is None else str(n) for n in tensor.shape[1:]]
    return f"({', '.join(sizes)})"


def _length_constraints(model):
    """What is known of the unknown length: no table of positions is shorter."""
    tables = [x for x in model.layers if isinstance(x, LearnedPositions)]
    return [f"length <= {table.positions.shape[0]}" for table in tables]


def _verify(model, served, batch_size):
    rng = np.random.default_rng(0)

    def example(tensor):
        shape = [batch_size, *(16 if n is None else n for n in tensor.shape[1:])]
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" in dtype:
            return rng.normal(size=shape).astype(dtype)
        return rng.integers(0, 2, size=shape).astype(dtype)

    inputs = keras.tree.map_structure(example, model._inputs_struct)
    expected = keras.tree.flatten(model(inputs, training=False))
    actual = keras.tree.flatten(served(inputs))
    for ours, theirs in zip(expected, actual, strict=True):
        ours = keras.ops.convert_to_numpy(ours).astype("float32")
        theirs = np.asarray(theirs).astype("float32")
        error = np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1.0)
        if not error <= TOLERANCE:
            raise ValueError(
                "The SavedModel computes something else than the model: relative "
                f"difference {error:g}, expected at most {TOLERANCE:g}."
            )
