"""Our models as krasserm/perceiver-io folders: Perceiver AR and optical flow."""

import os

import numpy as np

from keras_perceiver.converters import krasserm_flow
from keras_perceiver.converters.apply import check_demands, named_tensors
from keras_perceiver.converters.krasserm_ar import (
    ATTENTION_OPTIONS,
    FREQUENCIES,
    MODEL,
    MODEL_TYPES,
    OPTIONS,
    table,
)
from keras_perceiver.converters.processor import write_tokenizer
from keras_perceiver.files import atomic_folder, write_json, write_tensors


def to_krasserm(model, folder):
    """Write a model as a folder that krasserm/perceiver-io loads.

    `from_pretrained(folder)` of `PerceiverCausalLanguageModel`,
    `PerceiverSymbolicAudioModel` or `OpticalFlowPerceiver` then gives the same outputs,
    and so does `keras_perceiver.presets.load(folder)`. Of tokenizers, those of bytes and
    of a `tokenizer.json` go along, SentencePiece does not.

    Args:
        model: a `CausalLM`, `OpticalFlow` or `SymbolicAudioLM`, whose architecture that
            library has.
        folder: to write; complete or not at all.

    Raises:
        ValueError: something in the model that that library does not have.
        OSError: `folder` cannot be written.
    """
    name = type(model).__name__
    if name not in WRITERS:
        raise ValueError(f"`model` must be one of {sorted(WRITERS)}. Received: {name}")
    config, tensors = WRITERS[name](model)
    with atomic_folder(folder) as fresh:
        write_json(os.path.join(fresh, "config.json"), config)
        if name == "CausalLM":
            write_tokenizer(model.preprocessor, fresh)
        # Without this mark, transformers refuses the file.
        write_tensors(os.path.join(fresh, "model.safetensors"), tensors, {"format": "pt"})


def _causal(model):
    """`(config, tensors)` of a Perceiver AR model."""
    options = _options(model)
    tensors = named_tensors(model, table(options), "krasserm/perceiver-io")
    pairs = model.get_layer("stack").cross.rotary_channels
    exponents = np.arange(0, pairs, 2, dtype="float32") / pairs
    tensors[FREQUENCIES] = 10000.0**-exponents
    return _config(model, options), tensors


# By our class.
WRITERS = {**dict.fromkeys(MODEL_TYPES, _causal), "OpticalFlow": krasserm_flow.written}


def _options(model):
    """Our arguments, which are all that the model is."""
    stack = model.get_layer("stack")
    spec = stack.attention
    demands = {
        "qk_channels": (spec.qk_channels or model.channels, model.channels),
        "v_channels": (spec.v_channels or model.channels, model.channels),
        "activation": (spec.activation, "gelu"),
        "rotary_fraction": (stack.rotary_fraction, 0.5 if model.learned_positions else 1.0),
    }
    check_demands("krasserm/perceiver-io", demands)
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
