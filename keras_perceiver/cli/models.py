"""Models as the command line names them."""

import pathlib

from keras_perceiver import presets


def load(name_or_path, load_weights=True):
    """A model by preset name, or from the folder of a preset or of a run."""
    inside = pathlib.Path(name_or_path) / "preset"
    return presets.load(inside if inside.is_dir() else name_or_path, load_weights)
