"""The optimizers of Keras as the command line names and checks them."""

import inspect

import keras

# What a default of None does not tell; other options are numbers.
TYPES = {"name": str, "exclude_layers": list}
WORDS = {str: "a string", list: "a list", bool: "true or false", int: "an integer"}


def names():
    """Those that can be chosen: each has a learning rate."""
    return [name for name in dir(keras.optimizers) if "learning_rate" in defaults(name)]


def check(options):
    """Raise a ValueError if an option of an optimizer has a value that will not do.

    Keras would look at it hours later, or in the first step of a training.

    Args:
        options: `class_path` and `init_args`, as the parser has them.
    """
    package, *_, name = options.class_path.split(".")
    if package != "keras":
        return  # An optimizer of the user's own: who knows.
    if name not in names():
        raise ValueError(
            f"--optimizer: unknown name {name!r}; expected one of {', '.join(names())}"
        )
    known = defaults(name)
    for key, value in vars(options.init_args).items():
        default = known.get(key)  # Keras takes some by **kwargs
        kind = TYPES.get(key, bool if isinstance(default, bool) else float)
        if key.endswith(("_steps", "_frequency")):
            kind = int
        if value is None and default is None:
            continue
        # A truth value is an integer to Python, and an integer is a number to us.
        accepted = (int, float) if kind is float else kind
        truth = isinstance(value, bool)
        if truth != (kind is bool) or not isinstance(value, accepted):
            raise ValueError(
                f"--optimizer.{key} must be {WORDS.get(kind, 'a number')}. "
                f"Received: {value}"
            )
        # Some are negative as Keras has them.
        at_least_0 = kind in (int, float) and (default is None or not default < 0)
        if at_least_0 and not value >= 0:
            raise ValueError(f"--optimizer.{key} must be at least 0. Received: {value}")


def scheduled(optimizer, schedule, total_steps):
    """An optimizer made anew, where its variables are to be, with a schedule.

    Args:
        optimizer: of options, which was made before the devices were chosen.
        schedule: a `Schedule`.
        total_steps: of the whole training.
    """
    config = optimizer.get_config()
    learning_rate = schedule(float(config["learning_rate"]), total_steps)
    return type(optimizer).from_config({**config, "learning_rate": learning_rate})


def defaults(name):
    """Arguments of an optimizer: name to default."""
    cls = getattr(keras.optimizers, name)
    if not isinstance(cls, type) or cls is keras.optimizers.Optimizer:
        return {}
    return {key: p.default for key, p in inspect.signature(cls).parameters.items()}
