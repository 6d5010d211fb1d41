"""Image processors, tokenizers and class labels of Hugging Face folders."""

import math
import os

import numpy as np

from keras_perceiver.files import read_json, write_json
from keras_perceiver.preprocessing import ByteTokenizer, JsonTokenizer

# What transformers' PerceiverImageProcessor does by default.
IMAGENET_PROCESSOR = {
    "do_center_crop": True,
    "crop_size": {"height": 256, "width": 256},
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,  # bicubic
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def read_settings(folder):
    """Settings in `preprocessor_config.json` over their defaults; None without one."""
    path = os.path.join(folder, "preprocessor_config.json")
    return {**IMAGENET_PROCESSOR, **read_json(path)} if os.path.exists(path) else None


def read_processor(folder, image_shape, labels, default=None):
    """Form of an `ImagePreprocessor` that does what the folder's processor does.

    Args:
        folder: that may hold a `preprocessor_config.json`.
        image_shape: `[height, width, channels]` of the model.
        labels: of the classes, or None.
        default: settings if there is no such file; None for a plain preprocessor.

    Raises:
        ValueError: a processor that does something else than crop, resize and
            normalise.
    """
    settings = read_settings(folder) or default
    config = {"image_shape": image_shape, "labels": labels}
    if settings is not None:
        factor = settings["rescale_factor"] if settings["do_rescale"] else 1.0
        if not math.isclose(factor, 1 / 255, rel_tol=1e-6) or settings["resample"] != 3:
            raise ValueError(
                "preprocessor_config.json must rescale by 1/255 and resize with "
                "`resample` 3 (bicubic). Received: "
                f"do_rescale={settings['do_rescale']}, rescale_factor={factor}, "
                f"resample={settings['resample']}"
            )
        normalize = settings["do_normalize"]
        config["mean"] = settings["image_mean"] if normalize else 0.0
        config["std"] = settings["image_std"] if normalize else 1.0
        if settings["do_center_crop"]:
            cropped = image_size(settings, "crop_size")
            height, width = (
                a / b for a, b in zip(image_size(settings), cropped, strict=True)
            )
            if not math.isclose(height, width):
                raise ValueError(
                    "preprocessor_config.json must crop a square: `size` over `crop_size` "
                    f"the same for height and width. Received: {height} and {width}"
                )
            config["crop"] = height
    return {"class_name": "ImagePreprocessor", "config": config}


def read_text_processor(folder, vocab_size, max_length, labels=None):
    """Form of a `TextPreprocessor` for the tokenizer of a folder.

    Returns:
        With `tokenizer.json` in the folder, one for that; without, one for bytes if
        the vocabulary is theirs, else None: the model then takes no strings.
    """
    path = os.path.join(folder, JsonTokenizer.FILE)
    if os.path.exists(path):
        tokenizer = {
            "class_name": "JsonTokenizer",
            "config": JsonTokenizer.from_file(path).get_config(),
        }
    elif vocab_size == ByteTokenizer().vocab_size:
        tokenizer = {"class_name": "ByteTokenizer", "config": {}}
    else:
        return None
    return {
        "class_name": "TextPreprocessor",
        "config": {"tokenizer": tokenizer, "max_length": max_length, "labels": labels},
    }


def image_size(settings, key="size"):
    """`[height, width]` of a processor's size, which may be one number."""
    size = settings[key]
    return [size["height"], size["width"]] if isinstance(size, dict) else [size, size]


def class_labels(config, num_classes):
    """Labels in a config's `id2label`; None if there are none but made-up ones."""
    names = config.get("id2label") or {}
    labels = [names.get(str(i)) for i in range(len(names))]
    made_up = [f"LABEL_{i}" for i in range(len(names))]
    return labels if labels != made_up and len(names) == num_classes else None


def write_tokenizer(preprocessor, folder):
    """Files of a text preprocessor's tokenizer that transformers reads, if it can."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if isinstance(tokenizer, ByteTokenizer):
        settings = {
            "tokenizer_class": "PerceiverTokenizer",
            "model_max_length": preprocessor.max_length,
            "padding_side": preprocessor.padding_side,
        }
        write_json(os.path.join(folder, "tokenizer_config.json"), settings)
    elif isinstance(tokenizer, JsonTokenizer):
        with open(os.path.join(folder, tokenizer.FILE), "wb") as file:
            file.write(tokenizer.file_bytes())


def image_settings(model):
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
            "height": _whole(height / preprocessor.crop),
            "width": _whole(width / preprocessor.crop),
        }
    return settings


def _whole(number):
    """An integer if that is what it is but for rounding: they read fractions as well."""
    return round(number) if math.isclose(number, round(number)) else number
