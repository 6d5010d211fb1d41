"""Tasks of `fit`: a module each, which has it as `TASK`."""

import importlib
import pkgutil

from keras_perceiver.cli.errors import CommandLineError


def names():
    """Names of tasks as they stand on the command line."""
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)
    )


def by_name(name):
    """The task of a name in `names()`."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").TASK


def of_model(model):
    """The task of a model, or a `CommandLineError`."""
    tasks = [by_name(name) for name in names()]
    for task in tasks:
        if isinstance(model, task.model_class):
            return task
    known = ", ".join(task.model_class.__name__ for task in tasks)
    raise CommandLineError(
        f"the model must be one of {known}. Received: a {type(model).__name__}"
    )
