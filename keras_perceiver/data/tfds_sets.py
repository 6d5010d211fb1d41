"""Sets of tensorflow-datasets by name, read by random access."""

import functools
import re
from collections.abc import Sequence

from keras_perceiver.data.images import ImageData
from keras_perceiver.data.text import TextData

# What stands between the parts of a text of wiki40b, and what we put there.
WIKI40B_MARKERS = (
    (re.compile(r"^\s*_START_ARTICLE_\n"), ""),
    (re.compile(r"\n_START_(?:SECTION|PARAGRAPH)_\n"), "\n\n"),
    (re.compile(r"_NEWLINE_"), "\n"),
)


class TensorFlowDatasetsSource(Sequence):
    """A split of a prepared set of tensorflow-datasets, each record as `read` makes it."""

    def __init__(self, name, data_dir, split, read):
        self.arguments = name, data_dir, split, read
        self.data_source = _builder(name, data_dir).as_data_source(split=split)
        self.read = read

    def __reduce__(self):
        # Worker processes open the files themselves.
        return type(self), self.arguments

    def __len__(self):
        return len(self.data_source)

    def __getitem__(self, index):
        # Through `range` an index past the end is the IndexError that ends a loop.
        return self.read(self.data_source[range(len(self))[index]])

    def __repr__(self):
        return f"TensorFlowDatasetsSource({len(self)} records)"


def tfds(
    name: str,
    data_dir: str | None = None,
    train_split: str = "train",
    test_split: str = "test",
) -> ImageData:
    """An image set of tensorflow-datasets by name, downloaded on first use.

    Args:
        name: for example `mnist`, `cifar10`, or `imagenet2012` (whose files you
            download yourself, and whose held-out split is `validation`).
        data_dir: where tensorflow-datasets keeps its files; None for its own place.
        train_split: split to train on; `train[:90%]` and the like work.
        test_split: split held out.

    Returns:
        An `ImageData` of uint8 images.

    Raises:
        ValueError: the set does not have an image and a class label, or lacks a split.
    """
    builder = _builder(name, data_dir)
    labels = _class_names(builder)
    if "image" not in builder.info.features or labels is None:
        raise ValueError(
            "`name` must be a set with features 'image' and 'label'. Received: "
            f"name={name} with {sorted(builder.info.features)}"
        )
    builder.download_and_prepare()
    open_split = functools.partial(TensorFlowDatasetsSource, name, data_dir, read=_image)
    return ImageData(open_split(train_split), open_split(test_split), labels)


def tfds_text(
    name: str,
    data_dir: str | None = None,
    train_split: str = "train",
    test_split: str = "test",
) -> TextData:
    """A text set of tensorflow-datasets by name, downloaded on first use.

    Nothing is read but what is asked for, so a set may be larger than the memory.

    Args:
        name: for example `imdb_reviews` (whose split `unsupervised` has text to train
            a language model on), `lm1b`, `wiki40b/en`, `c4/en` (held-out split:
            `validation`), or `wikipedia/20230601.en`, which has one split only:
            `train[1%:]` and `train[:1%]` cut it in two.
        data_dir: where tensorflow-datasets keeps its files; None for its own place.
        train_split: split to train on.
        test_split: split held out.

    Returns:
        A `TextData` of `(text, label)` if the set has class labels, else of text. The
        control markers of `wiki40b` become plain line breaks.

    Raises:
        ValueError: the set does not have a text, or lacks a split.
    """
    builder = _builder(name, data_dir)
    if "text" not in builder.info.features:
        raise ValueError(
            "`name` must be a set with a feature 'text'. Received: "
            f"name={name} with {sorted(builder.info.features)}"
        )
    labels = _class_names(builder)
    if labels is not None:
        read = _labelled_text
    else:
        read = _wiki40b_text if builder.name == "wiki40b" else _text
    builder.download_and_prepare()
    open_split = functools.partial(TensorFlowDatasetsSource, name, data_dir, read=read)
    return TextData(open_split(train_split), open_split(test_split), labels)


def _builder(name, data_dir):
    import tensorflow_datasets

    # Random access needs files in this format, and no TensorFlow to read them.
    return tensorflow_datasets.builder(name, data_dir=data_dir, file_format="array_record")


def _class_names(builder):
    features = builder.info.features
    names = getattr(features["label"], "names", None) if "label" in features else None
    return None if names is None else list(names)


def _image(record):
    return record["image"], int(record["label"])


def _text(record):
    text = record["text"]
    return text.decode("utf-8") if isinstance(text, bytes) else text


def _labelled_text(record):
    return _text(record), int(record["label"])


def _wiki40b_text(record):
    text = _text(record)
    for marker, plain in WIKI40B_MARKERS:
        text = marker.sub(plain, text)
    return text
