"""Our Perceiver AR models as krasserm/perceiver-io folders: `krasserm_ar` backwards."""

import os

import numpy as np

from keras_perceiver.converters.apply import named_tensors
from keras_perceiver.converters.krasserm_ar import (
    ATTENTION_OPTIONS,
    FREQUENCIES,
    MODEL,
    MODEL_TYPES,
    OPTIONS,
    table,
)
from keras_perceiver.converters.to_transformers import write_tokenizer
from keras_perceiver.files import atomic_folder, write_json, write_tensors


def to_krasserm(model, folder):
    """Write a Perceiver AR model as a folder that krasserm/perceiver-io loads.

    `from_pretrained(folder)` of `PerceiverCausalLanguageModel` or
    `PerceiverSymbolicAudioModel` then gives the same logits, and so does
    `keras_perceiver.presets.load(folder)`. Of tokenizers, those of bytes and of a
    `tokenizer.json` go along, SentencePiece does not.

    Args:
        model: a `CausalLM` or `SymbolicAudioLM`, whose architecture that library has.
        folder: to write; complete or not at all.

    Raises:
        ValueError: something in the model that that library does not have.
        OSError: `folder` cannot be written.
    """
    name = type(model).__name__
    if name not in MODEL_TYPES:
        raise ValueError(f"`model` must be one of {sorted(MODEL_TYPES)}. Received: {name}")
    options = _options(model)
    tensors = named_tensors(model, table(options), "krasserm/perceiver-io")
    pairs = model.get_layer("stack").cross.rotary_channels
    exponents = np.arange(0, pairs, 2, dtype="float32") / pairs
    tensors[FREQUENCIES] = 10000.0**-exponents
    with atomic_folder(folder) as fresh:
        write_json(os.path.join(fresh, "config.json"), _config(model, options))
        if name == "CausalLM":
            write_tokenizer(model.preprocessor, fresh)
        # Without this mark, transformers refuses the file.
        write_tensors(os.path.join(fresh, "model.safetensors"), tensors, {"format": "pt"})


def _options(model):
    """Our arguments, which are all that the model is."""
    stack = model.get_layer("stack")
    spec = stack.attention
    requirements = {
        "qk_channels": (spec.qk_channels or model.channels, model.channels),
        "v_channels": (spec.v_channels or model.channels, model.channels),
        "activation": (spec.activation, "gelu"),
        "rotary_fraction": (stack.rotary_fraction, 0.5 if model.learned_positions else 1.0),
    }
    for name, (received, expected) in requirements.items():
        if received != expected:
            raise ValueError(
                f"krasserm/perceiver-io needs {name} = {expected}. Received: {received}"
            )
    return {
        name: getattr(stack if hasattr(stack, name) else model, name) for name in OPTIONS
    }


def _config(model, options):
    spec = model.get_layer("stack").attention
    ours = {OPTIONS[name]: value for name, value in options.items()}
    ours |= {theirs: getattr(spec, name) for name, theirs in ATTENTION_OPTIONS.items()}
    ours["cross_attention_widening_factor"] = spec.widening_factor
    return {
        "model_type": MODEL_TYPES[type(model).__name__],
        "model_config": {**MODEL, **ours},
        "is_decoder": True,
    }
