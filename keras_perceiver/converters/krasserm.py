"""krasserm/perceiver-io models, in the layout of its hub checkpoints.

Reference: https://github.com/krasserm/perceiver-io, version 0.11.1.
"""

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.processor import (
    class_labels,
    read_processor,
    read_text_processor,
)

# That library's defaults, where they matter to the numbers.
ENCODER = {
    "num_cross_attention_heads": 8,
    "num_cross_attention_qk_channels": None,
    "num_cross_attention_v_channels": None,
    "num_cross_attention_layers": 1,
    "first_cross_attention_layer_shared": False,
    "cross_attention_widening_factor": 1,
    "num_self_attention_heads": 8,
    "num_self_attention_qk_channels": None,
    "num_self_attention_v_channels": None,
    "num_self_attention_layers_per_block": 8,
    "num_self_attention_blocks": 1,
    "first_self_attention_block_shared": True,
    "self_attention_widening_factor": 1,
    "dropout": 0.0,
    "init_scale": 0.02,
    "freeze": False,  # of training: says nothing about the model
}
IMAGE_ENCODER = {**ENCODER, "image_shape": [224, 224, 3], "num_frequency_bands": 32}
TEXT_ENCODER = {
    **ENCODER,
    "vocab_size": 10003,
    "max_seq_len": 256,
    "num_input_channels": 64,
    "params": None,  # where its weights came from: they are in the folder
}
DECODER = {
    "num_cross_attention_heads": 8,
    "num_cross_attention_qk_channels": None,
    "num_cross_attention_v_channels": None,
    "cross_attention_widening_factor": 1,
    "cross_attention_residual": True,
    "dropout": 0.0,
    "init_scale": 0.02,
    "freeze": False,
}
CLASSIFIER = {
    **DECODER,
    "num_output_queries": 1,  # always 1, whatever it says
    "num_output_query_channels": 256,
    "num_classes": 100,
}
TEXT_DECODER = {
    **DECODER,
    "num_output_query_channels": None,
    "vocab_size": 10003,  # the encoder's counts
    "max_seq_len": 512,
}
MODEL = {
    "encoder": None,
    "decoder": None,
    "num_latents": None,
    "num_latent_channels": None,
    "activation_checkpointing": False,
    "activation_offloading": False,
}

ROOT = "backend_model."
ATTENTION = (
    ("attention/query", "attention.q_proj"),
    ("attention/key", "attention.k_proj"),
    ("attention/value", "attention.v_proj"),
    ("attention/output", "attention.o_proj"),
)
CROSS = (("query_norm", "q_norm"), ("context_norm", "kv_norm"), *ATTENTION)
SELF = (("norm", "norm"), *ATTENTION)
MLP = (("mlp_norm", "0"), ("mlp_in", "1"), ("mlp_out", "3"))


def image_classifier(folder, config):
    """`(form, table, ignored)` of a `perceiver-io-image-classifier` folder.

    See `keras_perceiver.converters.describe`.
    """
    model, encoder, decoder = sections(config, IMAGE_ENCODER, CLASSIFIER)
    image_shape = list(encoder["image_shape"])
    encoder_form = {
        "class_name": "ImageEncoder",
        "config": {
            "image_shape": image_shape,
            "num_bands": encoder["num_frequency_bands"],
            # Channels default to those of the pixels with their positions.
            **encoder_options(model, encoder),
        },
    }
    labels = class_labels(config, decoder["num_classes"])
    processor = read_processor(folder, image_shape, labels)
    form = _classifier("ImageClassifier", encoder_form, decoder, processor)
    return form, _table(form), (lambda name: name.endswith(".position_encoding"),)


def text_classifier(folder, config):
    """`(form, table, ignored)` of a `perceiver-io-text-classifier` folder."""
    model, encoder, decoder = sections(config, TEXT_ENCODER, CLASSIFIER)
    labels = class_labels(config, decoder["num_classes"])
    processor = read_text_processor(
        folder, encoder["vocab_size"], encoder["max_seq_len"], labels
    )
    form = _classifier("TextClassifier", _text_encoder(model, encoder), decoder, processor)
    return form, _table(form), ()


def masked_lm(folder, config):
    """`(form, table, ignored)` of a `perceiver-io-masked-language-model` folder."""
    model, encoder, decoder = sections(config, TEXT_ENCODER, TEXT_DECODER)
    for name in ("vocab_size", "max_seq_len"):
        if decoder[name] != encoder[name]:
            raise ValueError(
                f"`{name}` of encoder and decoder must be equal in config.json. "
                f"Received: {encoder[name]} and {decoder[name]}"
            )
    query_channels = decoder["num_output_query_channels"]
    form = {
        "class_name": "MaskedLM",
        "config": {
            "encoder": _text_encoder(model, encoder),
            "query_channels": query_channels,
            "cross_attention": spec(
                decoder, "cross", query_channels or encoder["num_input_channels"]
            ),
            "query_residual": decoder["cross_attention_residual"],
            "init_scale": decoder["init_scale"],
            "preprocessor": read_text_processor(
                folder, encoder["vocab_size"], encoder["max_seq_len"]
            ),
        },
    }
    return form, _table(form), ()


def sections(config, encoder_defaults, decoder_defaults):
    """The model's, the encoder's and the decoder's settings over their defaults."""
    model = with_defaults("model_config", config.get("model_config"), MODEL)
    return (
        model,
        with_defaults("encoder", model["encoder"], encoder_defaults),
        with_defaults("decoder", model["decoder"], decoder_defaults),
    )


def _text_encoder(model, encoder):
    return {
        "class_name": "TextEncoder",
        "config": {
            "vocab_size": encoder["vocab_size"],
            "max_length": encoder["max_seq_len"],
            "input_channels": encoder["num_input_channels"],
            # There, channels default to those of the queries, not of the keys.
            **encoder_options(model, encoder, model["num_latent_channels"]),
        },
    }


def encoder_options(model, encoder, default_channels=None):
    """Options of our encoders; `default_channels` of queries and keys of the inputs."""
    return {
        "num_latents": model["num_latents"],
        "latent_channels": model["num_latent_channels"],
        "cross_attention": spec(encoder, "cross", default_channels),
        "self_attention": spec(encoder, "self"),
        "num_cross_attentions": encoder["num_cross_attention_layers"],
        "num_blocks": encoder["num_self_attention_blocks"],
        "layers_per_block": encoder["num_self_attention_layers_per_block"],
        "share_first_cross_attention": encoder["first_cross_attention_layer_shared"],
        "share_first_block": encoder["first_self_attention_block_shared"],
        "init_scale": encoder["init_scale"],
        "remat": model["activation_checkpointing"],
    }


def _classifier(class_name, encoder_form, decoder, processor):
    query_channels = decoder["num_output_query_channels"]
    return {
        "class_name": class_name,
        "config": {
            "encoder": encoder_form,
            "num_classes": decoder["num_classes"],
            "query_channels": query_channels,
            "cross_attention": spec(decoder, "cross", query_channels),
            "query_residual": decoder["cross_attention_residual"],
            "init_scale": decoder["init_scale"],
            "preprocessor": processor,
        },
    }


def with_defaults(name, section, defaults):
    """A section of config.json over its defaults; a ValueError on unknown keys."""
    if not isinstance(section, dict):
        raise ValueError(
            f"`{name}` must be an object in config.json. Received: {section!r}"
        )
    unknown = sorted(set(section) - set(defaults))
    if unknown:
        raise ValueError(
            f"`{name}` in config.json has unknown keys {unknown}. Known: {sorted(defaults)}"
        )
    return {**defaults, **section}


def spec(section, kind, default_channels=None):
    """Form of an `AttentionSpec`, of the `kind` "cross" or "self"."""
    return {
        "class_name": "AttentionSpec",
        "config": {
            "num_heads": section[f"num_{kind}_attention_heads"],
            "qk_channels": section[f"num_{kind}_attention_qk_channels"] or default_channels,
            "v_channels": section[f"num_{kind}_attention_v_channels"],
            "widening_factor": section[f"{kind}_attention_widening_factor"],
            "dropout": section["dropout"],
        },
    }


def encoder_rows(encoder):
    """Rows of an encoder's weights, made when asked for: its sizes are not checked yet.

    Args:
        encoder: options of our encoder.
    """
    yield "encoder/latents", f"{ROOT}0.latent_provider._query", None
    yield from cross_rows("encoder/first_cross_attention", "0.cross_attn_1")
    if encoder["num_cross_attentions"] > 1 and not encoder["share_first_cross_attention"]:
        yield from cross_rows("encoder/later_cross_attentions", "0.cross_attn_n")
    blocks = [("first_block", "self_attn_1")]
    if encoder["num_blocks"] > 1 and not encoder["share_first_block"]:
        blocks.append(("later_blocks", "self_attn_n"))
    for ours, theirs in blocks:
        for i in range(encoder["layers_per_block"]):
            layer, module = f"encoder/{ours}/layer_{i}", f"{ROOT}0.{theirs}.{i}"
            yield from module_rows(layer, f"{module}.0.module", SELF)
            yield from module_rows(layer, f"{module}.1.module", MLP)


def cross_rows(ours, theirs, residual=True):
    """Rows of a cross-attention and its MLP."""
    attention = f"{ROOT}{theirs}.0.module" if residual else f"{ROOT}{theirs}.0"
    yield from module_rows(ours, attention, CROSS)
    yield from module_rows(ours, f"{ROOT}{theirs}.1.module", MLP)


def _table(form):
    yield from encoder_rows(form["config"]["encoder"]["config"])
    if form["config"]["encoder"]["class_name"] == "TextEncoder":
        adapter = f"{ROOT}0.input_adapter"
        yield "token_embedding/embeddings", f"{adapter}.txt_embedding.weight", None
        yield "positions/positions", f"{adapter}.pos_embedding.weight", None
    masked_lm = form["class_name"] == "MaskedLM"
    queries = "queries" if masked_lm else "query"
    yield f"{queries}/queries", f"{ROOT}1.output_query_provider._query", None
    residual = form["config"]["query_residual"]
    yield from cross_rows("decoder/cross_attention", "1.cross_attn", residual)
    if masked_lm and form["config"]["query_channels"] is None:
        yield "logits/bias", f"{ROOT}1.output_adapter.bias", None
    else:
        yield from module_rows("logits", f"{ROOT}1.output_adapter.linear")
