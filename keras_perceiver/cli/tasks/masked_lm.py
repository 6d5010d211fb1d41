"""`fit masked-lm`."""

import dataclasses

import keras

from keras_perceiver.cli.models import load
from keras_perceiver.cli.options import option_class
from keras_perceiver.cli.task import Training
from keras_perceiver.cli.texts import CORPUS, CorpusOptions, TextTask
from keras_perceiver.data import masked_batches, tokens
from keras_perceiver.models import MaskedLM
from keras_perceiver.preprocessing import Masking, chunk, count_shifted
from keras_perceiver.training import MaskedTokenSamples, TokenCrossentropy, unigram_entropy

RowOptions = option_class(
    "RowOptions",
    masked_batches,
    skip=("tokens", "model", "batch_size", "seed", "masking", "length"),
)


class MaskedLMTask(TextTask):
    """What stood where the masks are?"""

    description = "Train a masked language model."
    model_class = MaskedLM

    def add_held_out_options(self, parser):  # noqa: D102 (inherited)
        super().add_held_out_options(parser)
        parser.add_class_arguments(CorpusOptions)
        parser.add_class_arguments(Masking, "masking")

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        super().add_training_options(parser)
        parser.add_class_arguments(RowOptions)
        parser.add_argument(
            "--samples",
            type=list[str],
            default=[],
            help="Texts with [MASK], which the model fills in after each epoch.",
        )

    def model(self, chosen):  # noqa: D102 (inherited)
        preset = chosen.model.preset
        origin = load(preset, load_weights=False) if preset is not None else None
        return self.build(chosen.model, *self.parts(chosen, origin))

    def training(self, model, chosen):  # noqa: D102 (inherited)
        ids = self._tokens(chosen.data.train, model, chosen)
        dataset = masked_batches(
            ids,
            model,
            chosen.batch_size,
            chosen.seed,
            chosen.masking,
            **{field.name: chosen[field.name] for field in dataclasses.fields(RowOptions)},
        )
        length = model.preprocessor.max_length
        count = (
            count_shifted(ids, length) if chosen.random_shift else len(chunk(ids, length))
        )
        return Training(dataset, count, ids)

    def held_out(self, model, chosen):  # noqa: D102 (inherited)
        ids = self._tokens(chosen.data.test, model, chosen)
        dataset = masked_batches(ids, model, chosen.batch_size, masking=chosen.masking)
        return dataset, len(chunk(ids, model.preprocessor.max_length))

    def _tokens(self, documents, model, chosen):
        options = {name: chosen[name] for name in CORPUS}
        return tokens(documents, model.preprocessor.tokenizer, **options)

    def records(self, model):  # noqa: D102 (inherited)
        return f"rows of {model.preprocessor.max_length} tokens"

    def callbacks(self, model, chosen, folder):  # noqa: D102 (inherited)
        if not chosen.samples:
            return []
        # A text without a mask, or one that is too long, shows now.
        model.fill_mask(chosen.samples, top_k=1)
        return [MaskedTokenSamples(chosen.samples, folder)]

    def compile_options(self):  # noqa: D102 (inherited)
        return {"loss": TokenCrossentropy()}

    def scoring_options(self):  # noqa: D102 (inherited)
        # The loss is a mean over batches, which have more or fewer masks.
        nats = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nats")
        return {**self.compile_options(), "weighted_metrics": [nats]}

    def verdict(self, scores):  # noqa: D102 (inherited)
        return f"loss: {scores['nats']:.4f} nats per masked token"

    def source(self, scores):  # noqa: D102 (inherited)
        return f"held-out {self.verdict(scores)}"

    def comparison(self, model, training, held_out):  # noqa: D102 (inherited)
        vocab_size = model.encoder.vocab_size
        nats = unigram_entropy(training.tokens, held_out, vocab_size)
        return f"what the frequencies of tokens alone would give: {nats:.4f} nats"


TASK = MaskedLMTask()
