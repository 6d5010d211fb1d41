"""Sources: what comes out, how it is split, and what is refused."""

import pickle

import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend


def test_digits_are_split_by_seed_with_every_class_in_proportion():
    data = kp.data.digits()
    image, label = data.test[0]
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert image.shape == (8, 8, 1) and image.dtype == np.float32
    assert image.max() <= 1 and isinstance(label, int)
    counts = np.bincount(data.test.labels, minlength=10)
    assert counts.min() >= 34 and counts.max() <= 38
    again, other = kp.data.digits(), kp.data.digits(seed=1)
    np.testing.assert_array_equal(data.test.images, again.test.images)
    assert not np.array_equal(data.test.labels, other.test.labels)
    # Nothing is held out and trained on at once.
    train = {image.tobytes() for image in data.train.images}
    assert sum(image.tobytes() in train for image in data.test.images) == 0


def write_images(folder, counts, mode="L"):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            shape = (9, 7) if mode == "L" else (9, 7, 3)
            pixels = rng.integers(0, 255, shape, dtype="uint8")
            suffix = "png" if i % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{i}.{suffix}")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_image_folder(tmp_path, mode, channels):
    write_images(tmp_path, {"cat": 5, "dog": 10}, mode)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    data = kp.data.image_folder(str(tmp_path), test_fraction=0.2)
    assert data.labels == ["cat", "dog"]
    assert (len(data.train), len(data.test)) == (12, 3)
    assert sorted(label for _, label in data.test) == [0, 1, 1]
    image, _ = data.train[0]
    assert image.shape == (9, 7, channels) and image.dtype == np.uint8
    folders = {str(path.parent.name): label for path, label in _files(data.train)}
    assert folders == {"cat": 0, "dog": 1}


def _files(source):
    return zip(source.paths, source.labels, strict=True)


@pytest.mark.parametrize("counts", [{}, {"cat": 5}, {"cat": 5, "dog": 1}])
def test_image_folder_refuses_too_little(tmp_path, counts):
    write_images(tmp_path, counts)
    with pytest.raises(ValueError, match=r"`path` must hold a sub-folder.*Received: path="):
        kp.data.image_folder(str(tmp_path))


def test_image_folder_refuses_a_path_that_is_none():
    with pytest.raises(
        ValueError, match=r"`path` must be a folder\. Received: path=/nowhere"
    ):
        kp.data.image_folder("/nowhere")


IMAGES = np.zeros((3, 8, 8, 1), "float32")
LABELS = np.arange(3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], r"`images` must be a non-empty.*\(0, 8, 8, 1\)"),
        (IMAGES[..., 0], LABELS, r"`images` must be .* Received: images.shape=\(3, 8, 8\)"),
        (IMAGES + np.nan, LABELS, "`images` must be finite. Received nan at index"),
        (IMAGES + 7, LABELS, "`images` must be uint8 or hold values in .* from 7 to 7"),
        (IMAGES, LABELS[:2], r"`labels` must be 3 integers.*labels.shape=\(2,\)"),
        (IMAGES, LABELS / 2, "`labels` must be 3 integers.*dtype=float64"),
        (IMAGES, LABELS - 1, "`labels` must be 0 or more. Received: -1"),
    ],
)
def test_array_source_refuses(images, labels, message):
    with pytest.raises(ValueError, match=message):
        kp.data.ArraySource(images, labels)


@pytest.fixture
def small_set(tmp_path):
    """A set of tensorflow-datasets of five images, built here, without a network."""
    import tensorflow_datasets as tfds

    class FiveImages(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(6, 5, 3)),
                        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                    }
                ),
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(3), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            for i in range(count):
                yield i, {"image": np.full((6, 5, 3), i, "uint8"), "label": i % 2}

    return "five_images", str(tmp_path)


def test_tensorflow_datasets_by_name(small_set):
    name, folder = small_set
    data = kp.data.tfds(name, data_dir=folder)
    assert data.labels == ["cat", "dog"]
    assert (len(data.train), len(data.test)) == (3, 2)
    records = sorted((image.mean(), label) for image, label in data.train)
    assert records == [(0, 0), (1, 1), (2, 0)]
    image, label = data.train[2]
    assert image.shape == (6, 5, 3) and image.dtype == np.uint8 and isinstance(label, int)
    # Worker processes read it too.
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data.train))[2][0], image)
    with pytest.raises(ValueError, match="nope"):
        kp.data.tfds(name, data_dir=folder, test_split="nope")


def test_tensorflow_datasets_knows_mnist():
    import tensorflow_datasets

    with tensorflow_datasets.testing.mock_data(num_examples=5):
        data = kp.data.tfds("mnist")
        assert data.labels == [str(i) for i in range(10)]
        assert data.train[3][0].shape == (28, 28, 1)


def test_tensorflow_datasets_refuses_a_set_without_images():
    with pytest.raises(ValueError, match=r"'image' and 'label'.*Received: name=lm1b"):
        kp.data.tfds("lm1b")


@pytest.fixture
def text_set(tmp_path):
    """A set of tensorflow-datasets of two graded texts, and some without a grade."""
    import tensorflow_datasets as tfds

    class GradedTexts(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "text": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["neg", "pos"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {
                "train": self._generate_examples([0, 1]),
                "test": self._generate_examples([0, 1]),
                "unsupervised": self._generate_examples([-1, -1]),
            }

        def _generate_examples(self, labels):
            for i, text in enumerate(["Grüße", "good"]):
                yield i, {"text": text, "label": labels[i]}

    return "graded_texts", str(tmp_path)


def test_labelled_texts_of_tensorflow_datasets(text_set):
    name, folder = text_set
    data = kp.data.tfds_text(name, folder)
    assert data.labels == ["neg", "pos"]
    assert sorted(data.train) == [("Grüße", 0), ("good", 1)]
    data = kp.data.tfds_text(name, folder, train_split="unsupervised")
    assert sorted(data.train) == [("Grüße", -1), ("good", -1)]
    ids = kp.data.tokens(data.train, kp.preprocessing.ByteTokenizer())
    assert len(ids) == len("Grüßegood".encode())
    again = pickle.loads(pickle.dumps(data.train))
    np.testing.assert_array_equal(
        kp.data.tokens(again, kp.preprocessing.ByteTokenizer()), ids
    )
    with pytest.raises(ValueError, match="nope"):
        kp.data.tfds_text(name, folder, test_split="nope")
    with pytest.raises(ValueError, match=r"'image' and 'label'.*name=graded_texts"):
        kp.data.tfds(name, folder)


def mock_texts(text):
    """The sets that tensorflow-datasets knows, with one text in each split."""
    import tensorflow_datasets as tfds

    record = {"text": text.encode(), "label": np.int64(1)}
    return tfds.testing.mock_data(as_data_source_fn=lambda self, split: [record])


def test_markers_of_wiki40b_become_line_breaks():
    article = (
        "\n_START_ARTICLE_\nÄpfel\n_START_PARAGRAPH_\nAn apple.\n_START_SECTION_\nUse\n"
        "_START_PARAGRAPH_\nEaten._NEWLINE_Pressed."
    )
    plain = "Äpfel\n\nAn apple.\n\nUse\n\nEaten.\nPressed."
    with mock_texts(article):
        assert kp.data.tfds_text("wiki40b/de").train[0] == plain
        assert kp.data.tfds_text("lm1b").train[0] == article


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("imdb_reviews", ["neg", "pos"]),
        ("lm1b", None),
        ("wikipedia", None),
        ("wiki40b", None),
        ("c4", None),
    ],
)
def test_tensorflow_datasets_has_these_texts(name, labels):
    with mock_texts("Grüße"):
        data = kp.data.tfds_text(name)
    assert data.labels == labels
    assert data.train[0] == data.test[0] == ("Grüße" if labels is None else ("Grüße", 1))


def test_tensorflow_datasets_refuses_a_set_without_texts():
    with pytest.raises(ValueError, match=r"a feature 'text'.*Received: name=mnist with"):
        kp.data.tfds_text("mnist")
