"""Task models: an encoder and a head, wired as functional graphs. No maths."""

from keras_perceiver.models.audio import AudioClassifier, AudioEncoder, MelSpec
from keras_perceiver.models.causal_lm import CausalLM
from keras_perceiver.models.flops import flops
from keras_perceiver.models.image import ImageClassifier, ImageEncoder
from keras_perceiver.models.masked_lm import MaskedLM
from keras_perceiver.models.optical_flow import OpticalFlow, OpticalFlowEncoder
from keras_perceiver.models.points import PointClassifier, PointEncoder
from keras_perceiver.models.symbolic_audio import SymbolicAudioLM
from keras_perceiver.models.text import TextClassifier, TextEncoder

__all__ = [
    "AudioClassifier",
    "AudioEncoder",
    "CausalLM",
    "ImageClassifier",
    "ImageEncoder",
    "MaskedLM",
    "MelSpec",
    "OpticalFlow",
    "OpticalFlowEncoder",
    "PointClassifier",
    "PointEncoder",
    "SymbolicAudioLM",
    "TextClassifier",
    "TextEncoder",
    "flops",
]
