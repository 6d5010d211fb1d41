"""What the commands need to know of a task."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_perceiver.cli.models import copy_weights, defaults_like, load, refuse
from keras_perceiver.cli.options import OPEN, REQUIRED, option_class, values

PRESET_HELP = (
    "What to start from: a name (see keras-perceiver presets), or the folder of a preset "
    "or run. It sets the defaults of the other model options."
)
PARTS = ("encoder", "preprocessor")


@dataclasses.dataclass(frozen=True)
class Training:
    """What a model is trained on.

    Args:
        batches: an endless `grain.MapDataset`, or a stream.
        count: records in one pass; None of a stream.
        tokens: what the records are cut from, for a task on rows of tokens.
    """

    batches: Any
    count: int
    tokens: Sequence | None = None


class Task:
    """A kind of model, its data, and how it is trained and judged.

    Each module in `keras_perceiver.cli.tasks` has one, as `TASK`.

    Attributes:
        description: of `fit` for the task.
        model_class: class of its models.
        preprocessor_class: class of their preprocessor; None if it has no options.
        model_sources: other classes that options of the model come from.
        data: kind of its data, a key of `keras_perceiver.cli.sources.SOURCES`.
        default_data: name of a source; None for the first of the kind.
    """

    model_sources = ()
    preprocessor_class = None
    default_data = None
    # Arguments of the preprocessor that are no options, and defaults of those that are.
    preprocessor_skip = ("labels",)
    preprocessor_options = {}

    def arguments(self, argv):
        """Arguments as the parser takes them."""
        return argv

    def smoke(self, output):
        """Options of a tiny model, on data that are there: name to value.

        Args:
            output: folder of the run.
        """
        raise NotImplementedError

    def add_held_out_options(self, parser):
        """Options of `fit` and `evaluate`: what is held out."""
        parser.add_data(self.data, self.default_data)

    def add_training_options(self, parser):
        """Options of `fit` alone, beside those of the model."""

    def model_options(self):
        """Dataclass of what `--model.` takes."""
        return option_class(
            "ModelOptions",
            self.model_class,
            *self.model_sources,
            skip=("name", *PARTS),
            **self.part_options(),
            preset=(str | None, None, PRESET_HELP),
            load_weights=(bool, False, "Start from the preset's weights."),
            **self.more_model_options,
        )

    def part_options(self):
        """Options of the parts of the model: name to `(type, default, help)`."""
        if self.preprocessor_class is None:
            return {}
        preprocessor = option_class(
            "PreprocessorOptions",
            self.preprocessor_class,
            skip=self.preprocessor_skip,
            **self.preprocessor_options,
        )
        return {"preprocessor": (preprocessor, REQUIRED, "What is done to an input first.")}

    more_model_options = {}

    def defaults(self, chosen_value):
        """Defaults of options that follow from chosen presets: dotted name to value.

        Args:
            chosen_value: gives the value of an option that is chosen, or None.
        """
        preset = chosen_value("model.preset")
        if preset is None:
            return {}
        model = load(preset, load_weights=False)
        self.check(model)
        skip = (*PARTS, "num_classes")
        return defaults_like(model, "model", skip) | self.part_defaults(model)

    def part_defaults(self, model):
        """Defaults of the options of the parts, those of a model."""
        if self.preprocessor_class is None or model.preprocessor is None:
            return {}
        skip = self.preprocessor_skip
        return defaults_like(model.preprocessor, "model.preprocessor", skip)

    def check(self, model):
        """Raise a `CommandLineError` unless a model is of this task."""
        if not isinstance(model, self.model_class):
            refuse(model, f"a {self.model_class.__name__}", "--model.preset")

    def origin(self, chosen):
        """The model that `--model.preset` names, without weights; or None."""
        preset = chosen.model.preset
        return None if preset is None else load(preset, load_weights=False)

    def build(self, options, *parts, **arguments):
        """A model of the options `--model.`, with the preset's weights if they say so.

        Args:
            options: what `--model.` says.
            *parts: what the model's constructor takes first.
            **arguments: other arguments, which are no options or go before them.
        """
        skip = {*PARTS, "preset", "load_weights", *self.more_model_options}
        rest = {
            name: value
            for name, value in values(options).items()
            if name not in skip and not (name in OPEN and value is None)
        }
        model = self.model_class(*parts, **{**rest, **arguments})
        if options.load_weights:
            if options.preset is None:
                raise ValueError("--model.load_weights needs --model.preset")
            copy_weights(load(options.preset), model, "--model.load_weights")
        return model

    def model(self, chosen):
        """A model of all options."""
        raise NotImplementedError

    def training(self, model, chosen):
        """The `Training` of the options."""
        raise NotImplementedError

    def held_out(self, model, chosen):
        """What is held out: a finite `grain.MapDataset`, and how many records."""
        raise NotImplementedError

    def records(self, model):
        """What a record is, in the plural."""
        raise NotImplementedError

    def callbacks(self, model, chosen, folder):
        """Callbacks of `fit` for this task."""
        return []

    def compile_options(self, model):
        """Loss and metrics to train with."""
        raise NotImplementedError

    def chosen_compile_options(self, chosen, model):
        """The same, where options say more of it."""
        return self.compile_options(model)

    def scoring_options(self, model):
        """Loss and metrics to judge with, exact over all batches."""
        return self.compile_options(model)

    def verdict(self, scores):
        """What `evaluate` found, in words."""
        raise NotImplementedError

    def source(self, scores):
        """The same for the metadata of a preset."""
        raise NotImplementedError

    def length(self, model, training):
        """Size of the axes of unknown size in a batch of a `Training`, or None."""
        return getattr(model.preprocessor, "max_length", None)

    def tokens(self, records, model, chosen):
        """Token ids of records, for a task on rows of tokens; else None."""
        return

    def comparison(self, model, tokens, held_out):
        """What to compare the verdict with, in words; or None.

        Args:
            model: judged.
            tokens: those of the training data, or None.
            held_out: batches that it was judged on.
        """
        return

    def pictures(self, model, chosen, folder):
        """Write what shows the trained model: name of a file to what it is."""
        return {}

    def predict(self, model, inputs, files, top_k):
        """Names of inputs and files, and classes of each; for classifiers."""
        refuse(
            model,
            "a classifier, or an autoencoder with a label (for a masked language model: "
            "fill-mask; for one that continues: generate; for optical flow: flow)",
        )
