"""Models as the command line names them."""

import argparse
import dataclasses
import pathlib

from keras_perceiver import presets
from keras_perceiver.cli.errors import CommandLineError
from keras_perceiver.cli.options import TYPES, read_options
from keras_perceiver.layers.configured import argument_names

MODEL = "a preset's name (keras-perceiver presets), or the folder of a preset or run"


def load(name_or_path, load_weights=True):
    """A model by preset name, or from the folder of a preset or of a run."""
    inside = pathlib.Path(name_or_path) / "preset"
    return presets.load(inside if inside.is_dir() else name_or_path, load_weights)


def add_model(parser, argv):
    """Add the argument MODEL to a parser whose other options depend on it: its value."""
    parser.add_argument(
        "model",
        help=f"{MODEL[0].upper()}{MODEL[1:]}. The options depend on it: MODEL --help "
        "shows them.",
    )
    if argv and argv[0] in ("-h", "--help"):
        parser.options(argv)
    if not argv or argv[0].startswith("-"):
        received = argv[0] if argv else "nothing"
        raise CommandLineError(f"MODEL must come first, {MODEL}. Received: {received}")
    return argv[0]


def chosen_value(argv, name):
    """The value of a dotted option on the command line or in its `--config` files."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument(f"--{name}", dest="value")
    known, _ = parser.parse_known_args(argv)
    if known.value is not None:
        return None if known.value == "null" else known.value
    value = None
    for path in known.config:
        options = read_options(path)
        for key in name.split("."):
            options = options.get(key) if isinstance(options, dict) else None
        value = value if options is None else options
    return value


def defaults_like(described, prefix, skip=()):
    """Defaults under which options describe what there is: dotted name to value.

    Args:
        described: a model or a part of it, made of its constructor's arguments.
        prefix: of the names.
        skip: arguments left out.
    """
    values = {name: getattr(described, name) for name in argument_names(type(described))}
    values |= getattr(described, "encoder_options", {})
    flat = {}
    for name, value in values.items():
        if name in ("name", *skip):
            continue
        if dataclasses.is_dataclass(value) and name not in TYPES:
            items = dataclasses.asdict(value).items()
            flat |= {f"{prefix}.{name}.{k}": v for k, v in items}
        else:  # a record that may be None is one option
            flat[f"{prefix}.{name}"] = value
    return flat


def copy_weights(source, target, option):
    """Set the weights of `target` to those of `source`, a model like it."""
    if len(source.weights) != len(target.weights):
        raise ValueError(
            f"{option} needs a model like the preset's. It has {len(source.weights)} "
            f"weights, the options ask for {len(target.weights)}"
        )
    for theirs, ours in zip(source.weights, target.weights, strict=True):
        if theirs.path != ours.path or theirs.shape != ours.shape:
            raise ValueError(
                f"{option} needs a model like the preset's. It has "
                f"{theirs.path} {tuple(theirs.shape)}, the options ask for {ours.path} "
                f"{tuple(ours.shape)}"
            )
    target.set_weights(source.get_weights())


def checked_labels(data, num_classes):
    """Names of the classes of the data, as many as `num_classes` if that is given."""
    if data.labels is None:
        raise ValueError(
            "--data must have labels (for a table: --data.label_column=NAME). Received: "
            "data without labels"
        )
    if num_classes not in (None, len(data.labels)):
        raise ValueError(
            f"--model.num_classes must be {len(data.labels)}, the number of classes of the "
            f"data. Received: {num_classes}"
        )
    return data.labels


def refuse(model, expected, option="--model"):
    """Raise a `CommandLineError`: this kind of model will not do."""
    raise CommandLineError(
        f"{option} must be {expected}. Received: a model of class {type(model).__name__}"
    )
