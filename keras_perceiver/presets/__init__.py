"""Models by name or folder: load, save, list.

A preset is a folder: `config.json` (class and arguments), `model.safetensors`
(weights by variable path), `preprocessor.json` and `metadata.json`. Loading runs no
code from a file, follows no path in one, and allocates in proportion to its size.
"""

from keras_perceiver.presets.loading import list, load
from keras_perceiver.presets.original import ORIGINALS, from_haiku
from keras_perceiver.presets.saving import save

__all__ = ["ORIGINALS", "from_haiku", "list", "load", "save"]
