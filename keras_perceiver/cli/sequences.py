"""What tasks on sequences have in common, and those on rows of tokens."""

import dataclasses

import keras

from keras_perceiver.cli.options import documented, option_class, values
from keras_perceiver.cli.task import Task, Training
from keras_perceiver.data.rows import row_count
from keras_perceiver.training import TokenCrossentropy, unigram_entropy


class SequenceTask(Task):
    """A task on sequences, which are no longer than the model takes."""

    @property
    def preprocessor_options(self):
        """Its `max_length` need not be given: then it follows the model's."""
        text = documented(self.preprocessor_class)["max_length"] + " None: the model's."
        return {"max_length": (int | None, None, text)}

    def part_defaults(self, model):  # noqa: D102 (inherited)
        defaults = super().part_defaults(model)
        key = "model.preprocessor.max_length"
        if defaults.get(key) == getattr(model, "encoder", model).max_length:
            del defaults[key]  # so that it follows the model's
        return defaults

    def preprocessor(self, chosen, max_length, *arguments, **options):
        """The preprocessor of the options.

        Args:
            chosen: the options.
            max_length: the model's.
            *arguments: what its constructor takes first.
            **options: other arguments that are no options.
        """
        options |= values(chosen.model.preprocessor)
        options["max_length"] = options["max_length"] or max_length
        return self.preprocessor_class(*arguments, **options)


class TokenTask(SequenceTask):
    """Which tokens are missing, or come next? Judged in nats for each of them.

    Attributes:
        corpus_options: dataclass of how token ids are made of records.
        batches: function that makes batches of token ids.
        ahead: how many tokens more than the model takes a row has, to be predicted.
        token: what a token is called; `predicted` one that counts.
    """

    ahead = 0
    token = "token"
    predicted = "token"

    def add_held_out_options(self, parser):  # noqa: D102 (inherited)
        super().add_held_out_options(parser)
        parser.add_class_arguments(self.corpus_options)

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        super().add_training_options(parser)
        parser.add_class_arguments(self.row_options())

    def row_options(self):
        """Dataclass of what is done to rows in training alone."""
        skip = ("tokens", "model", "batch_size", "seed", "masking", "length")
        return option_class("RowOptions", self.batches, skip=skip)

    def batch_options(self, chosen):
        """Arguments of `batches` that training and judging share."""
        return {}

    def training(self, model, chosen):  # noqa: D102 (inherited)
        ids = self.tokens(chosen.data.train, model, chosen)
        options = {x.name: chosen[x.name] for x in dataclasses.fields(self.row_options())}
        shift = options.get("random_shift", False)
        options |= self.batch_options(chosen)
        dataset = self.batches(ids, model, chosen.batch_size, chosen.seed, **options)
        return Training(dataset, self._count(ids, model, shift), ids)

    def held_out(self, model, chosen):  # noqa: D102 (inherited)
        ids = self.tokens(chosen.data.test, model, chosen)
        options = self.batch_options(chosen)
        dataset = self.batches(ids, model, chosen.batch_size, **options)
        return dataset, self._count(ids, model)

    def _count(self, ids, model, random_shift=False):
        return row_count(ids, model.preprocessor.max_length + self.ahead, random_shift)

    def records(self, model):  # noqa: D102 (inherited)
        return f"rows of {model.preprocessor.max_length} {self.token}s"

    def compile_options(self, model):  # noqa: D102 (inherited)
        return {"loss": TokenCrossentropy()}

    def scoring_options(self, model):  # noqa: D102 (inherited)
        # The loss is a mean over batches, in which more or fewer tokens count.
        nats = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nats")
        return {**self.compile_options(model), "weighted_metrics": [nats]}

    def verdict(self, scores):  # noqa: D102 (inherited)
        return f"loss: {scores['nats']:.4f} nats per {self.predicted}"

    def source(self, scores):  # noqa: D102 (inherited)
        return f"held-out {self.verdict(scores)}"

    def comparison(self, model, tokens, held_out):  # noqa: D102 (inherited)
        nats = unigram_entropy(tokens, held_out, model.output_shape[-1])
        return f"what the frequencies of {self.token}s alone would give: {nats:.4f} nats"
