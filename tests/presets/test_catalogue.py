"""Architectures by name: parameters and FLOPs of the papers (N6)."""

import concurrent.futures

import keras
import pytest

import keras_perceiver as kp
from keras_perceiver.presets.catalogue import ARCHITECTURES

pytestmark = pytest.mark.one_backend

# Parameters; GFLOP of arXiv 2103.03206 and 2107.14795, a multiply-add as two.
EXPECTED = {
    "perceiver_io_imagenet_fourier": (48_440_627, 406.1),
    "perceiver_io_mnist": (907_212, None),
    "perceiver_io_mnist_small": (805_035, None),
    "perceiver_imagenet": (44_912_254, 706.3),
    "perceiver_imagenet_single_cross": (42_135_859, 404.0),
    # FLOPs counted by hand: arXiv 2107.14795, table 10, has 113 for bytes.
    "perceiver_io_language_bytes": (201_108_230, 120.9),
    "perceiver_io_language_sentencepiece": (223_155_456, None),
    "perceiver_io_language_small": (2_932_371, None),
    "perceiver_io_text_classifier_small": (2_857_218, None),
}


@pytest.fixture(scope="module")
def measured():
    """`(model, parameters, flops)` by name, without allocating weights."""

    def build(name):
        with keras.StatelessScope(initialize_variables=False):
            model = kp.presets.load(name, load_weights=False)
            length = getattr(model.encoder, "max_length", None)
            return model, model.count_params(), kp.models.flops(model, length=length) / 1e9

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return {name: executor.submit(build, name).result() for name in ARCHITECTURES}


def test_every_architecture_is_expected():
    assert set(ARCHITECTURES) == set(EXPECTED)
    assert set(ARCHITECTURES) <= set(kp.presets.list())


@pytest.mark.parametrize("name", EXPECTED)
def test_parameters_and_flops(measured, name):
    _, parameters, flops = measured[name]
    expected_parameters, expected_flops = EXPECTED[name]
    assert parameters == expected_parameters
    if expected_flops is not None:
        assert flops == pytest.approx(expected_flops, rel=0.01)


@pytest.mark.parametrize("name", [n for n in EXPECTED if "imagenet" in n])
def test_imagenet_models_preprocess_as_published(measured, name):
    preprocessor = measured[name][0].preprocessor
    assert preprocessor.get_config() == {
        "image_shape": [224, 224, 3],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop": 224 / 256,
        "labels": None,
    }


def test_the_mnist_model_drops_out_as_published(measured):
    model = measured["perceiver_io_mnist"][0]
    options = model.encoder.encoder_options
    specs = (model.cross_attention, options["cross_attention"], options["self_attention"])
    assert [spec.dropout for spec in specs] == [0.1] * 3
    assert [spec.num_heads for spec in specs] == [1, 1, 8]
    small = measured["perceiver_io_mnist_small"][0]
    assert small.encoder.get_layer("encoder").self_attention.dropout == 0
