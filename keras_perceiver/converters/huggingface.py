"""transformers' Perceivers: images, text, optical flow and several kinds of inputs.

Reference: transformers 5.23; `layer_norm_eps` of its config has no effect there, and
none here.
"""

from keras_perceiver.converters import huggingface_flow, multimodal
from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.huggingface_encoder import (
    CROSS,
    DEFAULTS,
    encoder_options,
    encoder_rows,
    spec,
)
from keras_perceiver.converters.huggingface_images import (
    COUNTER,
    IMAGE_ENCODERS,
    LEARNED,
    adapter_rows,
    encoder_form,
)
from keras_perceiver.converters.processor import (
    IMAGENET_PROCESSOR,
    class_labels,
    image_size,
    read_processor,
    read_settings,
    read_text_processor,
)

# Our classes by theirs.
ARCHITECTURES = {
    **dict.fromkeys(IMAGE_ENCODERS, "ImageClassifier"),
    "PerceiverForMaskedLM": "MaskedLM",
    "PerceiverForMultimodalAutoencoding": "MultimodalAutoencoder",
    "PerceiverForOpticalFlow": "OpticalFlow",
    "PerceiverForSequenceClassification": "TextClassifier",
}
# Fixed in that class, not in its config.
MASKED_LM_HEADS, MASKED_LM_QK_CHANNELS = 8, 256


def table(architecture, layers_per_block):
    """Rows `(our path, their name, transform)` of all weights of their class."""
    class_name = ARCHITECTURES[architecture]
    yield from encoder_rows(layers_per_block)
    if class_name == "OpticalFlow":
        yield from huggingface_flow.rows()
        return
    if class_name == "ImageClassifier":
        yield from adapter_rows(architecture)
    elif class_name in ("MaskedLM", "TextClassifier"):
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
    makers = {
        "ImageClassifier": image_classifier,
        "MaskedLM": masked_lm,
        "MultimodalAutoencoder": multimodal_autoencoder,
        "OpticalFlow": huggingface_flow.form,
        "TextClassifier": text_classifier,
    }
    names, known = config.get("architectures"), list(ARCHITECTURES)
    if not isinstance(names, list) or len(names) != 1 or names[0] not in known:
        raise ValueError(
            f"`architectures` in config.json must hold one of {known}. Received: {names!r}"
        )
    form = makers[ARCHITECTURES[names[0]]](folder, config)
    layers = form["config"]["encoder"]["config"]["layers_per_block"]
    return form, table(names[0], layers), (lambda name: name == COUNTER,)


def image_classifier(folder, config):
    """Form of an `ImageClassifier`."""
    architecture, settings = config["architectures"][0], read_settings(folder)
    size = image_size(settings or IMAGENET_PROCESSOR)
    if architecture == LEARNED:  # one position for each place
        trained = [{**DEFAULTS, **config}["image_size"]] * 2
        if settings is not None and size != trained:
            raise ValueError(
                "`size` in preprocessor_config.json must be `image_size` of config.json, "
                f"{trained}. Received: {size}. Load it so, then call `resized`."
            )
        size = trained
    encoder = {
        "class_name": "ImageEncoder",
        "config": {**encoder_form(architecture, size), **encoder_options(config)},
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
    decoder = spec(
        config,
        heads=MASKED_LM_HEADS,
        qk_channels=MASKED_LM_QK_CHANNELS,
        v_channels=config["d_model"],
    )
    return {
        "class_name": "MaskedLM",
        "config": {
            "encoder": _text_encoder(config),
            "cross_attention": decoder,
            "query_residual": False,
            "init_scale": config["initializer_range"],
            "preprocessor": _text_processor(folder, config),
        },
    }


def multimodal_autoencoder(folder, config):
    """Form of a `MultimodalAutoencoder`."""
    config = {**DEFAULTS, **config}
    options, decoder = encoder_options(config), spec(config, heads=1)
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
            "cross_attention": spec(config, heads=1),
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
