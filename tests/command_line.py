"""The command line in this process, for its tests."""

import contextlib
import io
import re

from keras_perceiver.cli import main


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
