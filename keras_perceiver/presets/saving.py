"""Write a preset."""

import os

import keras
import ml_dtypes  # noqa: F401 (numpy knows bfloat16 once it is imported)
import numpy as np

import keras_perceiver
from keras_perceiver import processes
from keras_perceiver.converters.apply import weight_shapes
from keras_perceiver.files import atomic_folder, write_json, write_tensors
from keras_perceiver.layers.adaptation import adaptation
from keras_perceiver.presets.form import to_form
from keras_perceiver.presets.loading import (
    ADAPTATION,
    CONFIG,
    LIBRARY,
    PREPROCESSOR,
    WEIGHTS,
    adapted_model,
)

METADATA = "metadata.json"
DTYPES = ("float32", "bfloat16", "float16")


def save(model, path, source=None, licence=None, dtype="float32"):
    """Write a model as a preset folder that `load` reads, on any backend.

    The folder appears complete or not at all; an earlier preset at `path` is
    replaced in one step. Of several processes that train one model, all must call it,
    and the first one writes.

    Args:
        model: a model of `keras_perceiver.models`. Quantized weights (int8, or int4 in
            pairs) are stored as they are, and the factors of LoRA beside the weights they
            adapt: `load` gives a model to train on.
        path: of the folder.
        source: where the weights come from, for `metadata.json`.
        licence: of the weights, for `metadata.json`.
        dtype: of weights that are not quantized, in the file alone: "float32", or
            "bfloat16" or "float16" for half the size and 3 digits.

    Raises:
        ValueError: another `dtype`, a model that is not of this library or that its
            arguments do not describe (other quantization than int8 and int4, or changed
            layers), or a `path` that holds something else.
        OSError: `path` cannot be written, by the first process if there are several.

    Example:
    >>> import tempfile
    >>> from keras_perceiver.presets.loading import load
    >>> model = load("perceiver_io_mnist_small", load_weights=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/mnist")
    ...     load(f"{folder}/mnist").count_params()
    805035
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
    form = to_form(model)
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a model. Received: {type(model).__name__}")
    states = adaptation(model)
    _check_weights(model, form, states)
    if states:
        form[ADAPTATION] = states
    weights = {weight.path: _array(weight, dtype) for weight in model.weights}
    versions = {
        "keras_perceiver": keras_perceiver.__version__,
        "keras": keras.__version__,
    }
    metadata = {
        "versions": versions,
        "backend": keras.backend.backend(),
        "parameters": model.count_params(),
        "source": source,
        "licence": licence,
    }
    processes.in_the_first(lambda: _write(model, form, weights, metadata, path))


def _write(model, form, weights, metadata, path):
    preprocessor = form["config"].get("preprocessor")
    with atomic_folder(path) as folder:
        if preprocessor is not None:
            del form["config"]["preprocessor"]
            _write_vocabulary(model.preprocessor, preprocessor, folder)
            write_json(os.path.join(folder, PREPROCESSOR), preprocessor)
        write_json(os.path.join(folder, CONFIG), {"library": LIBRARY, **form})
        write_tensors(os.path.join(folder, WEIGHTS), weights)
        write_json(os.path.join(folder, METADATA), metadata)


def _write_vocabulary(preprocessor, form, folder):
    """A tokenizer's vocabulary as a file of its usual name, not in the JSON."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is None or tokenizer.FILE is None:
        return
    del form["config"]["tokenizer"]["config"][tokenizer.CONTENT]
    with open(os.path.join(folder, tokenizer.FILE), "wb") as file:
        file.write(tokenizer.file_bytes())


def _array(weight, dtype):
    dtype = "int8" if weight.dtype == "int8" else dtype
    return np.asarray(processes.whole(weight)).astype(dtype)


def _check_weights(model, form, states):
    expected = weight_shapes(lambda: adapted_model(form, states))
    received = {weight.path: tuple(weight.shape) for weight in model.weights}
    if received != expected:
        different = sorted(dict(expected.items() ^ received.items()))[:3]
        raise ValueError(
            "`model` must have the weights that its arguments, quantization and LoRA "
            f"describe. Different: {different}"
        )
