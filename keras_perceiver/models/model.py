"""What task models have in common: configuration read from the signature."""

import gc

import keras

from keras_perceiver.layers.adaptation import ADAPTABLE, adapt, adaptation
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
        config = {
            "name": self.name,
            **{k: keras.saving.serialize_keras_object(v) for k, v in values.items()},
        }
        # Keras merges the factors of LoRA into what it saves.
        quantization = adaptation(self, lora=False)
        return config | ({"quantization": quantization} if quantization else {})

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`.

        Raises:
            ValueError: `config` has a key that the constructor does not take.
        """
        config = dict(config)
        quantization = config.pop("quantization", None)
        check_keys(cls, config, also=("name", *cls.encoder_option_names()))
        model = cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects)
                if isinstance(value, dict)
                else value
                for name, value in config.items()
            }
        )
        if quantization:
            adapt(model, quantization)
        return model

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """As Keras does, but without a warning about each layer that has no kernel."""
        if filters is None:
            filters = _is_adaptable
        # Keras collects garbage after each layer: seconds, in a process with many objects.
        frozen = gc.get_freeze_count()
        if not frozen:
            gc.freeze()
        try:
            super().quantize(mode, config, filters, **kwargs)
        finally:
            if not frozen:
                gc.unfreeze()

    @classmethod
    def encoder_option_names(cls):
        """Names of the options that `**encoder_options` takes."""
        return ()


def _is_adaptable(layer):
    return isinstance(layer, ADAPTABLE)
