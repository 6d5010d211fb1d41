"""`fit masked-lm`."""

from keras_perceiver.cli.texts import LanguageTask, TextEncoderTask
from keras_perceiver.data import masked_batches, masked_stream
from keras_perceiver.models import MaskedLM
from keras_perceiver.preprocessing import Masking
from keras_perceiver.training import MaskedTokenSamples


class MaskedLMTask(LanguageTask, TextEncoderTask):
    """What stood where the masks are?"""

    description = "Train a masked language model."
    model_class = MaskedLM
    batches = staticmethod(masked_batches)
    stream = staticmethod(masked_stream)
    predicted = "masked token"
    samples_help = "Texts with [MASK], which the model fills in after each epoch."

    def add_held_out_options(self, parser):  # noqa: D102 (inherited)
        super().add_held_out_options(parser)
        parser.add_class_arguments(Masking, "masking")

    def batch_options(self, chosen):  # noqa: D102 (inherited)
        return {"masking": chosen.masking}

    def model(self, chosen):  # noqa: D102 (inherited)
        encoder, preprocessor = self.parts(chosen, self.origin(chosen))
        return self.build(chosen.model, encoder, preprocessor=preprocessor)

    def smoke(self, output):  # noqa: D102 (inherited)
        data = {"data": "topics", "cache": None, "mask_selection_length": None}
        return {**super().smoke(output), **data, "model.query_channels": None}

    def samples(self, chosen, folder):  # noqa: D102 (inherited)
        return MaskedTokenSamples(chosen.samples, folder)


TASK = MaskedLMTask()
