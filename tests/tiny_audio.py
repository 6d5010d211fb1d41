"""The smallest models of sound, and notes to feed them."""

import numpy as np
import pretty_midi

import keras_perceiver as kp
import tiny
from keras_perceiver.preprocessing import synthesize

RATE, SAMPLES = 4000, 512
MEL = kp.models.MelSpec(num_bins=12, fft_length=128, stride=64)
NUM_CLASSES = 3


def encoder(**options):
    """An AudioEncoder; `options` are its own and those of its PerceiverEncoder."""
    return kp.models.AudioEncoder(
        SAMPLES,
        sampling_rate=RATE,
        num_bands=3,
        **{**tiny.ENCODER, **options},
    )


def classifier(preprocessor=None, **options):
    """An AudioClassifier; `options` are those of its encoder."""
    return kp.models.AudioClassifier(
        encoder(**options), NUM_CLASSES, preprocessor=preprocessor
    )


def clips(count, channels=1, seed=0):
    """Noise `[count, samples, channels]`."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, SAMPLES, channels)).astype("float32")


def note(pitch):
    """A note of a piano, plainly synthesized, `[samples]`."""
    instrument = pretty_midi.Instrument(0)
    instrument.notes = [pretty_midi.Note(100, pitch, 0.0, 0.2)]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(instrument)
    return synthesize(midi, RATE)[:SAMPLES]
