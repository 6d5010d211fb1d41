"""Training: what `model.fit` needs and Keras does not have."""

from keras_perceiver.training.autoencoding import autoencoding_losses
from keras_perceiver.training.callbacks import (
    BestPreset,
    GeneratedSamples,
    MaskedTokenSamples,
    Scalars,
)
from keras_perceiver.training.checkpoints import NotFiniteError, StateError
from keras_perceiver.training.distribution import distribute
from keras_perceiver.training.flow import EndPointError, MeanEndPointError
from keras_perceiver.training.frequencies import unigram_entropy
from keras_perceiver.training.lora import enable_lora
from keras_perceiver.training.losses import TokenCrossentropy
from keras_perceiver.training.resumable import resumable_fit
from keras_perceiver.training.saver import InterruptedTraining
from keras_perceiver.training.schedules import warmup_constant, warmup_cosine

__all__ = [
    "BestPreset",
    "EndPointError",
    "GeneratedSamples",
    "InterruptedTraining",
    "MaskedTokenSamples",
    "MeanEndPointError",
    "NotFiniteError",
    "Scalars",
    "StateError",
    "TokenCrossentropy",
    "autoencoding_losses",
    "distribute",
    "enable_lora",
    "resumable_fit",
    "unigram_entropy",
    "warmup_constant",
    "warmup_cosine",
]
