"""DeepMind's original parameters as models."""

from keras_perceiver.converters import haiku
from keras_perceiver.converters.apply import load_weights, unallocated
from keras_perceiver.converters.npz import ArrayFile
from keras_perceiver.presets.catalogue import ARCHITECTURES
from keras_perceiver.presets.form import from_form, to_form

ORIGINALS = (
    "perceiver_io_imagenet_conv",
    "perceiver_io_imagenet_fourier",
    "perceiver_io_imagenet_learned",
    "perceiver_io_language_bytes",
    "perceiver_io_multimodal",
    "perceiver_io_optical_flow",
)


def from_haiku(path, name):
    """A model with parameters that DeepMind published, and with DeepMind's numbers.

    They were published as pickles, which can run code and are not read here. Where you
    trust one, this writes what is read, in a process with Haiku installed:

        tree = pickle.load(open("imagenet.pystate", "rb"))
        numpy.savez("imagenet.npz", **{f"{module}/{key}": array for part in (
            tree["params"], tree["state"]) for module, parameters in part.items()
            for key, array in parameters.items()})

    Where the file holds the parameters alone, as those of the language and the multimodal
    model do, it is `for part in (tree,)`.

    Args:
        path: of the `.npz` file.
        name: of its architecture: one of `ORIGINALS` in this module.

    Returns:
        A model of the architecture of that name, as it was trained: with the tanh form
        of GELU; padding of the convolution is `"same"`; learned positions go without
        `query_residual`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another name, a file that is not of this kind, or one that lacks a
            parameter, has one too many, or one of another shape.
    """
    if name not in ORIGINALS:
        raise ValueError(f"`name` must be one of {ORIGINALS}. Received: {name!r}")
    form = _as_trained(unallocated(lambda: to_form(from_form(ARCHITECTURES[name]))))
    rows = haiku.table(form["class_name"], form["config"]["encoder"]["config"])
    arrays = ArrayFile(path, haiku.IGNORED)
    return load_weights(lambda: from_form(form), arrays, rows)


def _as_trained(form):
    """A form of a model with what DeepMind did otherwise than transformers does."""
    if isinstance(form, list):
        return [_as_trained(item) for item in form]
    if not isinstance(form, dict):
        return form
    form = {key: _as_trained(item) for key, item in form.items()}
    name, config = form.get("class_name"), form.get("config")
    if name == "AttentionSpec":
        config["activation"] = "gelu_tanh"
    elif name == "StemSpec" and config["kind"] == "conv":
        config["padding"] = "same"
    elif name == "ImageClassifier":
        config["query_residual"] = config["encoder"]["config"]["positions"] is None
    return form
