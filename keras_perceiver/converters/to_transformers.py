"""Our image classifier as a transformers folder: the way back of `huggingface`."""

import os

import numpy as np

from keras_perceiver.converters.huggingface import (
    ACTIVATIONS,
    ARCHITECTURE,
    MAX_RESOLUTION,
    NUM_BANDS,
    table,
)
from keras_perceiver.converters.processor import IMAGENET_PROCESSOR
from keras_perceiver.files import atomic_folder, write_json, write_tensors
from keras_perceiver.models import ImageClassifier, ImageEncoder


def to_huggingface(model, folder):
    """Write an image classifier as a folder that transformers loads.

    `PerceiverForImageClassificationFourier.from_pretrained(folder)` then gives the
    same logits. Dropout and label names go along; residual dropout and `remat`,
    which that library does not have, must be off or are left out respectively.

    Args:
        model: an `ImageClassifier` with the decoder head, whose architecture that
            class can express.
        folder: to write; complete or not at all.

    Raises:
        ValueError: something in the model that transformers' class does not have.
        OSError: `folder` cannot be written.
    """
    config = _config(model)
    weights = {weight.path: weight for weight in model.weights}
    tensors = {}
    for ours, theirs, transform in table(config["num_self_attends_per_block"]):
        value = np.asarray(weights.pop(ours), "float32")
        tensors[theirs] = transform(value) if transform else value
    if weights:
        raise ValueError(
            f"transformers has no place for the weights {sorted(weights)[:3]}."
        )
    with atomic_folder(folder) as fresh:
        write_json(os.path.join(fresh, "config.json"), config)
        write_json(os.path.join(fresh, "preprocessor_config.json"), _processor(model))
        # Without this mark, transformers refuses the file.
        write_tensors(os.path.join(fresh, "model.safetensors"), tensors, {"format": "pt"})


def _config(model):
    """The config of transformers for `model`."""
    if not isinstance(model, ImageClassifier) or not isinstance(
        model.encoder, ImageEncoder
    ):
        raise ValueError(
            "`model` must be an ImageClassifier over an ImageEncoder. "
            f"Received: {type(model).__name__}"
        )
    images, encoder = model.encoder, model.get_layer("encoder")
    cross, block = encoder.cross_attention, encoder.self_attention
    decoder = model.cross_attention
    requirements = {
        "head": (model.head, "decoder"),
        "num_cross_attentions": (encoder.num_cross_attentions, 1),
        "share_first_block": (encoder.share_first_block or encoder.num_blocks == 1, True),
        "num_bands": (images.num_bands, NUM_BANDS),
        "max_resolution": (
            tuple(images.max_resolution or images.image_shape[:2]),
            MAX_RESOLUTION,
        ),
        "image channels": (images.image_shape[-1], 3),
        "query_channels": (
            model.query_channels or encoder.latent_channels,
            encoder.latent_channels,
        ),
        "query_residual": (model.query_residual, True),
        "num_heads of the decoder": (decoder.num_heads, 1),
        "widening_factor of the decoder": (decoder.widening_factor, 1),
    }
    for kind, spec in (("inputs", cross), ("latents", block), ("decoder", decoder)):
        where = f"of the attention to {kind}" if kind != "decoder" else "of the decoder"
        requirements[f"residual_dropout {where}"] = (spec.residual_dropout, 0)
        for name in ("activation", "dropout"):
            requirements[f"{name} {where}"] = (getattr(spec, name), getattr(block, name))
    for name, (received, expected) in requirements.items():
        if received != expected:
            raise ValueError(
                f"transformers' {ARCHITECTURE} needs {name} = {expected}. "
                f"Received: {received}"
            )
    activations = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if block.activation not in activations:
        raise ValueError(
            f"transformers' {ARCHITECTURE} needs activation to be one of "
            f"{sorted(activations)}. Received: {block.activation}"
        )
    labels = model.preprocessor.labels or [f"LABEL_{i}" for i in range(model.num_classes)]
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "perceiver",
        "num_latents": encoder.num_latents,
        "d_latents": encoder.latent_channels,
        "num_blocks": encoder.num_blocks,
        "num_self_attends_per_block": encoder.layers_per_block,
        "num_self_attention_heads": block.num_heads,
        "num_cross_attention_heads": cross.num_heads,
        **_channels(encoder, model.get_layer("decoder")),
        "self_attention_widening_factor": block.widening_factor,
        "cross_attention_widening_factor": cross.widening_factor,
        "hidden_act": activations[block.activation],
        "attention_probs_dropout_prob": block.dropout,
        "initializer_range": encoder.init_scale,
        "use_query_residual": True,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _channels(encoder, decoder):
    """Their three settings for our channels of all attentions."""

    def channels(layer):
        return layer.attend.key_dense.units, layer.attend.value_dense.units

    width, inputs = (
        encoder.latent_channels,
        encoder.first_cross.attend.key_dense.kernel.shape[0],
    )
    received = [
        channels(layer)
        for layer in (encoder.first_cross, encoder.first_block.layers[0], decoder.cross)
    ]
    for shape, default in (("kv", inputs), ("q", width)):
        for qk in (None, received[0][0]):
            for v in (None, received[0][1]):
                cross_qk, self_qk = qk or default, qk or width
                expressed = [
                    (cross_qk, v or cross_qk),
                    (self_qk, v or self_qk),
                    (width, width),
                ]
                # Their latents' values must be as wide as the latents.
                if expressed == received and expressed[1][1] == width:
                    return {
                        "qk_channels": qk,
                        "v_channels": v,
                        "cross_attention_shape_for_attention": shape,
                    }
    raise ValueError(
        f"transformers' {ARCHITECTURE} has one qk_channels and one v_channels for both "
        "attentions of the encoder, v_channels as wide as the latents, and decodes with "
        "the latents' channels. Received (qk, v) of the encoder's, the latents' and the "
        f"decoder's attention: {received}, latent_channels={width}"
    )


def _processor(model):
    """Settings of their image processor that do what the model's preprocessor does."""
    height, width, channels = model.encoder.image_shape
    preprocessor = model.preprocessor
    settings = {
        **IMAGENET_PROCESSOR,
        "image_processor_type": "PerceiverImageProcessor",
        "size": {"height": height, "width": width},
        "do_center_crop": preprocessor.crop is not None,
        "image_mean": np.broadcast_to(preprocessor.mean, channels).tolist(),
        "image_std": np.broadcast_to(preprocessor.std, channels).tolist(),
    }
    if preprocessor.crop is not None:
        settings["crop_size"] = {
            "height": round(height / preprocessor.crop),
            "width": round(width / preprocessor.crop),
        }
    return settings
