"""Options from signatures: names, defaults and help are written once, in the library."""

import argparse
import dataclasses
import inspect
import re

import jsonargparse  # noqa: TID253 (this module is imported by commands only)
import keras
import yaml
from jsonargparse.typing import PositiveInt, class_from_function  # noqa: TID253

from keras_perceiver import data
from keras_perceiver.cli.errors import CommandLineError, summary
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import ImageClassifier, ImageEncoder
from keras_perceiver.preprocessing import ImagePreprocessor

# Where a default does not tell the type, or the data does tell the value.
TYPES = {
    "image_shape": tuple[int, int, int] | None,
    "num_classes": int | None,
    "num_bands": int,
    "max_resolution": tuple[int, int] | None,
    "num_latents": int,
    "latent_channels": int,
    "query_channels": int | None,
    "mean": float | list[float],
    "std": float | list[float],
    "crop": float | None,
}
REQUIRED = inspect.Parameter.empty
FROM_DATA = ("image_shape", "num_classes")
ENCODER = (ImageEncoder, PerceiverEncoder)

PRESET_HELP = (
    "What to start from: a name (see keras-perceiver presets), or the folder of a preset "
    "or run. It sets the defaults of the other model options."
)


class Data:
    """Labelled images to train on, and held out."""


SOURCES = {
    function.__name__: class_from_function(function, Data, name=function.__name__)
    for function in (data.digits, data.image_folder, data.tfds)
}


def option_class(name, *classes, skip=("name",), **more):
    """A dataclass with the constructor arguments of `classes` as typed fields.

    Args:
        name: of the dataclass.
        *classes: whose signatures and documented arguments count.
        skip: arguments left out.
        **more: further fields: name to `(type, default, help)`.

    Returns:
        A dataclass that jsonargparse makes options and help of.
    """
    fields, docs = {}, {}
    for cls in classes:
        docs |= _documented(cls)
        for parameter in inspect.signature(cls.__init__).parameters.values():
            default = None if parameter.name in FROM_DATA else parameter.default
            if parameter.name in ("self", *skip) or parameter.kind is parameter.VAR_KEYWORD:
                continue
            kind = TYPES.get(parameter.name, type(default))
            fields[parameter.name] = (kind, *_default(default))
    for key in FROM_DATA:
        if key in docs:
            docs[key] += " None: as the data have it."
    for key, (kind, default, text) in more.items():
        fields[key] = (kind, *_default(default))
        docs[key] = text
    cls = dataclasses.make_dataclass(
        name, [(key, *field) for key, field in fields.items()], kw_only=True
    )
    arguments = "\n".join(f"    {key}: {docs[key]}" for key in fields)
    cls.__doc__ = f"{classes[0].__doc__.splitlines()[0]}\n\nArgs:\n{arguments}\n"
    return cls


def _default(value):
    if value is REQUIRED:
        return ()
    return (dataclasses.field(default_factory=lambda: value),)


def _documented(cls):
    """Arguments that a class docstring describes: name to text."""
    section = re.search(r"Args:\n(.*?)\n\n", inspect.cleandoc(cls.__doc__), re.S)[1]
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \*{0,2}\w|\Z)", section, re.S | re.M)
    return {name: " ".join(text.split()) for name, text in entries}


class Parser(jsonargparse.ArgumentParser):
    """A jsonargparse parser that tells errors in one line and writes public names."""

    names = {"data": ", ".join(SOURCES), "optimizer": "the optimizers of Keras: AdamW, ..."}

    @classmethod
    def of(cls, command, description, arguments="[OPTIONS]"):
        """A parser for a command."""
        prog = f"keras-perceiver {command}"
        return cls(
            prog=prog,
            usage=f"{prog} {arguments}",
            description=description,
            exit_on_error=False,
        )

    def options(self, argv):
        """What `argv` says, or a `CommandLineError`."""
        try:
            return self.parse_args([_full_optimizer_name(argument) for argument in argv])
        except argparse.ArgumentError as error:
            raise CommandLineError(summary(str(error), self.names)) from error

    def dump(self, *args, **kwargs):
        """YAML without private paths of classes."""
        text = super().dump(*args, **kwargs)
        text = re.sub(
            r"keras\.src\.[\w.]*optimizers\.[\w.]*?(\w+)\n", r"keras.optimizers.\1\n", text
        )
        return re.sub(r"keras_perceiver\.cli\.options\.(\w+)", r"\1", text)

    def add_config(self):
        """`--config` and `--print_config`."""
        self.add_argument("--config", action="config", help="YAML file with options.")

    def add_data(self, default):
        """`--data` and what depends on it."""
        self.add_subclass_arguments(
            Data,
            "data",
            default=default,
            help=f"Where images come from: {self.names['data']}. Their options: "
            "--data.help=NAME.",
        )
        self.add_argument(
            "--batch_size", type=PositiveInt, default=64, help="Images per batch."
        )


def _full_optimizer_name(argument):
    """`--optimizer=AdamW` with the public path.

    The name alone is ambiguous on PyTorch, where Keras has two classes of each name.
    """
    option, _, name = argument.partition("=")
    if option == "--optimizer" and hasattr(keras.optimizers, name):
        return f"--optimizer=keras.optimizers.{name}"
    return argument


def model_options():
    """Dataclass of what `--model.` takes."""
    encoder = option_class("EncoderOptions", *ENCODER)
    preprocessor = option_class(
        "PreprocessorOptions", ImagePreprocessor, skip=("image_shape", "labels")
    )
    return option_class(
        "ModelOptions",
        ImageClassifier,
        skip=("name", "encoder", "preprocessor"),
        encoder=(encoder, REQUIRED, "What reads the image."),
        preprocessor=(preprocessor, REQUIRED, "What is done to an image first."),
        preset=(
            str | None,
            None,
            PRESET_HELP,
        ),
        load_weights=(bool, False, "Start from the preset's weights."),
    )


def preset_defaults(model):
    """Options under which `--model.` describes `model`: dotted name to value."""
    encoder = model.encoder
    values = {
        **{name: getattr(model, name) for name in _names(ImageClassifier)},
        **{f"encoder.{k}": getattr(encoder, k) for k in _names(ImageEncoder)},
        **{f"encoder.{k}": v for k, v in encoder.encoder_options.items()},
        **{
            f"preprocessor.{k}": getattr(model.preprocessor, k)
            for k in ("mean", "std", "crop")
        },
    }
    flat = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            flat |= {f"{name}.{k}": v for k, v in dataclasses.asdict(value).items()}
        else:
            flat[name] = value
    return {f"model.{name}": value for name, value in flat.items()}


def _names(cls):
    skip = ("self", "name", "encoder", "preprocessor", "num_classes")
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [
        p.name for p in parameters if p.name not in skip and p.kind is not p.VAR_KEYWORD
    ]


def chosen_preset(argv):
    """The value of `--model.preset` on the command line or in its `--config` files."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--model.preset", dest="preset")
    known, _ = parser.parse_known_args(argv)
    if known.preset is not None:
        return known.preset
    preset = None
    for path in known.config:
        with open(path) as file:
            model = (yaml.safe_load(file) or {}).get("model") or {}
        preset = model.get("preset", preset)
    return preset
