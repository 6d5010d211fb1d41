"""Data: random-access sources that return plain numpy, and pipelines on Grain."""

from keras_perceiver.data.augmentation import Augmentation
from keras_perceiver.data.causal import causal_batches
from keras_perceiver.data.corpora import bookcorpus, bookcorpusopen, enwik8, wikitext103
from keras_perceiver.data.distributed import shard
from keras_perceiver.data.documentation import topic_passages, topics
from keras_perceiver.data.exercises import exercises
from keras_perceiver.data.flow import FlowData, flying_chairs, kitti_flow, sintel
from keras_perceiver.data.flow_batches import flow_batches
from keras_perceiver.data.images import ArraySource, ImageData, digits, image_folder
from keras_perceiver.data.masked import masked_batches
from keras_perceiver.data.midi import MidiData, midi_folder, midi_tokens
from keras_perceiver.data.midi_batches import midi_batches
from keras_perceiver.data.midi_sets import giantmidi, maestro
from keras_perceiver.data.multimodal import autoencoding_batches
from keras_perceiver.data.multimodal_sources import (
    MultimodalData,
    array_file,
    digit_tones,
)
from keras_perceiver.data.photographs import moved_photographs
from keras_perceiver.data.pipeline import batches, read_ahead
from keras_perceiver.data.points import (
    PointData,
    PointSource,
    digit_points,
    point_folder,
)
from keras_perceiver.data.shards import TokenShards
from keras_perceiver.data.sounds import AudioData, audio_folder, notes
from keras_perceiver.data.stream import causal_stream, masked_stream
from keras_perceiver.data.tables import table
from keras_perceiver.data.text import FileTexts, LabelledTexts, TextData, text_files
from keras_perceiver.data.tfds_sets import tfds, tfds_text
from keras_perceiver.data.token_ids import tokens

__all__ = [
    "ArraySource",
    "AudioData",
    "Augmentation",
    "FileTexts",
    "FlowData",
    "ImageData",
    "LabelledTexts",
    "MidiData",
    "MultimodalData",
    "PointData",
    "PointSource",
    "TextData",
    "TokenShards",
    "array_file",
    "audio_folder",
    "autoencoding_batches",
    "batches",
    "bookcorpus",
    "bookcorpusopen",
    "causal_batches",
    "causal_stream",
    "digit_points",
    "digit_tones",
    "digits",
    "enwik8",
    "exercises",
    "flow_batches",
    "flying_chairs",
    "giantmidi",
    "image_folder",
    "kitti_flow",
    "maestro",
    "masked_batches",
    "masked_stream",
    "midi_batches",
    "midi_folder",
    "midi_tokens",
    "moved_photographs",
    "notes",
    "point_folder",
    "read_ahead",
    "shard",
    "sintel",
    "table",
    "text_files",
    "tfds",
    "tfds_text",
    "tokens",
    "topic_passages",
    "topics",
    "wikitext103",
]
