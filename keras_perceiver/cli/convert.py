"""`keras-perceiver convert`."""

from typing import Literal

from keras_perceiver import converters, presets
from keras_perceiver.cli.errors import user_errors
from keras_perceiver.cli.models import MODEL, load
from keras_perceiver.cli.options import Parser

WRITERS = {
    "preset": presets.save,
    "huggingface": converters.to_huggingface,
    "krasserm": converters.to_krasserm,
}


def convert(argv):
    """Write a model in another layout."""
    parser = Parser.of(
        "convert",
        "Write a model as a preset, or in the layout of another library.",
        "MODEL --output=FOLDER [OPTIONS]",
    )
    parser.add_argument(
        "model",
        help=f"{MODEL[0].upper()}{MODEL[1:]}; the folder of a checkpoint of Hugging Face "
        "transformers or krasserm/perceiver-io; or, with --haiku, DeepMind's parameters in "
        "an .npz file.",
    )
    parser.add_argument("--output", required=True, help="Folder to write.")
    parser.add_argument(
        "--to",
        type=Literal[tuple(WRITERS)],
        default="preset",
        help="preset: as keras_perceiver.presets.load reads it; huggingface: for "
        "transformers; krasserm: for krasserm/perceiver-io.",
    )
    parser.add_argument(
        "--haiku",
        type=Literal[presets.ORIGINALS] | None,
        default=None,
        help="The architecture whose parameters the .npz file holds; how to make one: "
        "help(keras_perceiver.presets.from_haiku).",
    )
    options = parser.options(argv)
    with user_errors():
        if options.haiku is None:
            model = load(options.model)
        else:
            model = presets.from_haiku(options.model, options.haiku)
        WRITERS[options.to](model, options.output)
    name = type(model).__name__
    print(f"{name} with {model.count_params():,} parameters written: {options.output}")
