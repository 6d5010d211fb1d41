"""krasserm/perceiver-io's classifiers and masked language model.

In the layout of its hub checkpoints.

Reference: https://github.com/krasserm/perceiver-io, version 0.11.1.
"""

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.krasserm_encoder import (
    DECODER,
    ENCODER,
    ROOT,
    cross_rows,
    encoder_options,
    encoder_rows,
    sections,
    spec,
)
from keras_perceiver.converters.processor import (
    class_labels,
    read_processor,
    read_text_processor,
)

IMAGE_ENCODER = {**ENCODER, "image_shape": [224, 224, 3], "num_frequency_bands": 32}
TEXT_ENCODER = {
    **ENCODER,
    "vocab_size": 10003,
    "max_seq_len": 256,
    "num_input_channels": 64,
    "params": None,  # where its weights came from: they are in the folder
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
