"""Public checkpoints of other Perceiver libraries, read and written by weight tables.

`keras_perceiver.presets.load(folder)` reads them; `to_huggingface` and `to_krasserm`
write.
"""

from keras_perceiver.converters import huggingface, krasserm, krasserm_ar, krasserm_flow
from keras_perceiver.converters.to_krasserm import to_krasserm
from keras_perceiver.converters.to_transformers import to_huggingface

__all__ = ["describe", "to_huggingface", "to_krasserm"]

SOURCES = {
    "perceiver": huggingface.describe,
    "perceiver-ar-causal-language-model": krasserm_ar.causal_lm,
    "perceiver-ar-symbolic-audio-model": krasserm_ar.symbolic_audio,
    "perceiver-io-image-classifier": krasserm.image_classifier,
    "perceiver-io-masked-language-model": krasserm.masked_lm,
    "perceiver-io-optical-flow": krasserm_flow.optical_flow,
    "perceiver-io-text-classifier": krasserm.text_classifier,
}


def describe(folder, config):
    """What the checkpoint in a folder is in this library's terms; reads no weights.

    Args:
        folder: in the layout of a Hugging Face hub repository.
        config: content of its `config.json`.

    Returns:
        `(form, table, ignored)`: the model as the data that a preset's
        `config.json` holds; rows `(our path, their tensor, transform)` of all
        weights; and functions that are true for names of tensors to leave unused.

    Raises:
        ValueError: an unknown kind of model, or an option that is not reproduced.
    """
    model_type = config.get("model_type")
    if model_type not in list(SOURCES):
        raise ValueError(
            f"`model_type` in {folder}/config.json must be one of {sorted(SOURCES)}. "
            f"Received: {model_type!r}"
        )
    try:
        return SOURCES[model_type](folder, config)
    except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"The configuration in {folder} has a value of the wrong type: {error}"
        ) from error
