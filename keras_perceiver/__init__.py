"""Perceiver, Perceiver IO and Perceiver AR for Keras 3.

Layers compose into functional models (`layers`), task models are ready made
(`models`), and presets load by name or from a folder (`presets`).
"""

import importlib

__version__ = "0.1.0"

__all__ = [
    "converters",
    "data",
    "export",
    "layers",
    "models",
    "ops",
    "preprocessing",
    "presets",
    "training",
    "visualization",
]


def __getattr__(name):
    # On first use, so that a layer costs no more to import than it must.
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
