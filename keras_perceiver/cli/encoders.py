"""What tasks have in common whose model is an encoder and a head."""

import keras

from keras_perceiver.cli.models import checked_labels, defaults_like
from keras_perceiver.cli.options import REQUIRED, documented, option_class, values
from keras_perceiver.cli.smoke import ENCODER
from keras_perceiver.cli.task import Task, Training
from keras_perceiver.data import batches


class EncoderTask(Task):
    """A task whose model is an encoder and a head.

    Attributes:
        encoder_sources: classes that the options of the encoder come from, its own first.
        from_data: what the encoder takes from the data, unless it is given: name to type.
        more_encoder_options: further options: name to `(type, default, help)`.
        smoke_encoder: its options for `fit --smoke`, beside those of every encoder.
    """

    from_data = {}
    more_encoder_options = {}
    smoke_encoder = {}

    def part_options(self):  # noqa: D102 (inherited)
        encoder = {"encoder": (self.encoder_options(), REQUIRED, "What reads the input.")}
        return encoder | super().part_options()

    def smoke(self, output):  # noqa: D102 (inherited)
        encoder = {**ENCODER, **dict.fromkeys(self.from_data), **self.smoke_encoder}
        return {f"model.encoder.{name}": value for name, value in encoder.items()}

    def encoder_options(self):
        """Dataclass of what `--model.encoder.` takes."""
        texts = documented(self.encoder_sources[0])
        texts = {name: texts[name].partition(";")[0].rstrip(".") for name in self.from_data}
        return option_class(
            "EncoderOptions",
            *self.encoder_sources,
            **{
                name: (kind | None, None, f"{texts[name]}. None: as the data have it.")
                for name, kind in self.from_data.items()
            },
            **self.more_encoder_options,
        )

    def part_defaults(self, model):  # noqa: D102 (inherited)
        return defaults_like(model.encoder, "model.encoder") | super().part_defaults(model)

    def data_options(self, chosen):
        """Arguments of `from_data`, as the data have them."""
        raise NotImplementedError

    def encoder(self, chosen):
        """The encoder of the options."""
        options = values(chosen.model.encoder)
        if any(options[name] is None for name in self.from_data):
            for name, value in self.data_options(chosen).items():
                options[name] = value if options[name] is None else options[name]
        return self.encoder_sources[0](**options)

    def preprocessor_of(self, encoder, chosen, **more):
        """A preprocessor of the options, for the inputs of an encoder.

        Args:
            encoder: with its `PREPROCESSOR`.
            chosen: the options.
            **more: arguments that are no options.
        """
        if self.preprocessor_class is not None:
            more |= values(chosen.model.preprocessor)
        known = {name: getattr(encoder, name) for name in encoder.PREPROCESSED}
        return encoder.PREPROCESSOR(**known, **more)


class ClassifierTask(EncoderTask):
    """What classifiers of anything have in common.

    Attributes:
        one_hot: whether labels are vectors, which can be mixed and smoothed.
    """

    one_hot = False

    def labels(self, chosen):
        """Names of the classes of the data."""
        return checked_labels(chosen.data, chosen.model.num_classes)

    def model(self, chosen):  # noqa: D102 (inherited)
        encoder, labels = self.encoder(chosen), self.labels(chosen)
        return self.build(
            chosen.model,
            encoder,
            preprocessor=self.preprocessor_of(encoder, chosen, labels=labels),
            num_classes=len(labels),
        )

    def compile_options(self, model):  # noqa: D102 (inherited)
        return {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }

    def training(self, model, chosen):  # noqa: D102 (inherited)
        data, augmentation = chosen.data.train, self.augmentation(chosen)
        dataset = batches(
            data, model, chosen.batch_size, chosen.seed, augmentation, self.one_hot
        )
        return Training(dataset, len(data))

    def augmentation(self, chosen):
        """What moves records, or None."""
        return

    def held_out(self, model, chosen):  # noqa: D102 (inherited)
        checked_labels(chosen.data, model.num_classes)
        test = chosen.data.test
        return batches(test, model, chosen.batch_size, one_hot=self.one_hot), len(test)

    def verdict(self, scores):  # noqa: D102 (inherited)
        return f"accuracy: {scores['accuracy']:.2%} (loss {scores['loss']:.4f})"

    def source(self, scores):  # noqa: D102 (inherited)
        return f"held-out accuracy {scores['accuracy']:.4f}"

    def predict(self, model, inputs, files, top_k):  # noqa: D102 (inherited)
        paths = [*inputs, *files]
        return paths, model.classify(paths, top_k=top_k)
