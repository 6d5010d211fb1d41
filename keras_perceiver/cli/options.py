"""Options from signatures: names, defaults and help are written once, in the library."""

import argparse
import dataclasses
import inspect
import re
from typing import Literal

import jsonargparse  # noqa: TID253 (this module is imported by commands only)
import yaml
from jsonargparse.typing import PositiveInt  # noqa: TID253

from keras_perceiver.cli import optimizers
from keras_perceiver.cli.errors import CommandLineError, summary
from keras_perceiver.cli.sources import SOURCES
from keras_perceiver.layers import LearnedPositionSpec, StemSpec
from keras_perceiver.models import MelSpec
from keras_perceiver.models.modalities import Modality

# Where a default does not tell the type, or what is left open tells the value.
TYPES = {
    "num_classes": int | None,
    "num_bands": int,
    "max_resolution": tuple[int, int] | None,
    "stem": StemSpec | None,
    "positions": LearnedPositionSpec | None,
    "patch_size": int | None,
    "mel": MelSpec | None,
    "modalities": dict[str, Modality] | None,
    "num_points": dict[str, int] | None,
    "vocab_size": int | None,
    "num_latents": int,
    "latent_channels": int,
    "query_channels": int | None,
    "mean": float | list[float],
    "std": float | list[float],
    "crop": float | None,
    "min_length": PositiveInt | None,
    "min_overlap": int | None,
    "mask_selection_length": PositiveInt | None,
    "cache": str | None,
    "rotary_fraction": float | None,
    "use_cache": bool | Literal["exact"],
    "seed": int | None,
    "freed_latents": int | None,
}
REQUIRED = inspect.Parameter.empty
# What need not be given, and what it is then.
OPEN = {
    "num_classes": "as the data have it",
    "vocab_size": "as the tokenizer has it",
    "rotary_fraction": "by that rule",
}


def option_class(
    name, *sources, skip=("name",), defaults=(), base=object, module=None, **more
):
    """A dataclass with the arguments of classes or functions as typed fields.

    Args:
        name: of the dataclass.
        *sources: whose signatures and documented arguments count; where two have the
            same argument, the first one's.
        skip: arguments left out.
        defaults: other defaults than the signatures': name to value.
        base: class of the dataclass, where an option chooses among several.
        module: where the dataclass stands under its name, if it is so chosen.
        **more: further fields: name to `(type, default, help)`.

    Returns:
        A dataclass that jsonargparse makes options and help of.
    """
    fields, docs = {}, {}
    for source in sources:
        docs = documented(source) | docs
        for parameter in inspect.signature(source).parameters.values():
            default = None if parameter.name in OPEN else parameter.default
            default = dict(defaults).get(parameter.name, default)
            if (
                parameter.name in fields  # the first one's counts
                or parameter.name in skip
                or parameter.kind is parameter.VAR_KEYWORD
            ):
                continue
            kind = TYPES.get(parameter.name, type(default))
            fields[parameter.name] = (kind, *_default(default))
    for key, value in OPEN.items():
        if key in docs:
            docs[key] += f" None: {value}."
    for key, (kind, default, text) in more.items():
        fields[key] = (kind, *_default(default))
        docs[key] = text
    cls = dataclasses.make_dataclass(
        name,
        [(key, *field) for key, field in fields.items()],
        bases=(base,),
        kw_only=True,
    )
    cls.__module__ = module or cls.__module__
    arguments = "\n".join(f"    {key}: {docs[key]}" for key in fields)
    cls.__doc__ = f"{sources[0].__doc__.splitlines()[0]}\n\nArgs:\n{arguments}\n"
    return cls


def _default(value):
    if value is REQUIRED:
        return ()
    return (dataclasses.field(default_factory=lambda: value),)


def documented(source):
    """Arguments that a docstring describes: name to text."""
    section = re.search(r"Args:\n(.*?)\n\n", inspect.cleandoc(source.__doc__), re.S)[1]
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \*{0,2}\w|\Z)", section, re.S | re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def values(options):
    """Fields of a dataclass, not copied: name to value."""
    return {
        field.name: getattr(options, field.name) for field in dataclasses.fields(options)
    }


def read_options(path):
    """Options in a YAML file: name to value.

    Args:
        path: of the file.

    Raises:
        ValueError: it is not YAML, or not of options.
    """
    with open(path, encoding="utf-8") as file:
        try:
            options = yaml.safe_load(file) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} must be a YAML file. Received: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{path} must be a YAML file with options. Received: {options}")
    return options


class Parser(jsonargparse.ArgumentParser):
    """A jsonargparse parser that tells errors in one line and writes public names."""

    @classmethod
    def of(cls, command, description, arguments="[OPTIONS]"):
        """A parser for a command."""
        prog = f"keras-perceiver {command}"
        parser = cls(
            prog=prog,
            usage=f"{prog} {arguments}",
            description=description,
            exit_on_error=False,
        )
        parser.names = {"optimizer": ", ".join(optimizers.names())}
        return parser

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
        return re.sub(r"keras_perceiver\.cli\.(sources|schedules)\.(\w+)", r"\2", text)

    def add_config(self):
        """`--config` and `--print_config`."""
        self.add_argument("--config", action="config", help="YAML file with options.")

    def add_data(self, kind, default=None):
        """`--data` and what depends on it.

        Args:
            kind: a key of `SOURCES`.
            default: name of a source; None for the first.
        """
        names = list(SOURCES[kind])
        self.names["data"] = ", ".join(names)
        self.add_subclass_arguments(
            kind,
            "data",
            default={"class_path": default or names[0]},
            help=f"{kind.__doc__} One of: {self.names['data']}. Their options: "
            "--data.help=NAME.",
        )

    def add_batch_size(self):
        """`--batch_size`."""
        self.add_argument(
            "--batch_size", type=PositiveInt, default=64, help="Records per batch."
        )


def _full_optimizer_name(argument):
    """`--optimizer=AdamW` with the public path.

    The name alone is ambiguous on PyTorch, where Keras has two classes of each name.
    """
    option, _, name = argument.partition("=")
    if option == "--optimizer" and name in optimizers.names():
        return f"--optimizer=keras.optimizers.{name}"
    return argument
