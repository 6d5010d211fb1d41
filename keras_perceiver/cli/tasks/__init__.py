"""Tasks of `fit`: a module each, which has it as `TASK`."""

import importlib
import pkgutil


def names():
    """Names of tasks as they stand on the command line."""
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)
    )


def by_name(name):
    """The task of a name in `names()`."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").TASK


def of_model(model):
    """The task of a model."""
    return next(
        task for task in map(by_name, names()) if isinstance(model, task.model_class)
    )
