"""Data: random-access sources that return plain numpy, and pipelines on Grain."""

from keras_perceiver.data.causal import causal_batches
from keras_perceiver.data.corpora import bookcorpus, bookcorpusopen, enwik8, wikitext103
from keras_perceiver.data.documentation import topic_passages, topics
from keras_perceiver.data.images import ArraySource, ImageData, digits, image_folder
from keras_perceiver.data.masked import masked_batches
from keras_perceiver.data.midi import MidiData, maestro, midi_folder, midi_tokens
from keras_perceiver.data.midi_batches import midi_batches
from keras_perceiver.data.multimodal import autoencoding_batches
from keras_perceiver.data.pipeline import Augmentation, batches
from keras_perceiver.data.stream import masked_stream
from keras_perceiver.data.tables import table
from keras_perceiver.data.text import FileTexts, LabelledTexts, TextData, text_files
from keras_perceiver.data.tfds_sets import tfds, tfds_text
from keras_perceiver.data.token_ids import tokens

__all__ = [
    "ArraySource",
    "Augmentation",
    "FileTexts",
    "ImageData",
    "LabelledTexts",
    "MidiData",
    "TextData",
    "autoencoding_batches",
    "batches",
    "bookcorpus",
    "bookcorpusopen",
    "causal_batches",
    "digits",
    "enwik8",
    "image_folder",
    "maestro",
    "masked_batches",
    "masked_stream",
    "midi_batches",
    "midi_folder",
    "midi_tokens",
    "table",
    "text_files",
    "tfds",
    "tfds_text",
    "tokens",
    "topic_passages",
    "topics",
    "wikitext103",
]
