"""Task models: an encoder and a head, wired as functional graphs. No maths."""

from keras_perceiver.models.audio import AudioClassifier, AudioEncoder
from keras_perceiver.models.causal_lm import CausalLM
from keras_perceiver.models.flops import flops
from keras_perceiver.models.grid_modalities import (
    AudioModality,
    ImageModality,
    VideoModality,
)
from keras_perceiver.models.image import ImageClassifier, ImageEncoder
from keras_perceiver.models.masked_lm import MaskedLM
from keras_perceiver.models.mel import MelSpec
from keras_perceiver.models.modalities import LabelModality, SetModality, TextModality
from keras_perceiver.models.multimodal import MultimodalEncoder
from keras_perceiver.models.multimodal_autoencoder import MultimodalAutoencoder
from keras_perceiver.models.optical_flow import OpticalFlow, OpticalFlowEncoder
from keras_perceiver.models.points import PointClassifier, PointEncoder
from keras_perceiver.models.symbolic_audio import SymbolicAudioLM
from keras_perceiver.models.text import TextClassifier, TextEncoder

__all__ = [
    "AudioClassifier",
    "AudioEncoder",
    "AudioModality",
    "CausalLM",
    "ImageClassifier",
    "ImageEncoder",
    "ImageModality",
    "LabelModality",
    "MaskedLM",
    "MelSpec",
    "MultimodalAutoencoder",
    "MultimodalEncoder",
    "OpticalFlow",
    "OpticalFlowEncoder",
    "PointClassifier",
    "PointEncoder",
    "SetModality",
    "SymbolicAudioLM",
    "TextClassifier",
    "TextEncoder",
    "TextModality",
    "VideoModality",
    "flops",
]
