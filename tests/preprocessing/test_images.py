"""Images of any kind to normalised arrays."""

import numpy as np
import pytest

from keras_perceiver.data.images import FileSource
from keras_perceiver.preprocessing import ImagePreprocessor
from keras_perceiver.presets.catalogue import ARCHITECTURES

pytestmark = pytest.mark.one_backend


def test_pixels_are_normalised():
    x = np.full((4, 4, 3), 128, "uint8")
    out = ImagePreprocessor((4, 4, 3), mean=[0.5, 0.4, 0.3], std=[0.5, 0.25, 0.1])(x)
    assert out.dtype == np.float32
    expected = (128 / 255 - np.array([0.5, 0.4, 0.3])) / [0.5, 0.25, 0.1]
    np.testing.assert_allclose(out[0, 0, 0], expected, atol=1e-6)


def test_colours_and_grey():
    red = np.zeros((2, 2, 3))
    red[..., 0] = 1
    grey = ImagePreprocessor((2, 2, 1), mean=0, std=1)(red)
    np.testing.assert_allclose(grey, 0.299, atol=1e-6)
    again = ImagePreprocessor((2, 2, 3), mean=0, std=1)(grey[0])
    np.testing.assert_allclose(again, 0.299, atol=1e-6)


def test_crop_keeps_the_centre():
    x = np.zeros((8, 16, 1), "uint8")
    x[2:6, 6:10] = 255
    out = ImagePreprocessor((4, 4, 1), mean=0, std=1, crop=0.5)(x)
    np.testing.assert_array_equal(out, 1)


def test_resizing_is_that_of_pillow():
    from PIL import Image

    x = np.random.default_rng(0).integers(0, 256, (20, 30), "uint8")
    out = ImagePreprocessor((10, 12, 1), mean=0, std=1)(x)[0, :, :, 0]
    expected = (
        np.asarray(Image.fromarray(x).resize((12, 10), Image.Resampling.BICUBIC)) / 255
    )
    # Bytes are resized as bytes, floats as floats.
    np.testing.assert_allclose(out, expected, atol=1e-6)
    out = ImagePreprocessor((10, 12, 1), mean=0, std=1)(x / 255)[0, :, :, 0]
    assert 1e-4 < np.abs(out - expected).max() < 1 / 255


def photographs():
    """scikit-learn's two real photographs, 427 x 640 pixels."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


@pytest.mark.parametrize("size", [(427, 640), (640, 300), (224, 224), (100, 131), (31, 7)])
@pytest.mark.parametrize("kind", ["photograph", "noise"])
def test_pixels_are_those_of_transformers(rng, size, kind):
    """Crop, bicubic resizing and normalisation, of images larger and smaller than it."""
    from PIL import Image
    from transformers.models.perceiver.image_processing_pil_perceiver import (
        PerceiverImageProcessorPil,
    )

    if kind == "noise":
        images = [rng.integers(0, 256, (*size, 3), "uint8")]
    else:
        images = [np.asarray(Image.fromarray(x).resize(size[::-1])) for x in photographs()]
    form = ARCHITECTURES["perceiver_io_imagenet_fourier"]["config"]["preprocessor"]
    received = ImagePreprocessor(**form["config"])(images)
    expected = PerceiverImageProcessorPil()(images, return_tensors="np").pixel_values
    # They normalise in another order: rounding of float32.
    np.testing.assert_allclose(received, expected.transpose(0, 2, 3, 1), atol=2e-6)


def test_photographs_are_turned_upright(tmp_path):
    """A camera held sideways says so in the file."""
    from PIL import Image

    pixels = photographs()[0][:60, :80]
    turned = Image.fromarray(np.rot90(pixels))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned.save(tmp_path / "cat.png", exif=exif)
    preprocess = ImagePreprocessor((60, 80, 3))
    np.testing.assert_array_equal(preprocess(tmp_path / "cat.png"), preprocess(pixels))
    source = FileSource([tmp_path / "cat.png"], [3])
    np.testing.assert_array_equal(source[0][0], pixels)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ([], "`images` must hold at least one image"),
        (np.zeros((2, 3, 4, 5, 1)), "`images` must be of shape"),
        (np.zeros((0, 4, 1)), "`images` must be of shape"),
        (
            np.zeros((4, 4, 2)),
            "`images` must have 1 channels. Received: shape=\\(4, 4, 2\\)",
        ),
        (
            np.full((4, 4), np.nan),
            "`images` must be finite. Received nan at index \\(0, 0, 0\\)",
        ),
        (
            np.full((4, 4), 16.0),
            "must hold values in \\[0, 1\\]. Received values from 16 to 16",
        ),
    ],
)
def test_bad_images(images, match):
    with pytest.raises(ValueError, match=match):
        ImagePreprocessor((4, 4, 1))(images)


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(ValueError, match="`images` must be image files. Received: .*a.png"):
        ImagePreprocessor((4, 4, 1))(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"std": 0}, "`std` must be positive. Received: std=0"),
        ({"mean": "grey"}, "`mean` must be a number or one per channel"),
        ({"std": [1, 1]}, "`std` must be a number or one per channel"),
        ({"crop": 2}, "`crop` must lie in \\(0, 1\\]"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        ImagePreprocessor((4, 4, 1), **options)
