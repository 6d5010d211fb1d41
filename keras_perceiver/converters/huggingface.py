"""transformers' Perceiver image classifier with Fourier positions.

Reference: `PerceiverForImageClassificationFourier` of transformers 5.23;
`layer_norm_eps` of its config has no effect there, and none here.
"""

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.processor import (
    IMAGENET_PROCESSOR,
    class_labels,
    image_size,
    read_processor,
    read_settings,
)

ARCHITECTURE = "PerceiverForImageClassificationFourier"
# Fixed in that class, not in its config.
NUM_BANDS = 64
MAX_RESOLUTION = (224, 224)
# `PerceiverConfig`'s defaults, where they matter to the numbers of this model.
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


def table(layers_per_block):
    """Rows `(our path, their name, transform)` of all weights."""
    decoder = "perceiver.decoder.decoder"
    yield "encoder/latents", "perceiver.embeddings.latents", None
    yield from module_rows(
        "encoder/first_cross_attention", "perceiver.encoder.cross_attention", CROSS
    )
    for i in range(layers_per_block):
        yield from module_rows(
            f"encoder/first_block/layer_{i}", f"perceiver.encoder.self_attends.{i}", SELF
        )
    queries = f"{decoder}.output_position_encodings.position_embeddings"
    yield "query/queries", queries, None
    yield from module_rows(
        "decoder/cross_attention", f"{decoder}.decoding_cross_attention", CROSS
    )
    yield from module_rows("logits", f"{decoder}.final_layer")


def image_classifier(folder, config):
    """`(form, table, ignored)` of a folder with a `perceiver` config.

    See `keras_perceiver.converters.describe`.
    """
    if config.get("architectures") != [ARCHITECTURE]:
        raise ValueError(
            f"`architectures` in config.json must be {[ARCHITECTURE]}. "
            f"Received: {config.get('architectures')!r}"
        )
    names = config.get("id2label")
    num_classes = 2 if names is None else len(names)
    size = image_size(read_settings(folder) or IMAGENET_PROCESSOR)
    form = classifier_form(config, size, num_classes)
    form["config"]["preprocessor"] = read_processor(
        folder,
        form["config"]["encoder"]["config"]["image_shape"],
        class_labels(config, num_classes),
        default=IMAGENET_PROCESSOR,
    )
    encoder = form["config"]["encoder"]["config"]
    return form, table(encoder["layers_per_block"]), ()


def classifier_form(config, size, num_classes):
    """Form of an `ImageClassifier`, of a transformers config.

    Args:
        config: dict with keys of `PerceiverConfig`.
        size: `[height, width]` of the images.
        num_classes: number of classes.

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

    def spec(kind, widening_factor, heads=None, **channels):
        return {
            "class_name": "AttentionSpec",
            "config": {
                "num_heads": heads or config[f"num_{kind}_attention_heads"],
                **channels,
                "widening_factor": widening_factor,
                "dropout": config["attention_probs_dropout_prob"],
                "activation": ACTIVATIONS[config["hidden_act"]],
            },
        }

    # Theirs default to the queries' channels or, in "kv" cross-attention, to the
    # keys', as ours do. Latents reading each other have one and the same.
    qk, v = config["qk_channels"], config["v_channels"]
    cross_qk = qk or (None if shape_for_attention == "kv" else config["d_latents"])
    encoder = {
        "image_shape": [*size, 3],
        "num_bands": NUM_BANDS,
        "max_resolution": None if tuple(size) == MAX_RESOLUTION else list(MAX_RESOLUTION),
        "num_latents": config["num_latents"],
        "latent_channels": config["d_latents"],
        "cross_attention": spec(
            "cross",
            config["cross_attention_widening_factor"],
            qk_channels=cross_qk,
            v_channels=v,
        ),
        "self_attention": spec(
            "self", config["self_attention_widening_factor"], qk_channels=qk, v_channels=v
        ),
        "num_blocks": config["num_blocks"],
        "layers_per_block": config["num_self_attends_per_block"],
        "init_scale": config["initializer_range"],
    }
    return {
        "class_name": "ImageClassifier",
        "config": {
            "encoder": {"class_name": "ImageEncoder", "config": encoder},
            "num_classes": num_classes,
            "cross_attention": spec("cross", 1, heads=1),
            "init_scale": config["initializer_range"],
        },
    }
