"""What task models have in common: configuration read from the signature."""

import keras

from keras_perceiver.layers.configured import argument_names, check_keys


class ConfiguredModel(keras.Model):
    """A functional graph that is saved as its constructor's arguments.

    A subclass stores its arguments under their own names, and options it passes on
    to its layer `OPTIONS_LAYER` in `encoder_options`.
    """

    OPTIONS_LAYER = "encoder"
    encoder_options = {}

    def get_config(self):
        """Arguments of the constructor, serialized where they are objects."""
        values = {name: getattr(self, name) for name in argument_names(type(self))}
        values.update(self.encoder_options)
        return {
            "name": self.name,
            **{k: keras.saving.serialize_keras_object(v) for k, v in values.items()},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`.

        Raises:
            ValueError: `config` has a key that the constructor does not take.
        """
        check_keys(cls, config, also=("name", *cls.encoder_option_names()))
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects)
                if isinstance(value, dict)
                else value
                for name, value in config.items()
            }
        )

    @classmethod
    def encoder_option_names(cls):
        """Names of the options that `**encoder_options` takes."""
        return ()
