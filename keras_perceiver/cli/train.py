"""`keras-perceiver fit`."""

import dataclasses
import functools
import pathlib
import random
import shlex
from typing import Any, Literal

import keras
from jsonargparse.typing import PositiveInt  # noqa: TID253 (imported by `fit` only)

from keras_perceiver import training
from keras_perceiver.cli import optimizers, run_folder, tasks
from keras_perceiver.cli.errors import CommandLineError, resumable, user_errors
from keras_perceiver.cli.models import chosen_value
from keras_perceiver.cli.options import Parser
from keras_perceiver.cli.overview import overview
from keras_perceiver.cli.schedules import FUNCTIONS, Schedule
from keras_perceiver.cli.smoke import HELP, smoke
from keras_perceiver.cli.task import Training
from keras_perceiver.cli.trainer import Trainer
from keras_perceiver.data.pipeline import read_ahead
from keras_perceiver.training.callbacks import check_monitor, make_metrics
from keras_perceiver.training.position import Position
from keras_perceiver.training.resumable import HISTORY, total_steps


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
    command = f"fit {argv[0]}"
    with user_errors():
        argv = smoke(task, task.arguments(argv[1:]), _default_output(command))
    parser = _parser(command, task, argv)
    options = parser.options(argv)
    with user_errors():
        # What is done with a folder that is there is no part of a run.
        described = options.clone()
        described.overwrite = described.resume = False
        config = parser.dump(described)
        optimizers.check(options.optimizer)
        chosen = parser.instantiate(options)
        run_folder.check(chosen.output, chosen.overwrite, chosen.resume, config)
    folder = pathlib.Path(chosen.output)
    resume = ["--config", str(folder / run_folder.CONFIG), "--resume"]
    again = shlex.join(["keras-perceiver", *command.split(), *resume])
    again = f"KERAS_BACKEND={keras.backend.backend()} {again}"
    with chosen.trainer.scope():
        run = _prepare(task, chosen, config)
        with resumable(again):
            written = _train(task, chosen, folder, run)
    with resumable(again):
        written |= run_folder.write_saved_model(folder)  # for one device
    for name, what in written.items():
        print(f"  {folder / name!s:40} {what}")
    print(f"to train on: {again} {run.longer}")


@dataclasses.dataclass(frozen=True)
class Run:
    """What `fit` has checked when it begins to train.

    Args:
        model: compiled.
        train: a `Training`.
        held_out: batches.
        count: records held out.
        steps: of an epoch.
        callbacks: of the task.
        longer: options that make the run twice as long.
    """

    model: keras.Model
    train: Training
    held_out: Any
    count: int
    steps: int
    callbacks: list
    longer: str


def _prepare(task, chosen, config):
    """All that can go wrong before the first step; in the end the folder is made."""
    trainer = chosen.trainer
    with user_errors():
        # What Keras' seeds are drawn from. keras.utils.set_random_seed would import
        # TensorFlow under every backend.
        random.seed(chosen.seed)
        model = task.model(chosen)
        train = task.training(model, chosen)
        held_out, count = task.held_out(model, chosen)
        held_out = held_out[: trainer.limit_val_batches]
        count = min(count, len(held_out) * chosen.batch_size)
        steps = chosen.steps_per_epoch
        if steps is None and train.count is None:  # a stream, which has no end
            steps = trainer.max_steps
        steps = steps or train.count // chosen.batch_size
        steps = trainer.steps_per_epoch(steps)
        total = total_steps(steps, chosen.epochs, trainer.max_steps)
        callbacks = task.callbacks(model, chosen, chosen.output)
        model.compile(
            optimizers.scheduled(chosen.optimizer, chosen.lr_schedule, total),
            jit_compile=chosen.jit_compile,
            **task.chosen_compile_options(chosen, model),
        )
        make_metrics(model, Position(train.batches, trainer.workers).batch(0))
        check_monitor(trainer.monitor, model)
    length, records = task.length(model, train), task.records(model)
    print(overview(model, records, train.count, count, chosen.batch_size, length))
    with user_errors():
        run_folder.make(chosen.output, config, chosen.seed, chosen.resume)
    limits = ("epochs", chosen.epochs, steps), ("trainer.max_steps", trainer.max_steps, 1)
    longer = [f"--{key}={2 * n}" for key, n, each in limits if n and n * each == total]
    return Run(model, train, held_out, count, steps, callbacks, " ".join(longer))


def _train(task, chosen, folder, run):
    """Train and write what is there for every model: name of a file to what it is."""
    trainer, model = chosen.trainer, run.model
    history = folder / HISTORY
    best = training.BestPreset(folder / run_folder.BEST, trainer.monitor, history)
    training.resumable_fit(
        model,
        run.train.batches,
        folder,
        steps_per_epoch=run.steps,
        epochs=chosen.epochs,
        max_steps=trainer.max_steps,
        save_every=trainer.save_every,
        resume=chosen.resume,
        validation_data=run.held_out,
        callbacks=[training.Scalars(folder), best, *run.callbacks],
        workers=trainer.workers,
        verbose=chosen.verbose,
    )
    scores = score(task, model, run.held_out)
    written = run_folder.write(folder, model, task.source(scores))
    written |= task.pictures(model, chosen, folder)
    comparison = task.comparison(model, run.train.tokens, run.held_out)
    report(task, model, scores, run.count, comparison)
    return written


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


def _default_output(command):
    return f"runs/{command.split()[1].replace('-', '_')}"


def _parser(command, task, argv):
    parser = Parser.of(command, task.description)
    parser.epilog = HELP
    parser.add_config()
    parser.add_argument(
        "--output",
        default=_default_output(command),
        help="Folder to write the run to.",
    )
    parser.add_argument(
        "--overwrite",
        type=bool,
        default=False,
        help="Write into a folder that has files: a new run in place of the old one.",
    )
    parser.add_argument(
        "--resume",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="Go on with the run in --output, which was killed or is to be longer. "
        "Without one there, start it: the same command serves both.",
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
    parser.names["lr_schedule"] = ", ".join(FUNCTIONS)
    parser.add_subclass_arguments(
        Schedule,
        "lr_schedule",
        default={"class_path": "cosine"},
        help=f"How the learning rate changes: {' or '.join(FUNCTIONS)}. Their options: "
        "--lr_schedule.help=NAME.",
    )
    parser.add_class_arguments(Trainer, "trainer")
    with user_errors():
        parser.set_defaults(task.defaults(functools.partial(chosen_value, argv)))
    return parser
