"""`keras-perceiver evaluate`."""

import pathlib

from keras_perceiver.cli import run_folder, tasks
from keras_perceiver.cli.errors import user_errors
from keras_perceiver.cli.models import add_model, load
from keras_perceiver.cli.options import Parser, read_options
from keras_perceiver.cli.train import report, score


def evaluate(argv):
    """Print how good a model is on held-out data."""
    parser = Parser.of(
        "evaluate", "How good a model is on held-out data.", "MODEL [OPTIONS]"
    )
    named = add_model(parser, argv)
    with user_errors():
        model = load(named)
        task = tasks.of_model(model)
        task.add_held_out_options(parser)
        parser.add_batch_size()
        parser.set_defaults(_options_of_run(named, parser, argv))
    options = parser.options(argv)
    with user_errors():
        chosen = parser.instantiate(options)
        held_out, count = task.held_out(model, chosen)
        tokens = task.tokens(chosen.data.train, model, chosen)
    scores = score(task, model, held_out)
    report(task, model, scores, count, task.comparison(model, tokens, held_out))


def _options_of_run(model, parser, argv):
    """What a run was trained with, as defaults: the same is held out."""
    folder = pathlib.Path(model)
    if folder.name in (run_folder.PRESET, run_folder.BEST):
        folder = folder.parent
    config = folder / run_folder.CONFIG
    options = read_options(config) if config.is_file() else {}
    known = parser.get_defaults()
    skip = {"model"}
    if any(argument.partition("=")[0] == "--data" for argument in argv):
        skip.add("data")
    defaults = {}
    for key, value in options.items():
        if key not in known or key in skip:
            continue
        if key != "data" and isinstance(value, dict):
            defaults |= {f"{key}.{name}": one for name, one in value.items()}
        else:
            defaults[key] = value
    return defaults
