"""`fit multimodal-autoencoder`, and `predict` of a label from what else there is."""

import dataclasses

import keras
import numpy as np

from keras_perceiver import models
from keras_perceiver.cli.encoders import EncoderTask
from keras_perceiver.cli.models import refuse
from keras_perceiver.cli.options import documented, option_class
from keras_perceiver.cli.sources import Examples
from keras_perceiver.cli.task import Training
from keras_perceiver.data import autoencoding_batches
from keras_perceiver.data.multimodal import check_arrays
from keras_perceiver.data.multimodal_sources import read_arrays
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import (
    LabelModality,
    MultimodalAutoencoder,
    MultimodalEncoder,
)
from keras_perceiver.models.classifier import check_top_k, likeliest
from keras_perceiver.models.modalities import Modality
from keras_perceiver.training import autoencoding_losses

MASK_RATES = (
    f"{documented(autoencoding_batches)['mask_rates']} A label that is to be predicted "
    "must be missing in some, as with --mask_rates.label=0.5."
)
BatchOptions = option_class(
    "BatchOptions",
    autoencoding_batches,
    skip=("arrays", "model", "batch_size", "seed"),
    mask_rates=(dict[str, float] | None, None, MASK_RATES),
)


class MultimodalAutoencoderTask(EncoderTask):
    """What are all inputs? It is judged without being given the labels."""

    description = "Train an autoencoder of several kinds of inputs."
    model_class = MultimodalAutoencoder
    encoder_sources = (MultimodalEncoder, PerceiverEncoder)
    data = Examples
    from_data = {"modalities": dict[str, Modality]}

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        kinds = [name for name in models.__all__ if name.endswith(Modality.__name__)]
        parser.names["model.encoder.modalities"] = ", ".join(kinds)
        parser.add_class_arguments(BatchOptions)
        parser.add_argument(
            "--loss_weights",
            type=dict[str, float] | None,
            default=None,
            help=documented(autoencoding_losses)["weights"],
        )

    def smoke(self, output):  # noqa: D102 (inherited)
        return {
            **super().smoke(output),
            "model.output_channels": 32,
            "model.cross_attention.qk_channels": 32,
            "model.cross_attention.v_channels": 32,
            "data": "digit_tones",
            "num_points": None,
            "mask_rates": None,
            "loss_weights": None,
        }

    def part_defaults(self, model):  # noqa: D102 (inherited)
        kinds = {
            name: {"class_path": type(kind).__name__, "init_args": kind.get_config()}
            for name, kind in model.encoder.modalities.items()
        }
        return {**super().part_defaults(model), "model.encoder.modalities": kinds}

    def data_options(self, chosen):  # noqa: D102 (inherited)
        if chosen.data.modalities is None:
            raise ValueError(
                "--model.encoder.modalities must say of which kind each array of the data "
                "is, as NAME: {class_path: ImageModality, init_args: {...}} in a --config. "
                f"Received: none, for {sorted(chosen.data.train)}"
            )
        return {"modalities": chosen.data.modalities}

    def model(self, chosen):  # noqa: D102 (inherited)
        return self.build(chosen.model, self.encoder(chosen))

    def training(self, model, chosen):  # noqa: D102 (inherited)
        arrays = _complete(chosen.data.train, model)
        options = {x.name: chosen[x.name] for x in dataclasses.fields(BatchOptions)}
        dataset = autoencoding_batches(
            arrays, model, chosen.batch_size, chosen.seed, **options
        )
        return Training(dataset, _count(arrays))

    def held_out(self, model, chosen):  # noqa: D102 (inherited)
        arrays, labels = _complete(chosen.data.test, model), _labels(model)

        def without_labels(batch):
            inputs, targets = dict(batch[0]), batch[1]
            for name in labels & set(inputs):
                inputs[f"{name}_mask"] = np.zeros(len(inputs[name]), "int32")
            return inputs, targets

        dataset = autoencoding_batches(arrays, model, chosen.batch_size)
        return dataset.map(without_labels), _count(arrays)

    def length(self, model, training):  # noqa: D102 (inherited)
        kinds, inputs = model.encoder.modalities, training.batches[0][0]
        sizes = [x.shape[1] for name, x in inputs.items() if None in _shape(kinds, name)]
        return max(sizes, default=None)

    def records(self, model):  # noqa: D102 (inherited)
        return "examples"

    def compile_options(self, model):  # noqa: D102 (inherited)
        metrics = {
            name: keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            if kind.dtype == "int32"
            else keras.metrics.MeanAbsoluteError(name="error")
            for name, kind in model.kinds.items()
        }
        return {**autoencoding_losses(model), "metrics": metrics}

    def chosen_compile_options(self, chosen, model):  # noqa: D102 (inherited)
        losses = autoencoding_losses(model, chosen.loss_weights)
        return {**self.compile_options(model), **losses}

    def verdict(self, scores):  # noqa: D102 (inherited)
        return _listed(dict(sorted(scores.items())))

    def source(self, scores):  # noqa: D102 (inherited)
        return f"held-out {self.verdict(scores)}"

    def comparison(self, model, tokens, held_out):  # noqa: D102 (inherited)
        targets = [targets for _, targets in held_out]
        scores = {}
        for name in targets[0]:
            x = np.concatenate([one[name] for one in targets])
            if model.kinds[name].dtype == "int32":
                scores[f"{name}_accuracy"] = np.bincount(x.ravel()).max() / x.size
            else:
                scores[f"{name}_error"] = np.abs(x - x.mean(axis=0)).mean()
        return f"what their means and most frequent values would give: {_listed(scores)}"

    def predict(self, model, inputs, files, top_k):  # noqa: D102 (inherited)
        labels = _labels(model)
        if len(labels) != 1:
            refuse(model, f"one with one label. Of its inputs these are: {sorted(labels)}")
        (label,) = labels
        check_top_k(top_k, model.kinds[label].num_classes)
        names, classes = [], []
        for path in [*inputs, *files]:
            arrays = {name: x for name, x in read_arrays(path).items() if name != label}
            count = check_arrays(arrays, model.encoder.modalities)
            logits = model.reconstruct(arrays, [label], batch_size=min(count, 32))[label]
            names += [f"{path}[{i}]" for i in range(count)]
            classes += likeliest(logits, top_k)
        return names, classes


def _labels(model):
    kinds = model.kinds.items()
    return {name for name, kind in kinds if isinstance(kind, LabelModality)}


def _shape(kinds, name):
    """Of one example; nothing for masks and points."""
    return kinds[name].shape if name in kinds else ()


def _complete(arrays, model):
    """The arrays, or a ValueError if one is not there that is to be given back."""
    missing = sorted(set(model.kinds) - set(arrays))
    if missing:
        raise ValueError(
            f"--data must have an array for each of {sorted(model.kinds)}. Missing: "
            f"{missing}"
        )
    return arrays


def _count(arrays):
    return len(next(iter(arrays.values())))


def _listed(scores):
    """Errors and accuracies in words."""
    forms = {"error": ".4f", "accuracy": ".2%"}
    words = []
    for key, value in scores.items():
        name, _, measure = key.rpartition("_")
        if measure in forms:
            # Keras leaves the name out where there is one output.
            words.append(f"{name} {measure} {value:{forms[measure]}}".lstrip())
    return ", ".join(words)


TASK = MultimodalAutoencoderTask()
