"""What all of krasserm/perceiver-io's Perceiver IO models have: config and encoder."""

from keras_perceiver.converters.apply import module_rows

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


def sections(config, encoder_defaults, decoder_defaults):
    """The model's, the encoder's and the decoder's settings over their defaults."""
    model = with_defaults("model_config", config.get("model_config"), MODEL)
    return (
        model,
        with_defaults("encoder", model["encoder"], encoder_defaults),
        with_defaults("decoder", model["decoder"], decoder_defaults),
    )


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


def encoder_section(encoder):
    """Their settings for a `PerceiverEncoder`: `encoder_options` backwards."""
    return {
        **ENCODER,
        **spec_section(encoder.cross_attention, "cross"),
        **spec_section(encoder.self_attention, "self"),
        "num_cross_attention_layers": encoder.num_cross_attentions,
        "first_cross_attention_layer_shared": encoder.share_first_cross_attention,
        "num_self_attention_layers_per_block": encoder.layers_per_block,
        "num_self_attention_blocks": encoder.num_blocks,
        "first_self_attention_block_shared": encoder.share_first_block,
        "init_scale": encoder.init_scale,
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


def spec_section(spec, kind):
    """Their settings for an `AttentionSpec`: `spec` backwards."""
    return {
        f"num_{kind}_attention_heads": spec.num_heads,
        f"num_{kind}_attention_qk_channels": spec.qk_channels,
        f"num_{kind}_attention_v_channels": spec.v_channels,
        f"{kind}_attention_widening_factor": spec.widening_factor,
        "dropout": spec.dropout,
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
