"""Errors of the user's, told in one line."""

import contextlib
import os
import re
import signal
import sys
import tempfile


class CommandLineError(Exception):
    """Something the user can mend: one line, no traceback.

    Args:
        message: what to say.
        code: of the exit: 2 for what is wrong with the options, 1 for a training that
            could not go on, 128 and the number of a signal that ended it.
    """

    def __init__(self, message, code=2):
        super().__init__(" ".join(str(message).split()))
        self.code = code


@contextlib.contextmanager
def user_errors():
    """Turn errors that checks raise on purpose into a `CommandLineError`.

    Around what comes before the work: an error in the work itself is a bug, whose
    traceback is wanted.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandLineError(
            f"{error}: install the extra that brings it, as in pip install "
            "'keras-perceiver[tensorflow,data,text,cli]', or choose another KERAS_BACKEND"
        ) from error
    except (ValueError, OSError) as error:
        raise CommandLineError(error) from error


@contextlib.contextmanager
def resumable(command):
    """Around a training that saves its state, and what follows: say how to go on."""
    from keras_perceiver.training import InterruptedTraining, NotFiniteError, StateError

    try:
        yield
    except InterruptedTraining as error:
        raise CommandLineError(f"{error}. Go on: {command}", 128 + error.signal) from None
    except KeyboardInterrupt:
        raise CommandLineError(
            f"stopped by SIGINT. Go on: {command}", 128 + signal.SIGINT
        ) from None
    except NotFiniteError as error:
        raise CommandLineError(error, code=1) from None
    except StateError as error:
        raise CommandLineError(error) from None


@contextlib.contextmanager
def quiet_start():
    """Hold back what TensorFlow's native code writes to standard error on import.

    Six lines on every start would bury the one that matters. If the import fails,
    they may say why, and are shown.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except KeyboardInterrupt:
            raise  # No fault, and nothing to explain.
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def summary(message, names):
    r"""The line of a jsonargparse message that says what is wrong.

    Args:
        message: of the error; many lines where a value may have several types.
        names: for options that take a name: option to known names.

    Example:
    >>> message = 'Parser key "data":\n  Errors:\n    - Option \'sed\' is not accepted'
    >>> summary(message, {})
    "--data: option 'sed' is not accepted"
    >>> kinds = "Subtypes: [<class 'int'>, <class 'NoneType'>]\n  Errors: ..."
    >>> summary(f'Parser key "seed":\n  {kinds}\n  Given value: x', {})
    '--seed: must be of the types int, null. Received: x'
    """
    key = re.search(r'Parser key "([\w.]+)"', message)
    option = f"--{key[1]}: " if key else ""
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if key and unknown and key[1] in names:
        return f"{option}unknown name {unknown[1]!r}; expected one of {names[key[1]]}"
    refused = re.search(r"Option ('\S+') is not accepted", message)
    if refused:
        return f"{option}option {refused[1]} is not accepted"
    union = re.search(r"Subtypes: \[(.*?)\]\s+Errors.*Given value: (.*)", message, re.S)
    if union:
        kinds = re.sub(r"<class '(?:\w+\.)*(\w+)'>|typing\.", r"\1", union[1])
        kinds = kinds.replace("NoneType", "null")
        for name, limits in re.findall(r"type (\w+): .* restriction (.*)", message):
            kinds = kinds.replace(name, f"{name} ({limits})")
        return f"{option}must be of the types {kinds}. Received: {union[2]}"
    required = re.search(r"the following arguments are required: (.*)", message)
    if required:
        # Those of a class that an option names, or of the command.
        prefix = f"--{key[1]}." if key else "--"
        return "required: " + ", ".join(prefix + name for name in required[1].split(", "))
    return option + re.sub(r'^Parser key "[\w.]+":\s*', "", message)
