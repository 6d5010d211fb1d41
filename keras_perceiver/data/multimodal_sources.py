"""Examples of several kinds of inputs: digits that sound, and files of arrays."""

import dataclasses
from zipfile import BadZipFile

import numpy as np

from keras_perceiver.data.images import digits
from keras_perceiver.data.text import random_split
from keras_perceiver.preprocessing.files import check_regular

TONE_SAMPLES = 64


@dataclasses.dataclass(frozen=True)
class MultimodalData:
    """Examples of several kinds of inputs, split in two.

    Args:
        train: a dict of arrays `[n, ...]` by name, to train on.
        test: the same, held out.
        modalities: the kind of each, as `MultimodalEncoder` takes them, to begin with; or
            None if nothing says it.

    Example:
    >>> data = digit_tones()
    >>> {name: array.shape for name, array in data.test.items()}
    {'audio': (360, 64, 1), 'image': (360, 8, 8, 1), 'label': (360,)}
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    modalities: dict | None = None


def digit_tones(test_size: int = 360, seed: int = 0) -> MultimodalData:
    """The handwritten digits of `digits`, each with a tone and a label.

    The pitch says which digit it is: a 0 makes 2 waves in 64 samples, a 1 makes 4, and so
    on. Tones differ in loudness, and have some noise.

    Args:
        test_size: number of digits held out, with every class in proportion.
        seed: of the split and the tones.

    Returns:
        A `MultimodalData` of `audio` `[n, 64, 1]`, `image` `[n, 8, 8, 1]`, both float32
        from -1 to 1 or little more, and `label` `[n]`.
    """
    # Worker processes read data without Keras.
    from keras_perceiver.models import AudioModality, ImageModality, LabelModality

    data = digits(test_size, seed)
    train, test = (
        {
            "audio": _tones(part.labels, np.random.default_rng(seed + i)),
            "image": part.images * 2 - 1,
            "label": part.labels.astype("int32"),
        }
        for i, part in enumerate((data.train, data.test))
    )
    modalities = {
        "audio": AudioModality(TONE_SAMPLES, patch_size=8, num_bands=4),
        "image": ImageModality(
            8, 8, channels=1, patch_size=2, num_bands=4, max_resolution=(8, 8)
        ),
        "label": LabelModality(len(data.labels), query_channels=62),
    }
    return MultimodalData(train, test, modalities)


def _tones(labels, rng):
    waves = 2 + 2 * labels[:, None]
    loudness = rng.uniform(0.5, 1, size=(len(labels), 1))
    noise = rng.normal(scale=0.05, size=(len(labels), TONE_SAMPLES))
    time = np.arange(TONE_SAMPLES) / TONE_SAMPLES
    sound = loudness * np.sin(2 * np.pi * waves * time) + noise
    return sound[..., None].astype("float32")  # [n, samples, 1]


def array_file(path: str, test_fraction: float = 0.2, seed: int = 0) -> MultimodalData:
    """Arrays by name in an `.npz` file, as `numpy.savez` writes it.

    Args:
        path: of the file. Each array has an entry for each example, `[n, ...]`, with the
            name of an input of the model.
        test_fraction: fraction of the examples held out.
        seed: of the split.

    Returns:
        A `MultimodalData` in memory.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, arrays of different lengths or of fewer than two
            examples, or a fraction out of range.
    """
    arrays = read_arrays(path)
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < 2:
        raise ValueError(
            f"{path} must hold arrays of the same number of examples, two or more. "
            f"Received: {counts}"
        )
    split = random_split(min(counts.values()), test_fraction, seed)
    train, test = ({name: x[part] for name, x in arrays.items()} for part in split)
    return MultimodalData(train, test)


def read_arrays(path):
    """Arrays `[n, ...]` of an `.npz` file, by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or one of other arrays.
    """
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, TypeError, AttributeError, EOFError, OSError, BadZipFile) as error:
        raise ValueError(
            f"{path} must be a file of numpy.savez. Received: {error}"
        ) from None
    if not arrays or min(array.ndim for array in arrays.values()) < 1:
        raise ValueError(
            f"{path} must hold arrays with an entry for each example. Received shapes: "
            f"{ {name: array.shape for name, array in arrays.items()} }"
        )
    return arrays
