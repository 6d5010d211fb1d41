"""The command line in this process, for its tests."""

import contextlib
import io
import re

from keras_perceiver.cli import main

# Options of the smallest image classifier.
TINY = [
    "--model.encoder.num_latents=2",
    "--model.encoder.latent_channels=8",
    "--model.encoder.num_bands=2",
    "--model.encoder.layers_per_block=1",
]
# What the folder of every run holds.
EVERY_RUN = {
    "best_preset",
    "checkpoints",
    "config.yaml",
    "events",
    "history.csv",
    "learning_curve.png",
    "preset",
    "run.json",
}


def files(folder):
    """Names in the folder of a run; `events` for TensorBoard's file, which has a time."""
    return {re.sub(r"^events\..*", "events", path.name) for path in folder.iterdir()}


def run(argv, expected=0):
    """What a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([str(argument) for argument in argv]) == expected
    return out.getvalue()


def assert_refused(argv, message, capsys):
    """A command ends with one line on standard error, which says what is wrong."""
    assert main([str(argument) for argument in argv]) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-perceiver: ") and error.count("\n") == 1
    assert re.search(message, error), error
