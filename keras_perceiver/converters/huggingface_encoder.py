"""What all of transformers' Perceivers have: their config, layers and encoder."""

from keras_perceiver.converters.apply import module_rows

# Frequencies of all Fourier positions of images; fixed in their classes.
NUM_BANDS = 64
# `PerceiverConfig`'s defaults, where they matter to the numbers of these models.
DEFAULTS = {
    "num_latents": 256,
    "d_latents": 1280,
    "num_blocks": 1,
    "num_self_attends_per_block": 26,
    "num_self_attention_heads": 8,
    "num_cross_attention_heads": 8,
    "qk_channels": None,
    "v_channels": None,
    "cross_attention_shape_for_attention": "kv",
    "self_attention_widening_factor": 1,
    "cross_attention_widening_factor": 1,
    "hidden_act": "gelu",
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "use_query_residual": True,
    "d_model": 768,
    "vocab_size": 262,
    "max_position_embeddings": 2048,
    "image_size": 56,
    "train_size": (368, 496),
}
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}

LAYER = (
    ("attention/query", "attention.self.query"),
    ("attention/key", "attention.self.key"),
    ("attention/value", "attention.self.value"),
    ("attention/output", "attention.output.dense"),
    ("mlp_norm", "layernorm"),
    ("mlp_in", "mlp.dense1"),
    ("mlp_out", "mlp.dense2"),
)
CROSS = (
    ("query_norm", "attention.self.layernorm1"),
    ("context_norm", "attention.self.layernorm2"),
    *LAYER,
)
SELF = (("norm", "attention.self.layernorm1"), *LAYER)


def encoder_rows(layers_per_block):
    """Rows `(our path, their name, transform)` of an encoder's weights."""
    yield "encoder/latents", "perceiver.embeddings.latents", None
    yield from module_rows(
        "encoder/first_cross_attention", "perceiver.encoder.cross_attention", CROSS
    )
    for i in range(layers_per_block):
        yield from module_rows(
            f"encoder/first_block/layer_{i}", f"perceiver.encoder.self_attends.{i}", SELF
        )


def encoder_options(config):
    """Options of our encoders, of a transformers config.

    Args:
        config: dict with keys of `PerceiverConfig`.

    Raises:
        ValueError: an option that this library does not have.
    """
    config = {**DEFAULTS, **config}
    shape_for_attention = config["cross_attention_shape_for_attention"]
    for name, options in (
        ("hidden_act", ACTIVATIONS),
        ("cross_attention_shape_for_attention", ("kv", "q")),
        ("use_query_residual", (True,)),
    ):
        if config[name] not in options:
            raise ValueError(
                f"`{name}` in config.json must be one of {list(options)}. "
                f"Received: {config[name]!r}"
            )
    # Theirs default to the queries' channels or, in "kv" cross-attention, to the
    # keys', as ours do. Latents reading each other have one and the same.
    qk, v = config["qk_channels"], config["v_channels"]
    cross_qk = qk or (None if shape_for_attention == "kv" else config["d_latents"])
    return {
        "num_latents": config["num_latents"],
        "latent_channels": config["d_latents"],
        "cross_attention": spec(
            config,
            config["num_cross_attention_heads"],
            config["cross_attention_widening_factor"],
            qk_channels=cross_qk,
            v_channels=v,
        ),
        "self_attention": spec(
            config,
            config["num_self_attention_heads"],
            config["self_attention_widening_factor"],
            qk_channels=qk,
            v_channels=v,
        ),
        "num_blocks": config["num_blocks"],
        "layers_per_block": config["num_self_attends_per_block"],
        "init_scale": config["initializer_range"],
    }


def spec(config, heads, widening_factor=1, **channels):
    """Form of an `AttentionSpec`."""
    return {
        "class_name": "AttentionSpec",
        "config": {
            "num_heads": heads,
            **channels,
            "widening_factor": widening_factor,
            "dropout": config["attention_probs_dropout_prob"],
            "activation": ACTIVATIONS[config["hidden_act"]],
        },
    }


def attention_channels(layer):
    """`(qk_channels, v_channels)` of a built attention layer."""
    return layer.attend.key_dense.units, layer.attend.value_dense.units


def channel_settings(encoder, architecture, more):
    """Their three settings for our channels of the encoder's attentions.

    `more` may demand the third, for a decoder that goes by it too.
    """
    width, inputs = (
        encoder.latent_channels,
        encoder.first_cross.attend.key_dense.kernel.shape[0],
    )
    received = [
        attention_channels(layer)
        for layer in (encoder.first_cross, encoder.first_block.layers[0])
    ]
    demanded = more.get("cross_attention_shape_for_attention")
    for shape, default in (("kv", inputs), ("q", width)):
        if demanded not in (None, shape):
            continue
        for qk in (None, received[0][0]):
            for v in (None, received[0][1]):
                cross_qk, self_qk = qk or default, qk or width
                expressed = [(cross_qk, v or cross_qk), (self_qk, v or self_qk)]
                # Their latents' values must be as wide as the latents.
                if expressed == received and expressed[1][1] == width:
                    return {
                        "qk_channels": qk,
                        "v_channels": v,
                        "cross_attention_shape_for_attention": shape,
                    }
    raise ValueError(
        f"transformers' {architecture} has one qk_channels and one v_channels for both "
        "attentions of the encoder, and v_channels as wide as the latents. Received "
        f"(qk, v) of the encoder's and the latents' attention: {received}, "
        f"latent_channels={width}"
    )
