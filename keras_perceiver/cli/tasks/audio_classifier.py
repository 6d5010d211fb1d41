"""`fit audio-classifier`."""

import numpy as np

from keras_perceiver.cli.encoders import ClassifierTask
from keras_perceiver.cli.options import documented
from keras_perceiver.cli.sources import Sounds
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import AudioClassifier, AudioEncoder
from keras_perceiver.preprocessing import read_wav

RESOLUTION = (tuple[int, ...] | None, None, documented(AudioEncoder)["max_resolution"])


class AudioClassifierTask(ClassifierTask):
    """Which of some classes is a clip of sound of?"""

    description = "Train a classifier of sound."
    model_class = AudioClassifier
    encoder_sources = (AudioEncoder, PerceiverEncoder)
    data = Sounds
    from_data = {"samples": int, "channels": int, "sampling_rate": int}
    more_encoder_options = {"max_resolution": RESOLUTION}
    smoke_encoder = {
        "patch_size": 20,
        "mel": None,
        "num_bands": 4,
        "max_resolution": None,
    }

    def smoke(self, output):  # noqa: D102 (inherited)
        data = {"data": "notes", "data.train_count": 16, "data.test_count": 8}
        return super().smoke(output) | data

    def data_options(self, chosen):  # noqa: D102 (inherited)
        data = chosen.data
        clip, _ = data.train[0]
        clip = read_wav(clip)[1] if isinstance(clip, str) else np.atleast_2d(clip.T).T
        samples, channels = clip.shape
        return {
            "samples": samples,
            "channels": channels,
            "sampling_rate": data.sampling_rate,
        }

    def records(self, model):  # noqa: D102 (inherited)
        return "clips"


TASK = AudioClassifierTask()
