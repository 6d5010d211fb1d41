"""transformers' image classifiers with learned positions and with a convolution."""

import json

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.layers import LearnedPositionSpec, StemSpec
from tolerances import PARITY
from transformers_images import BASE, call, their_logits
from transformers_models import random_model

LEARNED = "PerceiverForImageClassificationLearned"
CONV = "PerceiverForImageClassificationConvProcessing"
SIZE = 20
CASES = [
    (LEARNED, {}),
    (
        LEARNED,
        {
            "qk_channels": 24,
            "v_channels": 16,
            "num_cross_attention_heads": 4,
            "cross_attention_widening_factor": 2,
        },
    ),
    (CONV, {}),
    (
        CONV,
        {
            "cross_attention_shape_for_attention": "q",
            "num_cross_attention_heads": 2,
            "hidden_act": "gelu_new",
            "num_labels": 2,
        },
    ),
]


def theirs(folder, architecture, **options):
    """A random model saved by transformers, for small images."""
    import torch

    model = random_model(architecture, {**BASE, "image_size": SIZE, **options})
    if architecture == CONV:
        norm = model.perceiver.input_preprocessor.convnet.batchnorm
        torch.nn.init.normal_(norm.running_mean, std=0.3)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    model.save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return model


@pytest.mark.parametrize(("architecture", "options"), CASES)
def test_logits_there_and_back(tmp_path, rng, architecture, options):
    import transformers

    model = theirs(tmp_path / "theirs", architecture, **options)
    images = rng.normal(size=(2, SIZE, SIZE, 3)).astype("float32")
    expected = their_logits(model, images)
    assert np.abs(expected).max() > 0.1
    ours = kp.presets.load(tmp_path / "theirs")
    np.testing.assert_allclose(call(ours, images), expected, atol=PARITY)

    kp.converters.to_huggingface(ours, tmp_path / "back")
    again, info = getattr(transformers, architecture).from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info.values())
    np.testing.assert_allclose(their_logits(again.eval(), images), expected, atol=1e-6)

    # Our own form of it keeps all options.
    kp.presets.save(ours, tmp_path / "ours")
    reloaded = kp.presets.load(tmp_path / "ours")
    np.testing.assert_array_equal(call(reloaded, images), call(ours, images))


@pytest.mark.parametrize("size", [(20, 20), (31, 27), (12, 40)])
def test_learned_positions_at_another_resolution(tmp_path, rng, size):
    """Theirs, interpolated by `interpolate_pos_encoding=True` (D3)."""
    import torch

    model = theirs(tmp_path, LEARNED)
    images = rng.normal(size=(2, *size, 3)).astype("float32")
    with torch.no_grad():
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        expected = model(inputs=pixels, interpolate_pos_encoding=True).logits.numpy()
    ours = kp.presets.load(tmp_path).resized(size)
    np.testing.assert_allclose(call(ours, images), expected, atol=PARITY)


def test_fourier_features_at_another_resolution(tmp_path, rng):
    """Theirs keep the frequencies of their training at every size (D3)."""
    model = theirs(tmp_path, CONV)
    images = rng.normal(size=(1, 31, 44, 3)).astype("float32")
    ours = kp.presets.load(tmp_path).resized((31, 44))
    np.testing.assert_allclose(call(ours, images), their_logits(model, images), atol=PARITY)


@pytest.mark.one_backend
def test_the_size_is_the_config_s(tmp_path):
    """A learned table has one row for each pixel of `image_size`, 56 if it does not say."""
    theirs(tmp_path, LEARNED)
    (tmp_path / "preprocessor_config.json").unlink()
    assert kp.presets.load(tmp_path).encoder.image_shape == (SIZE, SIZE, 3)
    size = {"height": 24, "width": 20}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    with pytest.raises(ValueError, match=r"`size`.*must be `image_size`.*\[24, 20\]"):
        kp.presets.load(tmp_path)


def classifier(**options):
    encoder = {
        "image_shape": (8, 8, 3),
        "num_latents": 3,
        "latent_channels": 8,
        "layers_per_block": 1,
        **options,
    }
    return kp.models.ImageClassifier(kp.models.ImageEncoder(**encoder), 3)


POINTWISE = {
    "stem": StemSpec(kind="pointwise", channels=256),
    "positions": LearnedPositionSpec(),
}
DOWN = {"stem": StemSpec(), "max_resolution": (56, 56)}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({**POINTWISE, "stem": None}, "Learned needs stem = StemSpec"),
        (
            {**POINTWISE, "positions": LearnedPositionSpec(projection=None)},
            "Learned needs positions = LearnedPositionSpec.*projection=256",
        ),
        ({**POINTWISE, "image_shape": (8, 9, 3)}, "needs image width = 8"),
        (
            {**DOWN, "stem": StemSpec(padding="same")},
            "needs stem = .*symmetric",
        ),
        ({**DOWN, "stem": StemSpec(channels=32)}, "needs stem = .*channels=64"),
        ({"stem": StemSpec()}, r"ConvProcessing needs max_resolution = \(56, 56\)"),
    ],
)
def test_models_that_transformers_cannot_express_are_refused(tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        kp.converters.to_huggingface(classifier(**options), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("stem/kernel", (64, 3, 7, 5), "does not fit `stem/kernel`.*(64, 3, 7, 7)"),
        ("stem_norm/moving_mean", (63,), "does not fit `stem_norm/moving_mean`"),
    ],
)
def test_shapes_of_a_convolution_are_compared(tmp_path, name, shape, match):
    from keras_perceiver.converters.huggingface_images import adapter_rows
    from keras_perceiver.files import TensorFile, write_tensors

    theirs(tmp_path, CONV)
    path = tmp_path / "model.safetensors"
    counter = "num_batches_tracked"  # of integers, and nobody reads it
    file = TensorFile(path, [lambda name: name.endswith(counter)])
    tensors = {key: file.read(key) for key in file.shapes if not key.endswith(counter)}
    tensors[{ours: row for ours, row, _ in adapter_rows(CONV)}[name]] = np.zeros(shape)
    write_tensors(path, tensors)
    with pytest.raises(ValueError, match=match):
        kp.presets.load(tmp_path)
