"""`keras-perceiver evaluate | predict | export | presets`."""

import math
import pathlib

import keras
import yaml

from keras_perceiver import export as formats
from keras_perceiver import presets as catalogue
from keras_perceiver.cli.errors import user_errors
from keras_perceiver.cli.models import load
from keras_perceiver.cli.options import Parser
from keras_perceiver.data import batches

MODEL = "a preset's name (keras-perceiver presets), or the folder of a preset or run"


def evaluate(argv):
    """Print the accuracy of a model on held-out data."""
    parser = Parser.of(
        "evaluate", "Accuracy of a model on held-out data.", "MODEL [OPTIONS]"
    )
    parser.add_argument("model", help=f"{MODEL[0].upper()}{MODEL[1:]}.")
    parser.add_data(default=None)
    options = parser.options(argv)
    with user_errors():
        if options.data is None:
            options = parser.options([*_data_of_run(options.model), *argv])
        chosen = parser.instantiate(options)
        model = load(chosen.model)
        held_out = batches(chosen.data.test, model, chosen.batch_size)
        model.compile(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    scores = model.evaluate(
        held_out,
        steps=math.ceil(len(chosen.data.test) / chosen.batch_size),
        verbose=0,
        return_dict=True,
    )
    print(
        f"held-out accuracy: {scores['accuracy']:.2%} on {len(chosen.data.test)} images "
        f"(loss {scores['loss']:.4f})"
    )


def _data_of_run(model):
    """The data that a run was trained on, as options: the same images are held out."""
    config = pathlib.Path(model) / "config.yaml"
    data = yaml.safe_load(config.read_text())["data"] if config.is_file() else None
    data = data or {"class_path": "digits"}
    arguments = [
        f"--data.{k}={v}" for k, v in data.get("init_args", {}).items() if v is not None
    ]
    return [f"--data={data['class_path']}", *arguments]


def predict(argv):
    """Print the classes of image files."""
    parser = Parser.of("predict", "Classes of image files.", "IMAGE... [OPTIONS]")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="Image files.")
    parser.add_argument("--model", default="digits", help=f"{MODEL[0].upper()}{MODEL[1:]}.")
    parser.add_argument("--top_k", type=int, default=1, help="Classes to print of each.")
    options = parser.options(argv)
    with user_errors():
        model = load(options.model)
        classes = model.classify(options.images, top_k=options.top_k)
    for path, found in zip(options.images, classes, strict=True):
        print(path, *(f"{one['label']} ({one['score']:.1%})" for one in found), sep="\t")


def export(argv):
    """Write a SavedModel."""
    parser = Parser.of("export", "Write a TensorFlow SavedModel.", "MODEL --output=FOLDER")
    parser.add_argument("model", help=f"{MODEL[0].upper()}{MODEL[1:]}.")
    parser.add_argument("--output", required=True, help="Folder to write.")
    options = parser.options(argv)
    with user_errors():
        formats.saved_model(load(options.model), options.output)
    print(f"SavedModel written and verified: {options.output}")


def presets(argv):
    """Print the names of presets."""
    Parser.of("presets", "List the models that load by name.", "").options(argv)
    for name in catalogue.list():
        print(name)
