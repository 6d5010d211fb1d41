"""transformers' Perceivers: image and text classifier, language and multimodal model.

Reference: transformers 5.23; `layer_norm_eps` of its config has no effect there, and
none here.
"""

from keras_perceiver.converters import multimodal
from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.processor import (
    IMAGENET_PROCESSOR,
    class_labels,
    image_size,
    read_processor,
    read_settings,
    read_text_processor,
)

# Their classes by ours.
ARCHITECTURES = {
    "ImageClassifier": "PerceiverForImageClassificationFourier",
    "MaskedLM": "PerceiverForMaskedLM",
    "TextClassifier": "PerceiverForSequenceClassification",
    "MultimodalAutoencoder": "PerceiverForMultimodalAutoencoding",
}
# Fixed in those classes, not in their config.
NUM_BANDS = 64
MAX_RESOLUTION = (224, 224)
MASKED_LM_HEADS, MASKED_LM_QK_CHANNELS = 8, 256
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


def table(class_name, layers_per_block):
    """Rows `(our path, their name, transform)` of all weights of our `class_name`."""
    yield "encoder/latents", "perceiver.embeddings.latents", None
    yield from module_rows(
        "encoder/first_cross_attention", "perceiver.encoder.cross_attention", CROSS
    )
    for i in range(layers_per_block):
        yield from module_rows(
            f"encoder/first_block/layer_{i}", f"perceiver.encoder.self_attends.{i}", SELF
        )
    if class_name in ("MaskedLM", "TextClassifier"):
        adapter = "perceiver.input_preprocessor"
        yield "token_embedding/embeddings", f"{adapter}.embeddings.weight", None
        yield "positions/positions", f"{adapter}.position_embeddings.weight", None
    masked_lm = class_name == "MaskedLM"
    decoder = "perceiver.decoder" if masked_lm else "perceiver.decoder.decoder"
    yield from module_rows(
        "decoder/cross_attention", f"{decoder}.decoding_cross_attention", CROSS
    )
    if class_name == "MultimodalAutoencoder":
        yield from multimodal.rows()
        return
    queries = f"{decoder}.output_position_encodings.position_embeddings"
    yield f"{'queries' if masked_lm else 'query'}/queries", queries, None
    if masked_lm:
        yield "logits/bias", "embedding_decoder.bias", None
    else:
        yield from module_rows("logits", f"{decoder}.final_layer")


def describe(folder, config):
    """`(form, table, ignored)` of a folder with a `perceiver` config.

    See `keras_perceiver.converters.describe`.
    """
    forms = (image_classifier, masked_lm, text_classifier, multimodal_autoencoder)
    makers = dict(zip(ARCHITECTURES.values(), forms, strict=True))
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in list(makers):
        raise ValueError(
            f"`architectures` in config.json must hold one of {list(makers)}. "
            f"Received: {names!r}"
        )
    form = makers[names[0]](folder, config)
    layers = form["config"]["encoder"]["config"]["layers_per_block"]
    return form, table(form["class_name"], layers), ()


def image_classifier(folder, config):
    """Form of an `ImageClassifier`."""
    size = image_size(read_settings(folder) or IMAGENET_PROCESSOR)
    encoder = {
        "class_name": "ImageEncoder",
        "config": {
            "image_shape": [*size, 3],
            "num_bands": NUM_BANDS,
            "max_resolution": None
            if tuple(size) == MAX_RESOLUTION
            else list(MAX_RESOLUTION),
            **encoder_options(config),
        },
    }
    labels = class_labels(config, num_classes(config))
    processor = read_processor(folder, [*size, 3], labels, default=IMAGENET_PROCESSOR)
    return _classifier("ImageClassifier", config, encoder, processor)


def text_classifier(folder, config):
    """Form of a `TextClassifier`."""
    labels = class_labels(config, num_classes(config))
    processor = _text_processor(folder, config, labels)
    return _classifier("TextClassifier", config, _text_encoder(config), processor)


def masked_lm(folder, config):
    """Form of a `MaskedLM`."""
    config = {**DEFAULTS, **config}
    spec = _spec(
        config,
        heads=MASKED_LM_HEADS,
        qk_channels=MASKED_LM_QK_CHANNELS,
        v_channels=config["d_model"],
    )
    return {
        "class_name": "MaskedLM",
        "config": {
            "encoder": _text_encoder(config),
            "cross_attention": spec,
            "query_residual": False,
            "init_scale": config["initializer_range"],
            "preprocessor": _text_processor(folder, config),
        },
    }


def multimodal_autoencoder(folder, config):
    """Form of a `MultimodalAutoencoder`."""
    config = {**DEFAULTS, **config}
    options, decoder = encoder_options(config), _spec(config, heads=1)
    return multimodal.form(config, num_classes(config), options, decoder)


def num_classes(config):
    """Number of classes: two, as theirs, if the config does not say."""
    names = config.get("id2label")
    return 2 if names is None else len(names)


def _classifier(class_name, config, encoder, processor):
    config = {**DEFAULTS, **config}
    return {
        "class_name": class_name,
        "config": {
            "encoder": encoder,
            "num_classes": num_classes(config),
            "cross_attention": _spec(config, heads=1),
            "init_scale": config["initializer_range"],
            "preprocessor": processor,
        },
    }


def _text_encoder(config):
    config = {**DEFAULTS, **config}
    return {
        "class_name": "TextEncoder",
        "config": {
            "vocab_size": config["vocab_size"],
            "max_length": config["max_position_embeddings"],
            "input_channels": config["d_model"],
            **encoder_options(config),
        },
    }


def _text_processor(folder, config, labels=None):
    config = {**DEFAULTS, **config}
    return read_text_processor(
        folder, config["vocab_size"], config["max_position_embeddings"], labels
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
        "cross_attention": _spec(
            config,
            config["num_cross_attention_heads"],
            config["cross_attention_widening_factor"],
            qk_channels=cross_qk,
            v_channels=v,
        ),
        "self_attention": _spec(
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


def _spec(config, heads, widening_factor=1, **channels):
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
