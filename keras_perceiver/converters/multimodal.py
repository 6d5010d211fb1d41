"""transformers' multimodal autoencoder: what is its own, both ways."""

from keras_perceiver.converters.apply import module_rows

# `PerceiverConfig`'s defaults.
DEFAULTS = {
    "num_frames": 16,
    "image_size": 56,
    "audio_samples_per_frame": 1920,
    "samples_per_patch": 16,
    "output_shape": (1, 16, 224, 224),
    "output_num_channels": 512,
    "_label_trainable_num_channels": 1024,
}
# Fixed in their class, not in their config.
NAMES = ("audio", "image", "label")
AUDIO = {"channels": 1, "num_bands": 192}
IMAGE = {"channels": 3, "patch_size": 4, "num_bands": 32}
MIN_PADDING, MIN_QUERY_PADDING = 4, 2


def rows():
    """Rows `(our path, their name, transform)` of adapters, queries and heads."""
    for name in NAMES:
        adapter = "perceiver.input_preprocessor"
        yield f"{name}_padding/padding", f"{adapter}.padding.{name}", None
        yield f"{name}_mask_token/token", f"{adapter}.mask.{name}", None
        yield f"{name}_query_padding/padding", f"perceiver.decoder.padding.{name}", None
        head = f"perceiver.output_postprocessor.modalities.{name}.classifier"
        yield from module_rows(f"{name}_output", head)
    label = "perceiver.decoder.modalities.label.decoder"
    embeddings = f"{label}.output_position_encodings.position_embeddings"
    yield "label_queries/queries", embeddings, None
    yield from module_rows("answers", "perceiver.decoder.decoder.final_layer")


def form(config, num_classes, encoder_options, decoder):
    """Form of a `MultimodalAutoencoder`.

    Args:
        config: with keys of `PerceiverConfig`.
        num_classes: number of labels.
        encoder_options: of our encoder.
        decoder: form of the decoder's `AttentionSpec`.

    Raises:
        ValueError: an option that is not reproduced.
    """
    config = {**DEFAULTS, **config}
    received = config["cross_attention_shape_for_attention"]
    if received != "kv":
        raise ValueError(
            "`cross_attention_shape_for_attention` in config.json must be 'kv' for "
            f"multimodal models. Received: {received!r}"
        )
    _, frames, height, width = config["output_shape"]
    size = config["image_size"]
    audio = {
        "samples": config["num_frames"] * config["audio_samples_per_frame"],
        "patch_size": config["samples_per_patch"],
        **AUDIO,
    }
    image = {
        "frames": frames,
        "height": height,
        "width": width,
        "max_resolution": [config["num_frames"], size, size],
        **IMAGE,
    }
    label = {
        "num_classes": num_classes,
        "query_channels": config["_label_trainable_num_channels"],
    }
    modalities = {
        name: {"class_name": class_name, "config": kind}
        for name, class_name, kind in zip(
            NAMES,
            ("AudioModality", "VideoModality", "LabelModality"),
            (audio, image, label),
            strict=True,
        )
    }
    encoder = {"modalities": modalities, "min_padding": MIN_PADDING, **encoder_options}
    return {
        "class_name": "MultimodalAutoencoder",
        "config": {
            "encoder": {"class_name": "MultimodalEncoder", "config": encoder},
            "cross_attention": decoder,
            "min_padding": MIN_QUERY_PADDING,
            "output_channels": config["output_num_channels"],
            "endpoint": False,  # theirs never ask for coordinate 1
            "init_scale": config["initializer_range"],
        },
    }


def requirements(model):
    """What their class demands of ours, settings of its own, and the number of labels."""
    kinds = model.encoder.modalities
    received = {name: type(kind).__name__ for name, kind in kinds.items()}
    expected = {
        "audio": "AudioModality",
        "image": "VideoModality",
        "label": "LabelModality",
    }
    if received != expected:
        return {"modalities": (received, expected)}, {}, 0
    audio, image, label = (kinds[name] for name in NAMES)
    frames, *size = image.resolution
    found = {
        "min_padding of the encoder": (model.encoder.min_padding, MIN_PADDING),
        "min_padding of the decoder": (model.min_padding, MIN_QUERY_PADDING),
        "endpoint": (model.endpoint, False),
        "query_residual": (model.query_residual, False),
        "num_heads of the decoder": (model.cross_attention.num_heads, 1),
        "max_resolution of images": (size, [size[0]] * 2),
        "samples": (audio.samples % frames, 0),
    }
    for kind, options in (("audio", AUDIO), ("image", IMAGE)):
        for name, value in options.items():
            found[f"{name} of {kind}"] = (getattr(kinds[kind], name), value)
    settings = {
        "num_frames": frames,
        "image_size": size[0],
        "audio_samples_per_frame": audio.samples // frames,
        "samples_per_patch": audio.patch_size,
        "output_shape": [1, *image.grid],
        "output_num_channels": model.output_channels,
        "_label_trainable_num_channels": label.query_channels,
    }
    return found, settings, label.num_classes
