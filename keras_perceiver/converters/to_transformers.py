"""Our models as transformers folders: the way back of `huggingface`."""

import os

import numpy as np

from keras_perceiver.converters import huggingface_flow, multimodal
from keras_perceiver.converters.apply import check_demands, named_tensors
from keras_perceiver.converters.huggingface import (
    ARCHITECTURES,
    MASKED_LM_HEADS,
    MASKED_LM_QK_CHANNELS,
    table,
)
from keras_perceiver.converters.huggingface_encoder import (
    ACTIVATIONS,
    attention_channels,
    channel_settings,
)
from keras_perceiver.converters.huggingface_images import (
    CONV,
    COUNTER,
    image_architecture,
    image_requirements,
)
from keras_perceiver.converters.processor import image_settings, write_tokenizer
from keras_perceiver.files import atomic_folder, write_json, write_tensors
from keras_perceiver.models import ImageClassifier


def to_huggingface(model, folder):
    """Write a model as a folder that transformers loads.

    `from_pretrained(folder)` of `PerceiverForImageClassificationFourier`, `...Learned`
    or `...ConvProcessing`, of `PerceiverForMaskedLM`, `PerceiverForOpticalFlow` (of frames
    as patches, which that class takes), `PerceiverForSequenceClassification` or
    `PerceiverForMultimodalAutoencoding` then gives the same outputs. Dropout and label
    names go along; residual dropout and `remat`, which that library does not have, must
    be off or are left out respectively. Of tokenizers, those of bytes and of a
    `tokenizer.json` go along, SentencePiece does not.

    Args:
        model: an `ImageClassifier`, `MaskedLM`, `MultimodalAutoencoder`, `OpticalFlow` or
            `TextClassifier`, whose architecture that class can express: classifiers with
            the decoder head.
        folder: to write; complete or not at all.

    Raises:
        ValueError: something in the model that transformers' class does not have.
        OSError: `folder` cannot be written.
    """
    name = type(model).__name__
    if name not in REQUIREMENTS:
        raise ValueError(f"`model` must be one of {sorted(REQUIREMENTS)}. Received: {name}")
    architecture = _architecture(model)
    config = _config(model, architecture)
    rows = table(architecture, config["num_self_attends_per_block"])
    tensors = named_tensors(model, rows, "transformers")
    if architecture == CONV:
        tensors[COUNTER] = np.int64(0)
    with atomic_folder(folder) as fresh:
        write_json(os.path.join(fresh, "config.json"), config)
        if name == "ImageClassifier":
            settings = image_settings(model)
            write_json(os.path.join(fresh, "preprocessor_config.json"), settings)
        elif name != "MultimodalAutoencoder":
            write_tokenizer(model.preprocessor, fresh)
        # Without this mark, transformers refuses the file.
        write_tensors(os.path.join(fresh, "model.safetensors"), tensors, {"format": "pt"})


def _architecture(model):
    """Their class for a model."""
    if isinstance(model, ImageClassifier):
        return image_architecture(model.encoder)
    names = {ours: theirs for theirs, ours in ARCHITECTURES.items()}
    return names[type(model).__name__]


def _config(model, architecture):
    """The config of transformers for `model`."""
    encoder = model.get_layer("encoder")
    cross, block = encoder.cross_attention, encoder.self_attention
    requirements, more = REQUIREMENTS[type(model).__name__](model, encoder)
    requirements |= {
        "num_cross_attentions": (encoder.num_cross_attentions, 1),
        "share_first_block": (encoder.share_first_block or encoder.num_blocks == 1, True),
        "widening_factor of the decoder": (model.cross_attention.widening_factor, 1),
    }
    for kind, spec in (
        ("inputs", cross),
        ("latents", block),
        ("decoder", model.cross_attention),
    ):
        where = f"of the attention to {kind}" if kind != "decoder" else "of the decoder"
        requirements[f"residual_dropout {where}"] = (spec.residual_dropout, 0)
        for name in ("activation", "dropout"):
            requirements[f"{name} {where}"] = (getattr(spec, name), getattr(block, name))
    check_demands(f"transformers' {architecture}", requirements)
    activations = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if block.activation not in activations:
        raise ValueError(
            f"transformers' {architecture} needs activation to be one of "
            f"{sorted(activations)}. Received: {block.activation}"
        )
    return {
        "architectures": [architecture],
        "model_type": "perceiver",
        "num_latents": encoder.num_latents,
        "d_latents": encoder.latent_channels,
        "num_blocks": encoder.num_blocks,
        "num_self_attends_per_block": encoder.layers_per_block,
        "num_self_attention_heads": block.num_heads,
        "num_cross_attention_heads": cross.num_heads,
        **channel_settings(encoder, architecture, more),
        "self_attention_widening_factor": block.widening_factor,
        "cross_attention_widening_factor": cross.widening_factor,
        "hidden_act": activations[block.activation],
        "attention_probs_dropout_prob": block.dropout,
        "initializer_range": encoder.init_scale,
        "use_query_residual": True,
        **more,
    }


def _masked_lm(model, encoder):
    """What transformers' class demands of ours, and settings of its own."""
    decoder = model.get_layer("decoder").cross
    requirements = {
        "query_channels": (model.query_channels, None),
        "query_residual": (model.query_residual, False),
        "num_heads of the decoder": (model.cross_attention.num_heads, MASKED_LM_HEADS),
        "(qk_channels, v_channels) of the decoder": (
            attention_channels(decoder),
            (MASKED_LM_QK_CHANNELS, model.encoder.input_channels),
        ),
    }
    return requirements, _text_settings(model)


def _classifier(model, encoder):
    width = encoder.latent_channels
    decoder = model.head == "decoder" and model.get_layer("decoder").cross
    requirements = {
        "head": (model.head, "decoder"),
        "query_channels": (model.query_channels or width, width),
        "query_residual": (model.query_residual, True),
        "num_heads of the decoder": (model.cross_attention.num_heads, 1),
        "(qk_channels, v_channels) of the decoder": (
            decoder and attention_channels(decoder),
            (width, width),
        ),
    }
    labels = model.preprocessor and model.preprocessor.labels
    return requirements, _label_settings(labels, model.num_classes)


def _label_settings(labels, count):
    labels = labels or [f"LABEL_{i}" for i in range(count)]
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _text_classifier(model, encoder):
    requirements, more = _classifier(model, encoder)
    return requirements, {**more, **_text_settings(model)}


def _image_classifier(model, encoder):
    images = model.encoder
    requirements, more = _classifier(model, encoder)
    requirements |= image_requirements(images)
    return requirements, {**more, "image_size": images.image_shape[0]}


def _multimodal_autoencoder(model, encoder):
    requirements, more, num_labels = multimodal.requirements(model)
    width = encoder.latent_channels
    requirements["(qk_channels, v_channels) of the decoder"] = (
        attention_channels(model.get_layer("decoder").cross),
        (width, width),
    )
    return requirements, {**more, **_label_settings(None, num_labels)}


# By our class.
REQUIREMENTS = {
    "ImageClassifier": _image_classifier,
    "MaskedLM": _masked_lm,
    "MultimodalAutoencoder": _multimodal_autoencoder,
    "OpticalFlow": huggingface_flow.requirements,
    "TextClassifier": _text_classifier,
}


def _text_settings(model):
    return {
        "vocab_size": model.encoder.vocab_size,
        "max_position_embeddings": model.encoder.max_length,
        "d_model": model.encoder.input_channels,
    }
