"""The command line: `keras-perceiver fit | evaluate | predict | fill-mask | ...`.

Each command is imported when it is asked for: `--help` costs no TensorFlow.
"""

import gc
import importlib
import os
import signal
import sys

from keras_perceiver.cli.errors import CommandLineError, quiet_start, user_errors

# Name to module and function, and what it does.
COMMANDS = {
    "fit": ("train.fit", "train a model and write a run folder: fit TASK --help"),
    "evaluate": ("judge.evaluate", "how good a model is on held-out data"),
    "predict": ("use.predict", "classes of images, texts, sounds, sets of points"),
    "fill-mask": ("use.fill_mask", "texts with their masks filled in"),
    "generate": ("use.generate", "continue a text or a MIDI file: generate MODEL --help"),
    "preprocess": (
        "prepare.preprocess",
        "fill the cache of token ids: preprocess text | midi",
    ),
    "flow": ("flow.flow", "optical flow between two images, or along a video"),
    "convert": ("convert.convert", "from and to the checkpoints of other libraries"),
    "export": ("use.export", "write a TensorFlow SavedModel"),
    "presets": ("use.presets", "list the models that can be loaded by name"),
}


def main(argv=None):
    """Run a command.

    Args:
        argv: arguments; None for those of the process.

    Returns:
        The exit code: 0, or that of a `CommandLineError`, after one line on standard
        error: 2 where it says which option or value is wrong. After Ctrl-C likewise, 130.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if argv[0] not in COMMANDS:
            raise CommandLineError(
                f"unknown command {argv[0]!r}; expected one of {', '.join(COMMANDS)}"
            )
        with user_errors(), quiet_start():
            module, function = COMMANDS[argv[0]][0].split(".")
            module = importlib.import_module(f"keras_perceiver.cli.{module}")
        getattr(module, function)(argv[1:])
    except CommandLineError as error:
        print(f"keras-perceiver: {error}", file=sys.stderr)
        code = error.code
    except KeyboardInterrupt:
        print("keras-perceiver: stopped by SIGINT", file=sys.stderr)
        code = 128 + signal.SIGINT
    else:
        return 0
    if code > 128:
        gc.collect()  # Ends worker processes of Grain that the error's frames kept.
    return code


def _help():
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: keras-perceiver COMMAND [OPTIONS]",
            "",
            "Perceiver models for Keras 3.",
            "",
            *(f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()),
            "",
            "keras-perceiver COMMAND --help shows a command's options. The environment",
            "variable KERAS_BACKEND chooses tensorflow (the default), jax or torch.",
        ]
    )
