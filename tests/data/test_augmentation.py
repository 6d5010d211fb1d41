"""Random changes of images: what they keep, and that a seed decides them."""

import concurrent.futures

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import ArraySource, Augmentation, batches


def test_shift_moves_what_is_there_and_keeps_the_range(rng):
    image = np.zeros((7, 7, 1), "float32")
    image[3, 3] = 1

    class Fixed:
        def uniform(self, low, high, size=None):
            return np.asarray([1.0, -2.0]) if size else 0.0

    moved = Augmentation(shift=2)(image, Fixed())
    assert moved[4, 1, 0] == pytest.approx(1) and moved.sum() == pytest.approx(1)
    np.testing.assert_array_equal(Augmentation()(image, rng), image)
    pixels = rng.integers(0, 256, (9, 9, 3), dtype="uint8")
    turned = Augmentation(shift=1, rotate=15, zoom=0.2)(pixels, rng)
    assert turned.shape == pixels.shape and turned.dtype == np.uint8


def test_rotation_turns_about_the_centre():
    image = np.zeros((5, 5, 1), "float32")
    image[2, 4] = 1

    class Quarter:
        def uniform(self, low, high, size=None):
            return np.zeros(2) if size else (90.0 if high == 90 else 0.0)

    turned = Augmentation(rotate=90)(image, Quarter())[..., 0]
    assert turned[0, 2] == pytest.approx(1, abs=1e-6) or turned[4, 2] == pytest.approx(1)


@pytest.mark.parametrize("name", ["shift", "rotate", "zoom", "rand_augment", "mixup"])
def test_augmentation_refuses_negative_numbers(name):
    with pytest.raises(
        ValueError, match=f"`{name}` must be 0 or more. Received: {name}=-1"
    ):
        Augmentation(**{name: -1})


@pytest.mark.parametrize("name", ["crop", "magnitude", "cutmix"])
def test_augmentation_refuses_more_than_all(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at most 1. Received: {name}=2"):
        Augmentation(**{name: 2})


def test_a_crop_keeps_a_part_of_about_the_same_sides(rng):
    image = np.arange(40 * 60 * 3).reshape(40, 60, 3)
    parts = [Augmentation(crop=0.2)(image, rng) for _ in range(200)]
    areas = np.array([part.shape[0] * part.shape[1] for part in parts]) / 2400
    ratios = np.array([part.shape[0] / part.shape[1] for part in parts])
    assert 0.18 < areas.min() < 0.25 and 0.8 < areas.max() <= 1
    assert 0.6 < ratios.min() < 0.8 and 1.2 < ratios.max() < 1.4
    for part in parts[:9]:
        top, left = np.argwhere((image == part[0, 0]).all(axis=-1))[0]
        np.testing.assert_array_equal(
            part, image[top : top + part.shape[0], left : left + part.shape[1]]
        )
    assert len({part[0, 0, 0] for part in parts}) > 60


def test_a_flip_mirrors_half_of_the_images(rng):
    image = rng.normal(size=(3, 4, 1))
    mirrored = 0
    for _ in range(400):
        out = Augmentation(flip=True)(image, rng)
        mirrored += np.array_equal(out, image[:, ::-1])
        assert np.array_equal(out, image) or np.array_equal(out, image[:, ::-1])
    assert 160 < mirrored < 240


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_rand_augment_is_that_of_keras(rng, dtype):
    """Operations that a seed decides, in the range and type of the pixels."""
    image = rng.integers(0, 256, (12, 10, 3), "uint8")
    image = image if dtype == "uint8" else (image / 255).astype("float32")
    augmentation = Augmentation(rand_augment=2, magnitude=0.3)

    def changed(seed):
        return augmentation(image, np.random.default_rng(seed))

    results = [changed(seed) for seed in range(4)]
    for seed, result in enumerate(results):
        assert result.shape == image.shape and result.dtype == image.dtype
        assert result.min() >= 0 and result.max() <= (255 if dtype == "uint8" else 1)
        np.testing.assert_array_equal(result, changed(seed))
    assert sum(np.array_equal(result, image) for result in results) <= 1
    with pytest.raises(ValueError, match=r"needs images of 3 channels.*\(4, 4, 1\)"):
        augmentation(np.zeros((4, 4, 1), "uint8"), rng)


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_labels_are_mixed_as_the_images_are(rng, kind):
    """Images that are as bright as their label: so are the mixtures."""
    brightness = np.arange(8, dtype="float32")
    images = np.ones((8, 32, 32, 3), "float32") * brightness[:, None, None, None]
    mixed, labels = Augmentation(**{kind: 1.0}).mix(images, np.eye(8, dtype="float32"), rng)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    assert 0.01 < labels.max(axis=1).min() < 0.99
    # A pasted rectangle ends at whole pixels, its weight in the label does not.
    error = np.abs(mixed.mean(axis=(1, 2, 3)) - labels @ brightness)
    assert error.max() < (0.5 if kind == "cutmix" else 1e-4)
    of_one_image = np.isclose(mixed, mixed.round(), atol=1e-4).all()
    assert of_one_image == (kind == "cutmix")


def test_either_mixture_by_lot(rng):
    """With both, a batch has one of them."""
    images = np.arange(4, dtype="float32")[:, None, None, None] * np.ones((4, 8, 8, 3))
    both = Augmentation(cutmix=1.0, mixup=1.0)
    kinds = [
        np.ptp(both.mix(images, np.eye(4), rng)[0], axis=(1, 2, 3)).max() > 0
        for _ in range(12)
    ]
    assert 2 < sum(kinds) < 10


def test_threads_do_not_disturb_each_other(rng):
    """Keras on PyTorch draws a mixture's weights from one generator for all threads."""
    images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    augmentation = Augmentation(mixup=1.0)

    def labels(seed):
        mixed = augmentation.mix(images, np.eye(4), np.random.default_rng(seed))
        return mixed[1]

    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        threaded = list(executor.map(labels, range(60)))
    np.testing.assert_array_equal(threaded, [labels(seed) for seed in range(60)])


def test_all_at_once_is_decided_by_the_seed(rng):
    """A resumed run sees the same, and so does one that reads ahead in threads."""
    encoder = kp.models.ImageEncoder(
        (6, 6, 3), num_bands=2, num_latents=2, latent_channels=8, layers_per_block=1
    )
    preprocessor = kp.preprocessing.ImagePreprocessor((6, 6, 3), crop=0.5)
    model = kp.models.ImageClassifier(encoder, 4, preprocessor=preprocessor)
    images = rng.integers(0, 256, (8, 10, 9, 3), "uint8")
    source = ArraySource(images, np.arange(8) % 4)
    augmentation = Augmentation(flip=True, rand_augment=1, cutmix=1.0, mixup=0.2)

    def dataset():
        return batches(source, model, 4, 3, augmentation, one_hot=True)

    first = dataset()
    expected = [first[step] for step in range(4)]
    ahead = iter(kp.data.read_ahead(dataset()))
    resumed = dataset()[2:]
    for step in range(4):
        for again in (next(ahead), *([resumed[step - 2]] if step > 1 else [])):
            for ours, theirs in zip(expected[step], again, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(expected[0][0], expected[2][0])
    assert expected[0][1].shape == (4, 4) and expected[0][0].shape == (4, 6, 6, 3)


def test_a_random_crop_takes_the_place_of_the_centre():
    """Or no image would ever show its edges."""
    image = np.zeros((8, 8, 1), "uint8")
    image[0] = 255
    source = ArraySource(np.stack([image] * 32), np.zeros(32, int))
    encoder = kp.models.ImageEncoder(
        (4, 4, 1), num_bands=2, num_latents=2, latent_channels=8, layers_per_block=1
    )
    preprocessor = kp.preprocessing.ImagePreprocessor((4, 4, 1), crop=0.5)
    model = kp.models.ImageClassifier(encoder, 2, preprocessor=preprocessor)
    plain, _ = batches(source, model, 32)[0]
    cropped, _ = batches(source, model, 32, 0, Augmentation(crop=0.5))[0]
    assert plain.max() == -1 and cropped.max() > -0.5
