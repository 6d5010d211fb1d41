"""Presets: round trips, names, refusals, frozen files."""

import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.files import TensorFile, write_tensors
from keras_perceiver.layers import AttentionSpec, StemSpec
from keras_perceiver.presets.form import to_form
from tolerances import FLOAT32

E = 1e-6  # the same weights in the same program


def tiny_model(**options):
    encoder = kp.models.ImageEncoder(
        (5, 4, 1),
        num_bands=2,
        num_latents=3,
        latent_channels=8,
        self_attention=AttentionSpec(num_heads=2, dropout=0.1),
        layers_per_block=1,
        **options,
    )
    return kp.models.ImageClassifier(encoder, 3, head="average")


def test_files_of_the_first_release_load(frozen):
    """S3: presets of earlier releases, whatever has changed since."""
    folder, stored = frozen
    model = kp.presets.load(folder)
    logits = model.predict(stored["images"], verbose=0)
    np.testing.assert_allclose(logits, stored["logits"], atol=FLOAT32)
    assert model.preprocessor.labels == ["null", "eins", "zwei"]
    assert model.get_layer("encoder").self_attention.activation == "gelu_tanh"


@pytest.mark.parametrize("part", ["classifier", "encoder"])
def test_round_trip(tmp_path, rng, part):
    model = tiny_model(num_blocks=3, num_cross_attentions=2, share_first_block=False)
    model = model.encoder if part == "encoder" else model
    images = rng.normal(size=(2, 5, 4, 1))
    kp.presets.save(model, tmp_path / "preset", source="a test", licence="CC0")
    again = kp.presets.load(tmp_path / "preset")
    assert type(again) is type(model)
    np.testing.assert_allclose(
        again.predict(images, verbose=0), model.predict(images, verbose=0), atol=E
    )
    assert to_form(again) == to_form(model)
    metadata = json.loads((tmp_path / "preset" / "metadata.json").read_text())
    assert metadata["parameters"] == model.count_params()
    assert metadata["source"] == "a test"
    assert metadata["licence"] == "CC0"
    assert metadata["versions"]["keras_perceiver"] == kp.__version__


def test_half_precision_takes_half_of_the_file(tmp_path, frozen):
    model = kp.presets.load(frozen[0])
    sizes = {}
    for dtype, kind in (("float32", "F32"), ("bfloat16", "BF16"), ("float16", "F16")):
        kp.presets.save(model, tmp_path / dtype, dtype=dtype)
        file = TensorFile(tmp_path / dtype / "model.safetensors")
        assert set(file._types.values()) == {kind}
        sizes[dtype] = (tmp_path / dtype / "model.safetensors").stat().st_size
        for stored, weight in zip(
            kp.presets.load(tmp_path / dtype).weights, model.weights, strict=True
        ):
            assert stored.dtype == "float32"
            np.testing.assert_allclose(
                stored, weight, rtol=2**-8 if dtype == "bfloat16" else 2**-10, atol=1e-7
            )
    # Beside the names and shapes.
    assert max(sizes["bfloat16"], sizes["float16"]) < 0.8 * sizes["float32"]
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        kp.presets.save(model, tmp_path / "other", dtype="int8")


def test_without_weights_the_initial_ones_are_random(frozen):
    folder, stored = frozen
    model = kp.presets.load(folder, load_weights=False)
    difference = model.predict(stored["images"], verbose=0) - stored["logits"]
    assert np.abs(difference).max() > 0.1


@pytest.mark.one_backend
def test_a_shipped_folder_is_found_by_name(tmp_path, preset, monkeypatch):
    monkeypatch.setattr("keras_perceiver.presets.loading.SHIPPED", str(tmp_path))
    preset.rename(tmp_path / "digits")
    (tmp_path / "not_a_preset").mkdir()
    assert kp.presets.list()[0] == "digits"
    assert "not_a_preset" not in kp.presets.list()
    assert kp.presets.load("digits").num_classes == 3


@pytest.mark.one_backend
def test_unknown_names_and_missing_weights_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"perceiver_io_mnist.*Received: 'perceiver_imagnet'"
    ):
        kp.presets.load("perceiver_imagnet", load_weights=False)
    with pytest.raises(ValueError, match=r"No weights are shipped.*load_weights=False"):
        kp.presets.load("perceiver_io_mnist")
    with pytest.raises(FileNotFoundError, match=r"lacks config\.json"):
        kp.presets.load(tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor.json"])
def test_a_missing_file_is_named(preset, name):
    (preset / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}"):
        kp.presets.load(preset)


def change_tensors(preset, change):
    path = preset / "model.safetensors"
    file = TensorFile(path)
    tensors = {name: file.read(name) for name in file.shapes}
    change(tensors)
    write_tensors(path, tensors)


KERNEL = "decoder/cross_attention/mlp_in/kernel"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda t: t.update({KERNEL: t[KERNEL][:5]}),
            rf"`{KERNEL}`.*Expected shape \(6, 6\)\. Received: \(5, 6\)",
        ),
        (lambda t: t.pop(KERNEL), rf"lacks tensor `{KERNEL}`.*\(6, 6\)"),
        (
            lambda t: t.update({"../../etc/passwd": np.zeros((2, 3), "float32")}),
            r"no use for `\.\./\.\./etc/passwd`.*\(2, 3\)",
        ),
    ],
)
@pytest.mark.one_backend
def test_weights_that_do_not_fit_are_named_with_shapes(preset, change, match):
    """S4."""
    change_tensors(preset, change)
    for load_weights in (True, False):
        with pytest.raises(ValueError, match=match):
            kp.presets.load(preset, load_weights=load_weights)


def edit(preset, change, name="config.json"):
    config = json.loads((preset / name).read_text())
    change(config)
    (preset / name).write_text(json.dumps(config))


@pytest.mark.one_backend
def test_old_configs_get_defaults_and_unknown_keys_are_named(preset, frozen):
    """S2: a key that a later version adds is missing here, one it drops is unknown."""
    edit(preset, lambda c: c["config"].pop("init_scale"))
    edit(preset, lambda c: c["config"]["encoder"]["config"].pop("remat"))
    edit(preset, lambda c: c["config"]["cross_attention"]["config"].pop("heads_at_once"))
    model = kp.presets.load(preset)
    np.testing.assert_allclose(
        model.predict(frozen[1]["images"], verbose=0), frozen[1]["logits"], atol=FLOAT32
    )
    for path in ((), ("encoder", "config"), ("cross_attention", "config")):
        shutil.rmtree(preset)
        shutil.copytree(frozen[0], preset)

        def add(config, path=path):
            config = config["config"]
            for key in path:
                config = config[key]
            config["num_bans"] = 3

        edit(preset, add)
        with pytest.raises(ValueError, match=r"does not take.*num_bans"):
            kp.presets.load(preset)
    edit(preset, lambda c: c["config"]["cross_attention"]["config"].pop("num_bans"))
    edit(preset, lambda c: c["config"].update(colour=3), "preprocessor.json")
    with pytest.raises(ValueError, match=r"ImagePreprocessor does not take.*colour"):
        kp.presets.load(preset)


@pytest.mark.one_backend
def test_what_a_preset_cannot_express_is_refused(tmp_path):
    class Mine(kp.models.ImageClassifier):
        pass

    inputs = keras.Input((5, 4, 1))
    latents = keras.layers.Reshape((20, 1))(inputs)
    foreign = keras.Model(inputs, latents)
    foreign.checked_preprocessor = tiny_model().encoder.checked_preprocessor
    changed = tiny_model(stem=StemSpec(channels=3, padding="same"))
    changed.encoder.get_layer("stem").enable_lora(2)
    for model, match in (
        (keras.Sequential([keras.layers.Dense(2)]), "Received: model=<Sequential"),
        (Mine(tiny_model().encoder, 3), "Received: model=<Mine"),
        (kp.models.ImageClassifier(foreign, 3), "Received: encoder=<Functional"),
        (AttentionSpec(), "must be a model. Received: AttentionSpec"),
        (changed, "that its arguments, quantization and LoRA describe.*stem/lora"),
    ):
        with pytest.raises(ValueError, match=match):
            kp.presets.save(model, tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_backend
def test_a_failed_save_keeps_the_old_preset(tmp_path, frozen, monkeypatch):
    def full_disk(path, tensors, metadata=None):
        raise OSError(28, "No space left on device", path)

    model = kp.presets.load(frozen[0])
    path = tmp_path / "preset"
    kp.presets.save(model, path)
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    monkeypatch.setattr("keras_perceiver.presets.saving.write_tensors", full_disk)
    with pytest.raises(OSError, match="No space left"):
        kp.presets.save(model, path)
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert list(tmp_path.iterdir()) == [path]


def test_loading_leaves_no_unbuilt_variables_behind(frozen):
    """The models that only shapes are taken of must not be allocated later."""
    from keras.src.backend.common import global_state

    kp.presets.load(frozen[0])
    assert not global_state.get_global_attribute("uninitialized_variables", [])


EVALUATE_OFTEN = """
import sys
import keras, numpy as np
import keras_perceiver as kp
from keras_perceiver.files import TensorFile

file = TensorFile(f"{sys.argv[1]}/model.safetensors")
for _ in range(12):  # compiled, then read from the cache
    model = kp.presets.load(sys.argv[1])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.evaluate(np.zeros((3, 5, 4, 1), "float32"), np.zeros(3), batch_size=2, verbose=0)
    for weight in model.weights:
        np.testing.assert_array_equal(weight, file.read(weight.path), weight.path)
"""


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the cache is of JAX")
def test_evaluation_leaves_loaded_weights_as_they_are(tmp_path):
    # JAX 0.5 evaluated in memory of arrays that were gone, which glibc here overwrites.
    kp.presets.save(tiny_model(), tmp_path / "preset")
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "MALLOC_PERTURB_": "255",
    }
    command = [sys.executable, "-c", EVALUATE_OFTEN, str(tmp_path / "preset")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "compiled").iterdir())
