"""`fit optical-flow`."""

import numpy as np

from keras_perceiver.cli import run_folder
from keras_perceiver.cli.encoders import EncoderTask
from keras_perceiver.cli.sources import MovingFrames
from keras_perceiver.cli.task import Training
from keras_perceiver.data import flow_batches
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import OpticalFlow, OpticalFlowEncoder
from keras_perceiver.preprocessing import FlowPreprocessor
from keras_perceiver.training import EndPointError, MeanEndPointError
from keras_perceiver.visualization import plot_flow

PICTURES = 4


class OpticalFlowTask(EncoderTask):
    """Where has each pixel gone?"""

    description = "Train an optical flow model."
    model_class = OpticalFlow
    encoder_sources = (OpticalFlowEncoder, PerceiverEncoder)
    preprocessor_class = FlowPreprocessor
    preprocessor_skip = ("image_shape",)
    data = MovingFrames
    from_data = {"image_shape": tuple[int, int]}

    def smoke(self, output):  # noqa: D102 (inherited)
        data = {"data": "moved_photographs", "data.size": [24, 24]}
        return super().smoke(output) | data

    def model(self, chosen):  # noqa: D102 (inherited)
        encoder = self.encoder(chosen)
        preprocessor = self.preprocessor_of(encoder, chosen)
        return self.build(chosen.model, encoder, preprocessor=preprocessor)

    def data_options(self, chosen):  # noqa: D102 (inherited)
        first = chosen.data.train[0][0]
        return {"image_shape": tuple(int(size) for size in first.shape[:2])}

    def training(self, model, chosen):  # noqa: D102 (inherited)
        data = chosen.data.train
        return Training(
            flow_batches(data, model, chosen.batch_size, chosen.seed), len(data)
        )

    def held_out(self, model, chosen):  # noqa: D102 (inherited)
        data = chosen.data.test
        return flow_batches(data, model, chosen.batch_size), len(data)

    def records(self, model):  # noqa: D102 (inherited)
        return "pairs of frames"

    def compile_options(self, model):  # noqa: D102 (inherited)
        return {"loss": EndPointError(model.preprocessor.flow_scale)}

    def scoring_options(self, model):  # noqa: D102 (inherited)
        # The loss is a mean over batches, in which more or fewer pixels count.
        metric = MeanEndPointError(model.preprocessor.flow_scale)
        return {**self.compile_options(model), "weighted_metrics": [metric]}

    def verdict(self, scores):  # noqa: D102 (inherited)
        return f"end-point error: {scores['epe']:.3f} pixels"

    def source(self, scores):  # noqa: D102 (inherited)
        return f"held-out {self.verdict(scores)}"

    def comparison(self, model, tokens, held_out):  # noqa: D102 (inherited)
        still = MeanEndPointError(model.preprocessor.flow_scale)
        for _, flow, weights in held_out:
            still.update_state(flow, np.zeros_like(flow), weights)
        return f"what no motion at all would give: {float(still.result()):.3f} pixels"

    def pictures(self, model, chosen, folder):  # noqa: D102 (inherited)
        test = chosen.data.test
        records = [test[i] for i in range(min(PICTURES, len(test)))]
        pairs = [record[:2] for record in records]
        flows = model.estimate(pairs, verbose=0)
        path = folder / run_folder.FLOW
        plot_flow(pairs, flows, path, [record[2] for record in records])
        return {path.name: "held-out frames and their flow in colours"}


TASK = OpticalFlowTask()
