"""`fit point-classifier`."""

from keras_perceiver.cli.encoders import ClassifierTask
from keras_perceiver.cli.options import REQUIRED, documented
from keras_perceiver.cli.sources import PointSets
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import PointClassifier, PointEncoder

RESOLUTION = (tuple[int, ...], REQUIRED, documented(PointEncoder)["max_resolution"])


class PointClassifierTask(ClassifierTask):
    """Which of some classes is a set of points of?"""

    description = "Train a classifier of sets of points."
    model_class = PointClassifier
    encoder_sources = (PointEncoder, PerceiverEncoder)
    data = PointSets
    from_data = {"content_channels": int}
    more_encoder_options = {"max_resolution": RESOLUTION}
    smoke_encoder = {"max_resolution": [8, 8], "num_bands": 4}

    def smoke(self, output):  # noqa: D102 (inherited)
        return {**super().smoke(output), "data": "digit_points"}

    def data_options(self, chosen):  # noqa: D102 (inherited)
        points, _ = chosen.data.train[0]
        axes = len(chosen.model.encoder.max_resolution)
        return {"content_channels": max(0, points.shape[1] - axes)}

    def length(self, model, training):  # noqa: D102 (inherited)
        inputs, _ = training.batches[0]
        return inputs["padding_mask"].shape[1]

    def records(self, model):  # noqa: D102 (inherited)
        return "sets of points"


TASK = PointClassifierTask()
