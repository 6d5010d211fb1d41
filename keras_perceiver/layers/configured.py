"""Configuration read from the constructor's signature: each default once."""

import inspect

import keras


class Configured:
    """Mixin: `get_config` from the signature of `__init__`.

    The contract (scikit-learn's, held by `tests/test_contracts.py`): a constructor
    stores each of its arguments under its own name.
    """

    def get_config(self):
        """Arguments of the constructor, serialized where they are objects."""
        config = super().get_config()
        config.update(
            {
                name: keras.saving.serialize_keras_object(getattr(self, name))
                for name in argument_names(type(self))
            }
        )
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`.

        Raises:
            ValueError: `config` has a key that the constructor does not take.
        """
        check_keys(cls, config)
        values = {
            name: keras.saving.deserialize_keras_object(value, custom_objects)
            if isinstance(value, dict)
            else value
            for name, value in config.items()
        }
        return cls(**values)


def argument_names(cls):
    """Names of the constructor's own arguments, `self` and `**kwargs` left out."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


def check_keys(cls, config, also=("name", "dtype", "trainable")):
    """Raise a ValueError that names keys of `config` which `cls` does not take."""
    known = {*argument_names(cls), *also}
    unknown = sorted(set(config) - known)
    if unknown:
        raise ValueError(
            f"{cls.__name__} does not take {unknown}. It takes: {sorted(known)}"
        )
