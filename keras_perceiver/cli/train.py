"""`keras-perceiver fit`."""

import functools
import math
import random
from typing import Literal

import keras
from jsonargparse.typing import PositiveInt  # noqa: TID253 (imported by `fit` only)

from keras_perceiver import training
from keras_perceiver.cli import run_folder, tasks
from keras_perceiver.cli.errors import CommandLineError, user_errors
from keras_perceiver.cli.models import chosen_value
from keras_perceiver.cli.options import Parser
from keras_perceiver.data.pipeline import read_ahead


def fit(argv):
    """Train, evaluate, and write a run folder."""
    names = tasks.names()
    if not argv or argv[0] not in names:
        if argv and argv[0] in ("-h", "--help"):
            print(f"usage: keras-perceiver fit TASK [OPTIONS]\n\ntasks: {', '.join(names)}")
            return
        raise CommandLineError(
            f"fit needs a task: {', '.join(names)}. Received: {argv[0] if argv else 'none'}"
        )
    task = tasks.by_name(argv[0])
    command, argv = f"fit {argv[0]}", task.arguments(argv[1:])
    parser = _parser(command, task, argv)
    options = parser.options(argv)
    with user_errors():
        config = parser.dump(options)
        chosen = parser.instantiate(options)
        run_folder.check(chosen.output, chosen.overwrite)
        # What Keras' seeds are drawn from. keras.utils.set_random_seed would import
        # TensorFlow under every backend.
        random.seed(chosen.seed)
        model = task.model(chosen)
        train = task.training(model, chosen)
        held_out, count = task.held_out(model, chosen)
        steps = chosen.steps_per_epoch or train.count // chosen.batch_size
        callbacks = task.callbacks(model, chosen, chosen.output)
        model.compile(
            _optimizer(chosen, steps * chosen.epochs),
            jit_compile=chosen.jit_compile,
            **task.chosen_compile_options(chosen, model),
        )
        folder = run_folder.make(chosen.output)
        (folder / "config.yaml").write_text(config)
    print(_summary(model, task, train.count, count))
    model.fit(
        read_ahead(train.batches),
        steps_per_epoch=steps,
        epochs=chosen.epochs,
        # Endless like the training batches: Keras keeps one iterator for all epochs.
        validation_data=read_ahead(held_out.repeat()),
        validation_steps=len(held_out),
        shuffle=False,  # the batches are
        verbose=chosen.verbose,
        callbacks=[keras.callbacks.CSVLogger(str(folder / "history.csv")), *callbacks],
    )
    scores = score(task, model, held_out)
    written = {"config.yaml": f"all options of this run: {command} --config"}
    written |= run_folder.write(folder, model, task.source(scores))
    written |= task.pictures(model, chosen, folder)
    report(task, model, scores, count, task.comparison(model, train.tokens, held_out))
    for name, what in written.items():
        print(f"  {folder / name!s:40} {what}")


def score(task, model, held_out):
    """What a model is worth on held-out batches: metrics by name."""
    model.compile(**task.scoring_options(model))
    steps = len(held_out)
    return model.evaluate(read_ahead(held_out), steps=steps, verbose=0, return_dict=True)


def report(task, model, scores, count, comparison):
    """Print what `score` found on so many records, and what to compare it with."""
    print(f"held-out {task.verdict(scores)} on {count:,} {task.records(model)}")
    if comparison is not None:
        print(f"  {comparison}")


def _summary(model, task, count, held_out_count):
    total = model.count_params()
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    parameters = f"{total:,} parameters"
    if trainable < total:
        parameters += f", {trainable:,} of them trained,"
    return (
        f"{type(model).__name__} with {parameters} on {count:,} {task.records(model)}, "
        f"{held_out_count:,} held out ({keras.backend.backend()})"
    )


def _parser(command, task, argv):
    parser = Parser.of(command, task.description)
    parser.add_config()
    parser.add_argument(
        "--output",
        default=f"runs/{command.split()[1].replace('-', '_')}",
        help="Folder to write the run to.",
    )
    parser.add_argument(
        "--overwrite", type=bool, default=False, help="Write into a folder that has files."
    )
    parser.add_argument(
        "--epochs",
        type=PositiveInt,
        default=30,
        help="Passes over the data, or so many times --steps_per_epoch.",
    )
    parser.add_argument(
        "--steps_per_epoch",
        type=PositiveInt | None,
        default=None,
        help="Batches between two looks at the held-out data. None: one pass over the "
        "data.",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Of initial weights, order and randomness."
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
    task.add_held_out_options(parser)
    parser.add_batch_size()
    task.add_training_options(parser)
    parser.add_class_arguments(task.model_options(), "model")
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
        parser.set_defaults(task.defaults(functools.partial(chosen_value, argv)))
    return parser


def _optimizer(options, total_steps):
    optimizer = options.optimizer
    optimizer.learning_rate = training.warmup_cosine(
        float(optimizer.learning_rate), total_steps, **vars(options.lr_scheduler)
    )
    return optimizer
