"""Architectures by name: parameters and FLOPs of the papers (N6)."""

import concurrent.futures
import math

import keras
import pytest

import keras_perceiver as kp
from keras_perceiver.presets.catalogue import ARCHITECTURES

pytestmark = pytest.mark.one_backend

# Trained parameters (running means of a normalisation are not); GFLOP of
# arXiv 2103.03206 and 2107.14795, a multiply-add as two.
EXPECTED = {
    "perceiver_io_imagenet_fourier": (48_440_627, 406.1),
    # FLOPs counted by hand; the paper has 987 billion multiply-adds.
    "perceiver_io_optical_flow": (41_057_134, 1886.7),
    # FLOPs counted by hand: the paper has none.
    "perceiver_io_imagenet_learned": (62_255_848, 478.0),
    "perceiver_io_imagenet_conv": (48_646_522, 369.0),
    "perceiver_io_multimodal": (19_858_855, None),
    "perceiver_io_mnist": (907_212, None),
    "perceiver_io_mnist_small": (805_035, None),
    "perceiver_imagenet": (44_912_254, 706.3),
    "perceiver_imagenet_single_cross": (42_135_859, 404.0),
    # FLOPs counted by hand: arXiv 2107.14795, table 10, has 113 for bytes.
    "perceiver_io_language_bytes": (201_108_230, 120.9),
    "perceiver_io_language_sentencepiece": (223_155_456, None),
    "perceiver_io_language_small": (2_932_371, None),
    "perceiver_io_text_classifier_small": (2_857_218, None),
    # FLOPs counted by hand: 4,096 bytes, of which 512 are latents.
    "perceiver_ar_bytes_small": (30_563_078, 41.47),
    "perceiver_ar_base": (453_950_720, None),
    "perceiver_ar_maestro": (28_531_712, None),
    "perceiver_ar_giantmidi": (134_840_832, None),
}


@pytest.fixture(scope="module")
def measured():
    """`(model, parameters, flops)` by name, without allocating weights."""

    def build(name):
        with keras.StatelessScope(initialize_variables=False):
            model = kp.presets.load(name, load_weights=False)
            length = getattr(getattr(model, "encoder", model), "max_length", None)
            parameters = sum(math.prod(w.shape) for w in model.trainable_weights)
            return model, parameters, kp.models.flops(model, length=length) / 1e9

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


def test_autoregressive_models_are_those_of_the_examples(measured):
    """What the parameters do not tell: settings of krasserm's examples."""

    def options(name):
        model = measured[name][0]
        stack = model.get_layer("stack")
        spec = stack.attention
        return (
            (model.max_length, stack.max_latents, stack.num_layers, spec.num_heads),
            (stack.prefix_dropout, spec.dropout, spec.residual_dropout),
            (model.learned_positions, model.output_norm, model.output_bias),
        )

    assert options("perceiver_ar_bytes_small") == (
        (4096, 512, 8, 8),
        (0.5, 0.0, 0.0),
        (True, False, True),
    )
    assert options("perceiver_ar_base") == (
        (1024, 512, 20, 10),
        (0.0, 0.0, 0.0),
        (False, True, False),
    )
    symbolic = ((0.1,) * 3, (False, True, False))
    assert options("perceiver_ar_maestro") == ((2048, 1024, 8, 8), *symbolic)
    assert options("perceiver_ar_giantmidi") == ((6144, 2048, 18, 8), *symbolic)
    base = measured["perceiver_ar_base"][0].get_layer("stack").attention
    assert base.heads_at_once == 2


def test_flops_of_a_sequence_shorter_than_the_latents():
    """Each position is a latent then, and the whole is a decoder like any other."""
    spec = kp.layers.AttentionSpec(num_heads=2)
    model = kp.models.CausalLM(10, 32, 8, max_latents=16, num_layers=1, attention=spec)
    length, channels = 4, 8
    layer = 4 * channels**2 + 2 * length * channels + 2 * channels**2
    expected = 2 * length * (2 * layer + 10 * channels)
    assert kp.models.flops(model, length=length) == expected
