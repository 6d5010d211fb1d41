"""Presets by name or folder: load and list."""

import inspect
import os

import keras

from keras_perceiver import converters
from keras_perceiver.converters.apply import check_table, load_weights, weight_shapes
from keras_perceiver.files import FLOAT_TYPES, INTEGER_TYPE, TensorFile, read_json
from keras_perceiver.layers.adaptation import adapt, check_adaptation
from keras_perceiver.preprocessing.tokenizers import TOKENIZERS
from keras_perceiver.presets.catalogue import ARCHITECTURES
from keras_perceiver.presets.form import CLASSES, check_form, check_sizes, from_form

LIBRARY = "keras_perceiver"
CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor.json"
# In the configuration: what `keras_perceiver.layers.adaptation` says of a model.
ADAPTATION = "adaptation"
# Trained presets are shipped as folders beside this file.
SHIPPED = os.path.dirname(__file__)


def list():
    """Names that `load` knows: trained presets that are shipped, and architectures.

    Example:
    >>> "perceiver_io_mnist" in list()
    True
    """
    return sorted({*_shipped(), *ARCHITECTURES})


def load(name_or_path, load_weights=True):
    """A model by name or from a folder.

    Args:
        name_or_path: a name in `list()`; or else a folder: a preset that `save`
            wrote, or a checkpoint in the layout of the Hugging Face hub of
            transformers (`PerceiverForImageClassificationFourier`, `...Learned`,
            `...ConvProcessing`, `PerceiverForMaskedLM`, `PerceiverForOpticalFlow`,
            `PerceiverForSequenceClassification`, `PerceiverForMultimodalAutoencoding`) or
            of krasserm/perceiver-io (image and text classifier, optical flow, masked and
            causal language model, symbolic audio), converted on the fly.
        load_weights: False for the architecture with random initial weights. A
            folder must hold its weights all the same: they bound its size.

    Returns:
        A model, quantized or with low-rank factors if that was saved.

    Raises:
        FileNotFoundError: a folder without one of its files.
        ValueError: an unknown name, a name without weights, or a folder that is
            incomplete, corrupt, or not of this kind.

    Example:
    >>> load("perceiver_io_mnist", load_weights=False).count_params()
    907212
    """
    name = os.fspath(name_or_path)
    folder = _shipped().get(name)
    if folder is None and name in ARCHITECTURES:
        if load_weights:
            raise ValueError(
                f"No weights are shipped for {name!r}: pass `load_weights=False` for "
                "random initial ones, or a folder that holds weights."
            )
        return from_form(ARCHITECTURES[name])
    if folder is None:
        folder = name
    if not os.path.isdir(folder):
        raise ValueError(
            f"`name_or_path` must be a folder or one of {list()}. Received: {name!r}"
        )
    return _load_folder(folder, load_weights)


def _shipped():
    return {
        entry.name: entry.path
        for entry in os.scandir(SHIPPED)
        if os.path.isfile(os.path.join(entry.path, CONFIG))
    }


def _load_folder(folder, with_weights):
    config = read_json(_file(folder, CONFIG))
    table, ignored, types, states = None, (), FLOAT_TYPES, {}
    if config.get("library") == LIBRARY:
        if ADAPTATION in config:
            states = config.pop(ADAPTATION)
            check_adaptation(states)
            types = (*FLOAT_TYPES, INTEGER_TYPE)
        form = _own_form(folder, config)
    else:
        form, table, ignored = converters.describe(folder, config)
    if not issubclass(CLASSES[check_form(form)], keras.Model):
        raise ValueError(f"{folder} must hold a model. Received: {form['class_name']}")
    tensors = TensorFile(_file(folder, WEIGHTS), ignored, types)
    check_sizes(form, tensors)
    check_sizes(states, tensors)

    def make_model():
        return adapted_model(form, states)

    if with_weights:
        return load_weights(make_model, tensors, table, ignored)
    check_table(weight_shapes(make_model), tensors, table, ignored)
    return make_model()


def adapted_model(form, states):
    """The model of a form, quantized and with low-rank factors where `states` says so."""
    model = from_form(form)
    if states:
        adapt(model, states)
    return model


def _own_form(folder, config):
    form = {key: value for key, value in config.items() if key != "library"}
    arguments = inspect.signature(CLASSES[check_form(form)]).parameters
    if "preprocessor" in arguments and "preprocessor" not in form["config"]:
        preprocessor = read_json(_file(folder, PREPROCESSOR))
        check_form(preprocessor)
        tokenizer = preprocessor["config"].get("tokenizer")
        if tokenizer is not None:
            _read_vocabulary(folder, tokenizer)
        form["config"] = {**form["config"], "preprocessor": preprocessor}
    return form


def _read_vocabulary(folder, form):
    """Put the content of a tokenizer's file into its form."""
    name = check_form(form) if isinstance(form, dict) else form
    if name not in tuple(TOKENIZERS):
        raise ValueError(
            f"`tokenizer` must be one of {sorted(TOKENIZERS)}. Received: {name!r}"
        )
    cls = TOKENIZERS[name]
    if cls.FILE is not None:
        tokenizer = cls.from_file(_file(folder, cls.FILE))
        form["config"][cls.CONTENT] = tokenizer.get_config()[cls.CONTENT]


def _file(folder, name):
    path = os.path.join(folder, name)
    if os.path.exists(path):
        return path
    pickled = (".bin", ".pt", ".pth", ".ckpt")
    pickles = sorted(x for x in os.listdir(folder) if x.endswith(pickled))
    if name == WEIGHTS and pickles:
        raise ValueError(
            f"{folder} holds pickled weights, {pickles}: reading them "
            "can run code that they carry. Where you trust them, load them with the "
            "library that wrote them and save them as model.safetensors "
            "(transformers: model.save_pretrained(folder))."
        )
    raise FileNotFoundError(f"{folder} is incomplete: it lacks {name}.")
