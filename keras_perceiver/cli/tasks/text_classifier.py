"""`fit text-classifier`."""

import pathlib
import re

from keras_perceiver.cli.encoders import ClassifierTask
from keras_perceiver.cli.models import copy_weights, load, refuse
from keras_perceiver.cli.texts import TextEncoderTask, read_text
from keras_perceiver.models import MaskedLM, TextClassifier

ENCODER_HELP = (
    "A masked language model or text classifier whose encoder to start from, its "
    "architecture, weights and tokenizer: a preset's name, or the folder of a preset or "
    "run. It sets the defaults of the encoder's options. Shorter: --model.encoder=FOLDER."
)


class TextClassifierTask(TextEncoderTask, ClassifierTask):
    """Which of some classes is a text of?"""

    description = "Train a text classifier."
    model_class = TextClassifier
    default_data = "topic_passages"
    more_encoder_options = {"preset": (str | None, None, ENCODER_HELP)}
    more_model_options = {
        "freeze_encoder": (bool, False, "Train the head alone, on an encoder as it is.")
    }

    @property
    def preprocessor_options(self):
        """A classifier reads the start of a long text."""
        options = super().preprocessor_options
        return {**options, "defaults": {**options["defaults"], "truncate": True}}

    def arguments(self, argv):  # noqa: D102 (inherited)
        # A group of options takes no value of its own.
        short = r"^--model\.encoder(?==|$)"
        return [re.sub(short, "--model.encoder.preset", argument) for argument in argv]

    def smoke(self, output):  # noqa: D102 (inherited)
        return {
            **super().smoke(output),
            "data": "topic_passages",
            "model.encoder.preset": None,
            "model.query_channels": 32,
        }

    def defaults(self, chosen_value):  # noqa: D102 (inherited)
        preset = chosen_value("model.encoder.preset")
        if preset is None:
            return super().defaults(chosen_value)
        if chosen_value("model.preset") is not None:
            raise ValueError(
                "--model.encoder and --model.preset must not both be given: a preset has "
                f"its own encoder. Received: --model.encoder={preset}"
            )
        return self.part_defaults(_encoder_origin(preset))

    def part_defaults(self, model):  # noqa: D102 (inherited)
        defaults = super().part_defaults(model)
        # A language model refuses texts that are too long, a classifier reads their start.
        defaults.pop("model.preprocessor.truncate", None)
        return defaults

    def model(self, chosen):  # noqa: D102 (inherited)
        options = chosen.model
        origin = self.origin(chosen)
        if options.encoder.preset is not None:
            origin = _encoder_origin(options.encoder.preset, load_weights=True)
        labels = self.labels(chosen)
        encoder, preprocessor = self.parts(chosen, origin, labels)
        if options.encoder.preset is not None:
            copy_weights(origin.encoder, encoder, "--model.encoder")
        model = self.build(
            options, encoder, preprocessor=preprocessor, num_classes=len(labels)
        )
        model.encoder.trainable = not options.freeze_encoder
        return model

    def records(self, model):  # noqa: D102 (inherited)
        return "texts"

    def predict(self, model, inputs, files, top_k):  # noqa: D102 (inherited)
        for text in inputs:
            # Else a file's name would be classified.
            if len(text) < 256 and pathlib.Path(text).is_file():
                raise ValueError(
                    f"Give files as --files {text}: {text!r} is read as a text"
                )
        texts = [*inputs, *map(read_text, files)]
        names = [*(" ".join(text.split()) for text in inputs), *files]
        return names, model.classify(texts, top_k=top_k)


def _encoder_origin(preset, load_weights=False):
    model = load(preset, load_weights)
    if not isinstance(model, (MaskedLM, TextClassifier)):
        refuse(model, "a masked language model or text classifier", "--model.encoder")
    return model


TASK = TextClassifierTask()
