"""The folder that a training run leaves."""

import importlib.util
import os
import pathlib
import tempfile

import keras

from keras_perceiver import export, presets, visualization


def check(path, overwrite):
    """Raise a ValueError if a run may not be written to `path`."""
    folder = pathlib.Path(path)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"--output must be an empty or new folder, or give --overwrite=true. "
            f"Received: {path}"
        )


def make(path):
    """A folder that can be written to: before an hour of training, not after it."""
    folder = pathlib.Path(path)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    return folder


def write(folder, model, source):
    """What is there for every task beside the config: name of a file to what it is.

    Args:
        folder: of the run, with `history.csv`.
        model: trained.
        source: for the preset: how good it is.
    """
    visualization.plot_learning_curve(folder / "history.csv", folder / "learning_curve.png")
    presets.save(model, folder / "preset", source=f"keras-perceiver fit, {source}")
    written = {
        "history.csv": "loss and metrics of each epoch",
        "learning_curve.png": "the same as a picture",
        "preset": "the trained model: keras_perceiver.presets.load(...)",
    }
    if keras.backend.backend() == "torch" or not importlib.util.find_spec("tensorflow"):
        print(
            "No SavedModel: that needs TensorFlow, and the TensorFlow or JAX backend. "
            f"Write it with KERAS_BACKEND=tensorflow keras-perceiver export {folder} "
            f"--output={folder / 'saved_model'}"
        )
    else:
        export.saved_model(model, folder / "saved_model")
        written["saved_model"] = "the same for TensorFlow alone: tf.saved_model.load(...)"
    return written
