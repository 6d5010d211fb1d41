"""Task models: an encoder and a head, wired as functional graphs. No maths."""

from keras_perceiver.models.causal_lm import CausalLM
from keras_perceiver.models.flops import flops
from keras_perceiver.models.image import ImageClassifier, ImageEncoder
from keras_perceiver.models.masked_lm import MaskedLM
from keras_perceiver.models.optical_flow import OpticalFlow, OpticalFlowEncoder
from keras_perceiver.models.symbolic_audio import SymbolicAudioLM
from keras_perceiver.models.text import TextClassifier, TextEncoder

__all__ = [
    "CausalLM",
    "ImageClassifier",
    "ImageEncoder",
    "MaskedLM",
    "OpticalFlow",
    "OpticalFlowEncoder",
    "SymbolicAudioLM",
    "TextClassifier",
    "TextEncoder",
    "flops",
]
