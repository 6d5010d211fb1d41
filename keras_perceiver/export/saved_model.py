"""TensorFlow SavedModel, from TensorFlow and from JAX."""

import keras
import numpy as np

from keras_perceiver.export.generation import Generation
from keras_perceiver.files import atomic_folder
from keras_perceiver.layers import LearnedPositions
from keras_perceiver.models.causal_sequence import CausalSequenceModel

# Largest difference between the model and what was written that counts as equal,
# relative to the largest output: XLA and TensorFlow round differently.
TOLERANCE = 1e-4


def saved_model(model, path, **options):
    """Write a SavedModel that takes batches of any size, and verify it.

    The result needs neither this package nor Keras: `tf.saved_model.load(path)`
    gives an object whose `serve` takes what the model takes (an array, or a dict of
    arrays by input name). An optional mask becomes a required input: serve ones
    where there is no padding. That of a `CausalLM` or `SymbolicAudioLM` generates too,
    by `prefill`, `decode_step` and `generate`: see `keras_perceiver.export.generation`.

    Args:
        model: a functional model; its inputs of unknown size stay so. All inputs
            share one batch size, and those with an unknown length one length.
        path: folder to write, replaced if it exists, once the new one is complete.
        **options: of a model that generates: `num_latents`, `sampler` and `stop_ids`, of
            `keras_perceiver.export.generation.Generation`.

    Raises:
        ValueError: the backend is PyTorch, an option out of its range or of another
            kind of model, or what was written computes something else than the model.
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
    generates = isinstance(model, CausalSequenceModel)
    if options and not generates:
        raise ValueError(
            f"Only models that generate have options. Received: {options} for a model of "
            f"class {type(model).__name__}"
        )
    import tensorflow as tf

    generation = Generation(model, **options) if generates else None
    # The graph alone: an optimizer's slots are not served, and TensorFlow cannot save
    # those of Keras' SGD with momentum.
    graph = keras.Model(model.input, model.output, name=model.name)
    archive = keras.export.ExportArchive()
    signature = keras.tree.map_structure(_input_spec, model._inputs_struct)
    archive.track_and_add_endpoint("serve", graph, [signature], **_jax_options(model))
    if generation:
        # JAX's archive has them in this order; TensorFlow's functions know their own.
        variables = graph.trainable_variables + graph.non_trainable_variables
        weights = list(zip(variables, archive.variables, strict=True))
        for name, endpoint in generation.endpoints(weights).items():
            archive.add_endpoint(name, endpoint)
    with atomic_folder(path) as folder:
        archive.write_out(folder, verbose=False)
        loaded = tf.saved_model.load(folder)  # an endpoint would not keep it alive
        for batch_size in (1, 3):
            _verify(*_served(model, loaded, batch_size))
        for ours, theirs in generation.pairs(loaded) if generation else ():
            _verify(ours, theirs)


def _input_spec(tensor):
    return keras.InputSpec(tensor.dtype, tensor.shape, name=tensor.name)


def _jax_options(model):
    """What JAX must know of the sizes that are unknown."""
    if keras.backend.backend() != "jax":
        return {}
    # Keras would give every unknown size a symbol of its own, and the graph could not
    # add a mask of one length to scores of another.
    shapes = keras.tree.map_structure(_symbolic_shape, model._inputs_struct)
    return {
        "jax2tf_kwargs": {
            "polymorphic_shapes": [shapes],
            "polymorphic_constraints": _length_constraints(model),
            "with_gradient": False,  # it is served, not trained
        }
    }


def _symbolic_shape(tensor):
    sizes = ["batch" if tensor.shape[0] is None else str(tensor.shape[0])]
    sizes += ["length" if n is None else str(n) for n in tensor.shape[1:]]
    return f"({', '.join(sizes)})"


def _length_constraints(model):
    """What is known of the unknown length: no table of positions is shorter."""
    if all(None not in tensor.shape[1:] for tensor in model.inputs):
        return []  # of images, every length is known
    return [f"length <= {size}" for size in _table_sizes(model)]


def _table_sizes(model):
    tables = [x for x in model.layers if isinstance(x, LearnedPositions)]
    return [table.positions.shape[0] for table in tables]


def _served(model, loaded, batch_size):
    """What the model gives for an example, and what a SavedModel gives."""
    rng, length = np.random.default_rng(0), min([16, *_table_sizes(model)])

    def example(tensor):
        shape = [batch_size, *(length if n is None else n for n in tensor.shape[1:])]
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" in dtype:
            return rng.normal(size=shape).astype(dtype)
        return rng.integers(0, 2, size=shape).astype(dtype)

    inputs = keras.tree.map_structure(example, model._inputs_struct)
    return model.predict_on_batch(inputs), loaded.serve(inputs)


def _verify(expected, actual):
    expected, actual = keras.tree.flatten(expected), keras.tree.flatten(actual)
    for ours, theirs in zip(expected, actual, strict=True):
        ours = keras.ops.convert_to_numpy(ours).astype("float32")
        theirs = np.asarray(theirs).astype("float32")
        error = np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1.0)
        if not error <= TOLERANCE:
            raise ValueError(
                "The SavedModel computes something else than the model: relative "
                f"difference {error:g}, expected at most {TOLERANCE:g}."
            )
