"""The paper's recipe for ImageNet, and image models other than the plain one."""

import copy
import pathlib

import keras
import pytest
import tensorflow_datasets as tfds

import keras_perceiver as kp
from command_line import run
from keras_perceiver.layers import LearnedPositionSpec, StemSpec
from keras_perceiver.presets.catalogue import ARCHITECTURES

CONFIG = pathlib.Path(kp.__file__).parents[1] / "guides" / "configs" / "imagenet.yaml"
FIT = ["fit", "image-classifier"]
SMALL = {
    "image_shape": (16, 16, 3),
    "num_latents": 2,
    "latent_channels": 8,
    "num_blocks": 1,
    "layers_per_block": 1,
}


@pytest.fixture(autouse=True)
def small_architectures(monkeypatch):
    """The models by their names, with all they have but their size."""
    for name in ("fourier", "learned", "conv"):
        form = copy.deepcopy(ARCHITECTURES[f"perceiver_io_imagenet_{name}"])
        form["config"]["encoder"]["config"].update(SMALL)
        form["config"]["preprocessor"]["config"]["image_shape"] = SMALL["image_shape"]
        monkeypatch.setitem(ARCHITECTURES, f"perceiver_io_imagenet_{name}", form)


@pytest.mark.slow
@pytest.mark.one_backend
def test_the_recipe_runs(tmp_path):
    """On images of tensorflow-datasets' format of ImageNet, made up."""
    small = ["--epochs=1", "--batch_size=2", "--verbose=0", f"--output={tmp_path / 'run'}"]
    small.append("--augmentation.rand_augment=1")  # four take four times as long
    with tfds.testing.mock_data(num_examples=4):
        out = run([*FIT, f"--config={CONFIG}", *small])
    assert "on 4 images" in out
    model = kp.presets.load(tmp_path / "run" / "preset")
    assert model.num_classes == 1000
    assert model.preprocessor.labels[0] == "n01440764"
    assert model.preprocessor.crop == 224 / 256


@pytest.mark.one_backend
def test_the_recipe_is_the_papers(monkeypatch):
    compiled = {}

    def compile(self, optimizer, jit_compile, loss, metrics):
        compiled.update(optimizer=optimizer, loss=loss)
        raise GeneratorExit  # what no command handles

    monkeypatch.setattr(keras.Model, "compile", compile)
    with tfds.testing.mock_data(num_examples=1024), pytest.raises(GeneratorExit):
        run([*FIT, f"--config={CONFIG}"])
    optimizer, loss = compiled["optimizer"], compiled["loss"]
    assert isinstance(optimizer, keras.optimizers.Lamb)
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.1, 10)
    rate = optimizer._learning_rate
    rates = [float(rate(step)) for step in (0, 54, 55, 82.5, 110)]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-3, 1e-3, 0], abs=1e-9)
    assert loss.label_smoothing == 0.1


@pytest.mark.one_backend
def test_stems_and_positions_are_options(built):
    sizes = ["--model.encoder.num_latents=2", "--model.encoder.latent_channels=8"]
    fit = [*FIT, "--data=digits", *sizes, "--model.encoder.layers_per_block=1"]
    stem = built([*fit, "--model.encoder.stem={kind: pointwise, channels: 5}"]).encoder.stem
    assert stem == StemSpec(kind="pointwise", channels=5)
    positions = "--model.encoder.positions={channels: 7, projection: null}"
    encoder = built([*fit, positions]).encoder
    assert encoder.positions == LearnedPositionSpec(channels=7, projection=None)
    assert encoder.stem is None


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["learned", "conv"])
def test_a_preset_sets_stem_and_positions(built, name):
    preset = f"perceiver_io_imagenet_{name}"
    with tfds.testing.mock_data(num_examples=1):
        data = ["--data=tfds", "--data.name=imagenet2012", "--data.test_split=validation"]
        model = built([*FIT, *data, f"--model.preset={preset}"])
    expected = kp.presets.load(preset, load_weights=False).encoder
    assert (model.encoder.stem, model.encoder.positions) == (
        expected.stem,
        expected.positions,
    )
