"""What task models have in common: configuration read from the signature."""

import gc

import keras

from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.layers.adaptation import ADAPTABLE, adapt, adaptation
from keras_perceiver.layers.configured import argument_names, check_keys
from keras_perceiver.threads import weights_in_place


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

    def predict(self, *args, **kwargs):
        """As Keras does, from several threads too."""
        with weights_in_place():
            return super().predict(*args, **kwargs)

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


def _is_adaptable(layer):
    return isinstance(layer, ADAPTABLE)
