"""Raw data to model inputs: numpy and optional packages only, saved with a preset."""

from keras_perceiver.preprocessing.audio import AudioPreprocessor, read_wav
from keras_perceiver.preprocessing.byte_tokenizer import ByteTokenizer
from keras_perceiver.preprocessing.flow import FlowPreprocessor
from keras_perceiver.preprocessing.flow_files import read_flow, write_flo
from keras_perceiver.preprocessing.images import ImagePreprocessor
from keras_perceiver.preprocessing.json_tokenizer import JsonTokenizer
from keras_perceiver.preprocessing.masking import Masking
from keras_perceiver.preprocessing.midi import decode_midi, encode_midi
from keras_perceiver.preprocessing.midi_files import read_midi
from keras_perceiver.preprocessing.midi_preprocessor import MidiPreprocessor
from keras_perceiver.preprocessing.packing import (
    chunk,
    count_shifted,
    join,
    random_truncation,
    shifted,
)
from keras_perceiver.preprocessing.points import PointPreprocessor, read_points
from keras_perceiver.preprocessing.sentencepiece_tokenizer import SentencePieceTokenizer
from keras_perceiver.preprocessing.synthesis import render, synthesize, write_wav
from keras_perceiver.preprocessing.text import TextPreprocessor, pad
from keras_perceiver.preprocessing.tokenizer import Tokenizer
from keras_perceiver.preprocessing.tokenizers import load_tokenizer
from keras_perceiver.preprocessing.video import frame_rate, read_frames, write_video

__all__ = [
    "AudioPreprocessor",
    "ByteTokenizer",
    "FlowPreprocessor",
    "ImagePreprocessor",
    "JsonTokenizer",
    "Masking",
    "MidiPreprocessor",
    "PointPreprocessor",
    "SentencePieceTokenizer",
    "TextPreprocessor",
    "Tokenizer",
    "chunk",
    "count_shifted",
    "decode_midi",
    "encode_midi",
    "frame_rate",
    "join",
    "load_tokenizer",
    "pad",
    "random_truncation",
    "read_flow",
    "read_frames",
    "read_midi",
    "read_points",
    "read_wav",
    "render",
    "shifted",
    "synthesize",
    "write_flo",
    "write_video",
    "write_wav",
]
