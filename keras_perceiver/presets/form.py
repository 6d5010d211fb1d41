"""Models as JSON: `{"class_name": ..., "config": {...}}` of known classes only.

Not Keras's own form: that one names modules to import and may carry code. Nothing
here imports, calls or follows what a file says.
"""

import math
import os

from keras_perceiver import models
from keras_perceiver.layers import AttentionSpec, LearnedPositionSpec, StemSpec
from keras_perceiver.layers.configured import argument_names, check_keys
from keras_perceiver.models.model import ConfiguredModel
from keras_perceiver.preprocessing import (
    AudioPreprocessor,
    FlowPreprocessor,
    ImagePreprocessor,
    MidiPreprocessor,
    PointPreprocessor,
    TextPreprocessor,
)
from keras_perceiver.preprocessing.tokenizers import TOKENIZERS

CLASSES = {
    cls.__name__: cls
    for cls in (
        AttentionSpec,
        FlowPreprocessor,
        AudioPreprocessor,
        ImagePreprocessor,
        LearnedPositionSpec,
        MidiPreprocessor,
        StemSpec,
        PointPreprocessor,
        TextPreprocessor,
        *TOKENIZERS.values(),
        *(getattr(models, name) for name in models.__all__),
    )
    if isinstance(cls, type)
}
# Settings that make Python objects, not only wider arrays.
DEPTHS = ("layers_per_block", "num_layers")
# No weight is longer for them, and nothing is allocated: seconds of sound are many samples.
UNWEIGHED = ("max_resolution", "samples", "sampling_rate")
MAX_NESTING = 10


def to_form(value, name="model"):
    """The JSON form of a model, of a part of it, or of a plain value.

    Raises:
        ValueError: something that no form can express, named.
    """
    if CLASSES.get(type(value).__name__) is type(value):
        if isinstance(value, ConfiguredModel):
            config = {key: getattr(value, key) for key in argument_names(type(value))}
            # All of them, given or not: a default may change in a later version.
            options = value.encoder_option_names()
            check_keys(type(value), value.encoder_options, also=options)
            config.update(
                {key: getattr(value.get_layer(value.OPTIONS_LAYER), key) for key in options}
            )
        else:
            config = value.get_config()
        return {
            "class_name": type(value).__name__,
            "config": {key: to_form(item, key) for key, item in config.items()},
        }
    if isinstance(value, (list, tuple)):
        return [to_form(item, name) for item in value]
    if isinstance(value, dict) and "class_name" not in value:  # objects by name
        return {key: to_form(item, key) for key, item in value.items()}
    if isinstance(value, dict):  # a form already, as a tokenizer is in a config
        check_form(value)
        config = {key: to_form(item, key) for key, item in value["config"].items()}
        return {**value, "config": config}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        f"`{name}` must be one of {sorted(CLASSES)}, or a plain value, to be saved in a "
        f"preset. Received: {name}={value!r}"
    )


def from_form(form):
    """The inverse of `to_form`.

    Raises:
        ValueError: an unknown class, unknown keys, or arguments it does not take.
    """
    if isinstance(form, (list, tuple)):
        return [from_form(item) for item in form]
    if not isinstance(form, dict):
        return form
    objects = [isinstance(item, dict) for item in form.values()]
    if "class_name" not in form and objects and all(objects):  # by name
        return {key: from_form(item) for key, item in form.items()}
    cls = CLASSES[check_form(form)]
    also = cls.encoder_option_names() if issubclass(cls, ConfiguredModel) else ()
    check_keys(cls, form["config"], also)
    values = {key: from_form(item) for key, item in form["config"].items()}
    try:
        return cls(**values)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"The configuration of {cls.__name__} has a value of the wrong type or range, "
            f"or lacks one: {error}"
        ) from error


def check_form(form):
    """Name of the class of a form, known and with a config.

    Raises:
        ValueError: otherwise.
    """
    name = form.get("class_name")
    if name not in list(CLASSES):
        raise ValueError(
            f"`class_name` must be one of {sorted(CLASSES)}. Received: {name!r}"
        )
    if set(form) != {"class_name", "config"} or not isinstance(form["config"], dict):
        raise ValueError(
            f"{name} must be given as an object with `class_name` and `config`. "
            f"Received: keys {sorted(form)}"
        )
    return name


def check_sizes(form, tensors, key="", nesting=0):
    """Raise a ValueError if the form asks for more than its weights can need.

    No axis of a model is longer than its weights have elements, and no stack
    deeper than they are many; small numbers are let through, for example the image
    shape of a tiny model.

    Args:
        form: not yet built.
        tensors: the `keras_perceiver.files.TensorFile` with its weights.
        key: what the form is an argument for.
        nesting: depth reached.
    """
    if nesting > MAX_NESTING:
        raise ValueError(f"Objects must not be nested deeper than {MAX_NESTING}.")
    if isinstance(form, (dict, list, tuple)):
        items = form.items() if isinstance(form, dict) else ((key, item) for item in form)
        for name, item in items:
            check_sizes(item, tensors, name, nesting + 1)
        return
    limit = len(tensors.shapes) // 10  # a layer has more than ten weights
    if key not in DEPTHS:
        limit = max(sum(math.prod(shape) for shape in tensors.shapes.values()), 4096)
    if key in UNWEIGHED:
        limit = 2**31
    if isinstance(form, (int, float)) and not abs(form) <= limit:
        raise ValueError(
            f"`{key}` must not exceed {limit}, from the size of "
            f"{os.path.basename(tensors.path)}. Received: {key}={form}"
        )
