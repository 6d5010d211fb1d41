"""What task models have in common: configuration read from the signature."""

import keras

from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.layers.configured import argument_names, check_keys


class ConfiguredModel(keras.Model):
    """A functional graph that is saved as its constructor's arguments.

    A subclass stores its arguments under their own names, and options it passes on
    to its layer `OPTIONS_LAYER`, of the class `OPTIONS_CLASS`, in `encoder_options`.
    """

    OPTIONS_LAYER = "encoder"
    OPTIONS_CLASS = None
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
        """Names of the options that `**encoder_options` takes: all but its own."""
        if cls.OPTIONS_CLASS is None:
            return []
        own = argument_names(cls)
        return [name for name in argument_names(cls.OPTIONS_CLASS) if name not in own]


class EncoderModel(ConfiguredModel):
    """Inputs of some kind, read into latents.

    A subclass names the class of its `PREPROCESSOR`, and the `PREPROCESSED`: what both
    know of the inputs, arguments of the preprocessor and attributes of the two.
    """

    OPTIONS_CLASS = PerceiverEncoder
    PREPROCESSOR = None
    PREPROCESSED = ()

    def checked_preprocessor(self, preprocessor=None):
        """A preprocessor for this encoder: the given one, or a plain one.

        Raises:
            ValueError: one for other inputs.
        """
        expected = {name: getattr(self, name) for name in self.PREPROCESSED}
        preprocessor = preprocessor or self.PREPROCESSOR(**expected)
        received = {name: getattr(preprocessor, name) for name in self.PREPROCESSED}
        if received != expected:
            raise ValueError(
                "`preprocessor` must be for the encoder's inputs. Received: "
                f"{received}, expected {expected}"
            )
        return preprocessor
