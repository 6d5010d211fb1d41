"""`keras-perceiver fit`."""

import dataclasses
import importlib.util
import math
import os
import pathlib
import random
import tempfile
from typing import Literal

import keras
from jsonargparse.typing import PositiveInt  # noqa: TID253 (imported by `fit` only)

from keras_perceiver import export, presets, training, visualization
from keras_perceiver.cli.errors import CommandLineError, user_errors
from keras_perceiver.cli.models import load
from keras_perceiver.cli.options import (
    Parser,
    chosen_preset,
    model_options,
    preset_defaults,
)
from keras_perceiver.data import Augmentation, batches
from keras_perceiver.models import ImageClassifier, ImageEncoder
from keras_perceiver.preprocessing import ImagePreprocessor

TASKS = ("image-classifier",)


def fit(argv):
    """Train, evaluate, and write a run folder."""
    if not argv or argv[0] not in TASKS:
        if argv and argv[0] in ("-h", "--help"):
            print(f"usage: keras-perceiver fit TASK [OPTIONS]\n\ntasks: {', '.join(TASKS)}")
            return
        raise CommandLineError(
            f"fit needs a task: {', '.join(TASKS)}. Received: {argv[0] if argv else 'none'}"
        )
    parser = _parser(argv[1:])
    options = parser.options(argv[1:])
    with user_errors():
        config = parser.dump(options)
        chosen = parser.instantiate(options)
        # What Keras' seeds are drawn from. keras.utils.set_random_seed would import
        # TensorFlow under every backend.
        random.seed(chosen.seed)
        data = chosen.data
        model = _model(chosen.model, data)
        train = batches(
            data.train, model, chosen.batch_size, chosen.seed, _augmentation(chosen)
        )
        # Endless like the training batches: Keras keeps one iterator for all epochs.
        held_out = batches(data.test, model, chosen.batch_size).repeat()
        steps = len(data.train) // chosen.batch_size
        held_out_steps = math.ceil(len(data.test) / chosen.batch_size)
        model.compile(
            _optimizer(chosen, steps * chosen.epochs),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=chosen.jit_compile,
        )
        folder = _output_folder(chosen.output, chosen.overwrite)
        (folder / "config.yaml").write_text(config)
    print(
        f"ImageClassifier with {model.count_params():,} parameters on {len(data.train):,} "
        f"images, {len(data.test):,} held out ({keras.backend.backend()})"
    )
    model.fit(
        train,
        steps_per_epoch=steps,
        epochs=chosen.epochs,
        validation_data=held_out,
        validation_steps=held_out_steps,
        shuffle=False,  # the batches are
        verbose=chosen.verbose,
        callbacks=[keras.callbacks.CSVLogger(str(folder / "history.csv"))],
    )
    scores = model.evaluate(held_out, steps=held_out_steps, verbose=0, return_dict=True)
    written = write_run(model, data, folder, scores["accuracy"])
    print(f"held-out accuracy: {scores['accuracy']:.2%} on {len(data.test)} images")
    for name, what in written.items():
        print(f"  {folder / name!s:40} {what}")


def write_run(model, data, folder, accuracy):
    """What a run folder holds beside config and history: name to what it is."""
    written = {"config.yaml": "all options of this run: fit image-classifier --config"}
    written["history.csv"] = "loss and accuracy of each epoch"
    visualization.plot_learning_curve(folder / "history.csv", folder / "learning_curve.png")
    written["learning_curve.png"] = "the same as a picture"
    records = [data.test[i] for i in range(min(6, len(data.test)))]
    visualization.plot_attention_maps(
        model,
        [image for image, _ in records],
        folder / "attention_maps.png",
        labels=[label for _, label in records],
    )
    written["attention_maps.png"] = "where the latents look"
    presets.save(
        model,
        folder / "preset",
        source=f"keras-perceiver fit, held-out accuracy {accuracy:.4f}",
    )
    written["preset"] = "the trained model: keras_perceiver.presets.load(...)"
    if keras.backend.backend() == "torch" or not importlib.util.find_spec("tensorflow"):
        print(
            "No SavedModel: that needs TensorFlow, and the TensorFlow or JAX backend. "
            f"Write it with KERAS_BACKEND=tensorflow keras-perceiver export {folder} "
            f"--output={folder / 'saved_model'}"
        )
    else:
        export.saved_model(model, folder / "saved_model")
        written["saved_model"] = "the same for TensorFlow alone: tf.saved_model.load(...)"
    return written


def _parser(argv):
    parser = Parser.of("fit image-classifier", "Train an image classifier.")
    parser.add_config()
    parser.add_argument(
        "--output", default="runs/image_classifier", help="Folder to write the run to."
    )
    parser.add_argument(
        "--overwrite", type=bool, default=False, help="Write into a folder that has files."
    )
    parser.add_argument(
        "--epochs", type=PositiveInt, default=30, help="Passes over the data."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Of initial weights, order and augmentation."
    )
    parser.add_argument(
        "--verbose",
        type=int,
        default=1,
        help="0: silent, 1: progress bar, 2: a line an epoch.",
    )
    parser.add_argument(
        "--jit_compile",
        type=bool | Literal["auto"],
        default="auto",
        help="Compile the training step with XLA. auto: as Keras does; on a CPU under "
        "TensorFlow it does not, where small models train twice as fast with it.",
    )
    parser.add_data(default={"class_path": "digits"})
    parser.add_class_arguments(Augmentation, "augmentation")
    parser.add_class_arguments(model_options(), "model")
    parser.add_subclass_arguments(
        keras.optimizers.Optimizer,
        "optimizer",
        default={
            "class_path": "keras.optimizers.AdamW",
            "init_args": {"learning_rate": 1e-3},
        },
        fail_untyped=False,
        help="An optimizer of Keras by name. Its options: --optimizer.help=NAME.",
    )
    parser.add_function_arguments(
        training.warmup_cosine, "lr_scheduler", skip={"learning_rate", "total_steps"}
    )
    with user_errors():
        preset = chosen_preset(argv)
        if preset is not None:
            parser.set_defaults(preset_defaults(load(preset, load_weights=False)))
    return parser


def _model(options, data):
    """Model of the options; what they leave open is as the data have it."""
    encoder_options = _shallow(options.encoder)
    if encoder_options["image_shape"] is None:
        image, _ = data.train[0]
        encoder_options["image_shape"] = tuple(int(size) for size in image.shape)
    encoder = ImageEncoder(**encoder_options)
    preprocessor = ImagePreprocessor(
        encoder.image_shape, labels=data.labels, **_shallow(options.preprocessor)
    )
    model_options = _shallow(options)
    for name in ("encoder", "preprocessor", "preset", "load_weights"):
        del model_options[name]
    if model_options["num_classes"] is None:
        model_options["num_classes"] = len(data.labels)
    if model_options["num_classes"] != len(data.labels):
        raise ValueError(
            f"--model.num_classes must be {len(data.labels)}, the number of classes of the "
            f"data. Received: {model_options['num_classes']}"
        )
    model = ImageClassifier(encoder, preprocessor=preprocessor, **model_options)
    if options.load_weights:
        if options.preset is None:
            raise ValueError("--model.load_weights needs --model.preset")
        _copy_weights(load(options.preset), model)
    return model


def _shallow(options):
    return {
        field.name: getattr(options, field.name) for field in dataclasses.fields(options)
    }


def _copy_weights(source, target):
    for theirs, ours in zip(source.weights, target.weights, strict=False):
        if theirs.path != ours.path or theirs.shape != ours.shape:
            raise ValueError(
                "--model.load_weights needs a model like the preset's. It has "
                f"{theirs.path} {tuple(theirs.shape)}, the options ask for {ours.path} "
                f"{tuple(ours.shape)}"
            )
    target.set_weights(source.get_weights())


def _augmentation(options):
    wanted = any(dataclasses.astuple(options.augmentation))
    return options.augmentation if wanted else None


def _optimizer(options, total_steps):
    optimizer = options.optimizer
    optimizer.learning_rate = training.warmup_cosine(
        float(optimizer.learning_rate), total_steps, **vars(options.lr_scheduler)
    )
    return optimizer


def _output_folder(path, overwrite):
    folder = pathlib.Path(path)
    os.makedirs(folder, exist_ok=True)
    # Before an hour of training, not after it.
    with tempfile.TemporaryFile(dir=folder):
        pass
    if any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"--output must be an empty or new folder, or give --overwrite=true. "
            f"Received: {path}"
        )
    return folder
