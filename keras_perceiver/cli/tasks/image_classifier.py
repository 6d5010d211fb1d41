"""`fit image-classifier`."""

import keras
from jsonargparse.typing import ClosedUnitInterval  # noqa: TID253 (commands only)

from keras_perceiver import visualization
from keras_perceiver.cli import run_folder
from keras_perceiver.cli.encoders import ClassifierTask
from keras_perceiver.cli.sources import Images
from keras_perceiver.data import Augmentation
from keras_perceiver.layers import PerceiverEncoder
from keras_perceiver.models import ImageClassifier, ImageEncoder
from keras_perceiver.preprocessing import ImagePreprocessor


class ImageClassifierTask(ClassifierTask):
    """Which of some classes is an image of?"""

    description = "Train an image classifier."
    model_class = ImageClassifier
    encoder_sources = (ImageEncoder, PerceiverEncoder)
    preprocessor_class = ImagePreprocessor
    preprocessor_skip = ("image_shape", "labels")
    data = Images
    from_data = {"image_shape": tuple[int, int, int]}
    one_hot = True

    def add_training_options(self, parser):  # noqa: D102 (inherited)
        parser.add_class_arguments(Augmentation, "augmentation")
        parser.add_argument(
            "--label_smoothing",
            type=ClosedUnitInterval,
            default=0.0,
            help="Part of a label that is spread over all classes, in training.",
        )

    smoke_encoder = {
        "image_shape": [28, 28, 1],
        "num_bands": 4,
        "max_resolution": None,
        "stem": None,
        "positions": None,
    }

    def smoke(self, output):  # noqa: D102 (inherited)
        grey = {"mean": 0.5, "std": 0.5, "crop": None}
        return {
            **super().smoke(output),
            "data": "digits",
            "augmentation.rand_augment": 0,
            **{f"model.preprocessor.{name}": value for name, value in grey.items()},
        }

    def compile_options(self, model):  # noqa: D102 (inherited)
        return {
            "loss": keras.losses.CategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }

    def chosen_compile_options(self, chosen, model):  # noqa: D102 (inherited)
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=chosen.label_smoothing
        )
        return {**self.compile_options(model), "loss": loss}

    def data_options(self, chosen):  # noqa: D102 (inherited)
        image, _ = chosen.data.train[0]
        return {"image_shape": tuple(int(size) for size in image.shape)}

    def augmentation(self, chosen):  # noqa: D102 (inherited)
        wanted = chosen.augmentation != Augmentation()
        return chosen.augmentation if wanted else None

    def records(self, model):  # noqa: D102 (inherited)
        return "images"

    def pictures(self, model, chosen, folder):  # noqa: D102 (inherited)
        test = chosen.data.test
        images, labels = zip(*(test[i] for i in range(min(6, len(test)))), strict=True)
        path = folder / run_folder.ATTENTION_MAPS
        visualization.plot_attention_maps(model, list(images), path, labels=labels)
        return {path.name: "where the latents look"}


TASK = ImageClassifierTask()
