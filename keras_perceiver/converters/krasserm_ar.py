"""krasserm/perceiver-io's Perceiver AR models, in the layout of its hub checkpoints.

Reference: https://github.com/krasserm/perceiver-io, version 0.11.1.
"""

import numpy as np

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.krasserm_encoder import ATTENTION, MLP, with_defaults
from keras_perceiver.converters.processor import read_text_processor
from keras_perceiver.preprocessing.midi import MIDI_VOCAB_SIZE

# That library's defaults, where they matter to the numbers.
MODEL = {
    "vocab_size": 262,
    "max_seq_len": 4096,
    "max_latents": 512,
    "num_channels": 512,
    "num_heads": 8,
    "max_heads_parallel": None,
    "num_self_attention_layers": 8,
    "num_self_attention_rotary_layers": 1,
    "self_attention_widening_factor": 4,
    "cross_attention_widening_factor": 4,
    "cross_attention_dropout": 0.5,
    "post_attention_dropout": 0.0,
    "residual_dropout": 0.0,
    "activation_checkpointing": False,
    "activation_offloading": False,
    "output_norm": False,
    "output_bias": True,
    "abs_pos_emb": True,
    "init_scale": 0.02,
}
# Our names of these.
OPTIONS = {
    "vocab_size": "vocab_size",
    "max_length": "max_seq_len",
    "channels": "num_channels",
    "learned_positions": "abs_pos_emb",
    "output_norm": "output_norm",
    "output_bias": "output_bias",
    "init_scale": "init_scale",
    "max_latents": "max_latents",
    "num_layers": "num_self_attention_layers",
    "num_rotary_layers": "num_self_attention_rotary_layers",
    "prefix_dropout": "cross_attention_dropout",
    "remat": "activation_checkpointing",
}
ATTENTION_OPTIONS = {
    "num_heads": "num_heads",
    "widening_factor": "self_attention_widening_factor",
    "dropout": "post_attention_dropout",
    "residual_dropout": "residual_dropout",
    "heads_at_once": "max_heads_parallel",
}
# What that library calls each kind of model, and we.
MODEL_TYPES = {
    "CausalLM": "perceiver-ar-causal-language-model",
    "SymbolicAudioLM": "perceiver-ar-symbolic-audio-model",
}
# A buffer: computed from the config, but in the file.
FREQUENCIES = "backend_model.input_adapter.frq_pos_encoding.inv_freq"


def causal_lm(folder, config):
    """`(form, table, ignored)` of a `perceiver-ar-causal-language-model` folder.

    See `keras_perceiver.converters.describe`.
    """
    form = _form("CausalLM", config)
    options = form["config"]
    processor = read_text_processor(folder, options["vocab_size"], options["max_length"])
    if processor is not None:
        processor["config"] |= {"add_special_tokens": False, "padding_side": "left"}
    options["preprocessor"] = processor
    return form, table(options), (_is_buffer,)


def symbolic_audio(folder, config):
    """`(form, table, ignored)` of a `perceiver-ar-symbolic-audio-model` folder."""
    form = _form("SymbolicAudioLM", config)
    options = form["config"]
    vocab_size = options.pop("vocab_size")
    if vocab_size != MIDI_VOCAB_SIZE:
        raise ValueError(
            f"`vocab_size` in {folder}/config.json must be {MIDI_VOCAB_SIZE}, of MIDI "
            f"events and padding. Received: {vocab_size}"
        )
    return form, table(options), (_is_buffer,)


def _form(class_name, config):
    model = with_defaults("model_config", config.get("model_config"), MODEL)
    widening = model["self_attention_widening_factor"]
    if model["cross_attention_widening_factor"] != widening:
        raise ValueError(
            "`cross_attention_widening_factor` must equal "
            "`self_attention_widening_factor` in config.json. Received: "
            f"{model['cross_attention_widening_factor']} and {widening}"
        )
    return {
        "class_name": class_name,
        "config": {
            **{ours: model[theirs] for ours, theirs in OPTIONS.items()},
            "attention": {
                "class_name": "AttentionSpec",
                "config": {
                    ours: model[theirs] for ours, theirs in ATTENTION_OPTIONS.items()
                },
            },
        },
    }


def table(options):
    """Rows `(our path, their name, transform)` of all weights of our options."""
    root = "backend_model"
    adapter = f"{root}.input_adapter"
    yield "token_embedding/embeddings", f"{adapter}.txt_embedding.weight", None
    if options["learned_positions"]:
        yield "positions/positions", f"{adapter}.pos_embedding.weight", None
    ours, theirs = "stack/cross_attention", f"{root}.cross_attention"
    norms = (("query_norm", "q_norm"), ("context_norm", "kv_norm"))
    yield from _layer(ours, theirs, norms)
    yield f"{ours}/attention/output/bias", f"{theirs}.0.module.attention.o_proj.bias", None
    for i in range(options["num_layers"]):
        layer = f"stack/layer_{i}"
        yield from _layer(layer, f"{root}.self_attention.{i}", (("norm", "norm"),))
    if options["output_norm"]:
        yield from module_rows("", root, (("output_norm", "out_norm"),))
    if options["output_bias"]:
        yield "logits/bias", f"{root}.output_adapter.bias", None


def _layer(ours, theirs, norms):
    yield from module_rows(ours, f"{theirs}.0.module", norms)
    mlp_norm, *dense = MLP
    yield from module_rows(ours, f"{theirs}.1.module", (mlp_norm,))
    for ours_name, module in (
        *((a, f"0.module.{b}") for a, b in ATTENTION),
        *((a, f"1.module.{b}") for a, b in dense),
    ):
        yield f"{ours}/{ours_name}/kernel", f"{theirs}.{module}.weight", np.transpose


def _is_buffer(name):
    return name == FREQUENCIES
