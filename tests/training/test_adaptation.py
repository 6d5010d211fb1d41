"""LoRA and quantization: what they change, what they leave, and their presets (T6)."""

import gc
import json

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_ar
import tiny_audio
import tiny_flow
import tiny_multimodal
import tiny_points
import tiny_text
from keras_perceiver.files import write_tensors
from keras_perceiver.layers import AttentionSpec, StemSpec
from keras_perceiver.layers.adaptation import adaptation
from keras_perceiver.layers.folding import best_folding
from tiny import classifier, images

BACKEND = keras.backend.backend()
E = 1e-6  # the same weights in the same program
# Root mean square of the difference of outputs over that of outputs, of random weights;
# measured on all models: at most 0.04 and 0.30.
ERRORS = {"int8": 0.1, "int4": 0.5}
SOUND_AND_LABEL = ("audio", "label")

MODELS = {
    "image": (
        lambda: classifier(stem=StemSpec(channels=3, padding="same")),
        lambda: images(2),
    ),
    "masked_lm": (tiny_text.masked_lm, tiny_text.batch),
    "text": (tiny_text.text_classifier, tiny_text.batch),
    "causal_lm": (tiny_ar.causal_lm, lambda: tiny_ar.inputs(tiny_ar.ids(2, 12))),
    "symbolic_audio": (
        lambda: kp.models.SymbolicAudioLM(
            tiny_ar.MAX_LENGTH,
            16,
            max_latents=8,
            num_layers=1,
            attention=AttentionSpec(num_heads=2),
        ),
        lambda: tiny_ar.inputs(tiny_ar.ids(2, 12)),
    ),
    "optical_flow": (tiny_flow.model, lambda: tiny_flow.frames(2)),
    "multimodal": (
        lambda: tiny_multimodal.autoencoder(*SOUND_AND_LABEL, init_scale=0.1),
        lambda: tiny_multimodal.batch(names=SOUND_AND_LABEL),
    ),
    "audio": (
        lambda: tiny_audio.classifier(patch_size=32),
        lambda: tiny_audio.clips(2),
    ),
    "points": (tiny_points.classifier, tiny_points.batch),
}


def made(name):
    """A model, with weights that all matter, and inputs."""
    make, inputs = MODELS[name]
    model = make()
    contract.randomize(model, np.random.default_rng(1))
    return model, inputs()


# All on PyTorch, which compiles nothing; elsewhere one of each kind, for time.
NAMES = MODELS if BACKEND == "torch" else ["image", "masked_lm", "causal_lm", "multimodal"]


def raw_outputs(model, x):
    """Compiled on JAX, where single operations take longer to compile than all at once."""
    return model.predict_on_batch(x) if BACKEND == "jax" else model(x, training=False)


def outputs(model, x):
    return contract.as_numpy(raw_outputs(model, x))


def values(model):
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def saved_and_loaded(model, x, expected, path):
    """What `load` gives of a preset: the same weights, types and outputs."""
    kp.presets.save(model, path)
    again = kp.presets.load(path)
    assert adaptation(again) == adaptation(model) != {}
    assert [w.dtype for w in again.weights] == [w.dtype for w in model.weights]
    np.testing.assert_allclose(outputs(again, x), expected, atol=E)
    return again


def error(after, before):
    return np.sqrt(np.square(after - before).mean() / np.square(before).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_int8_with_lora_trains_its_factors_and_is_saved(name, tmp_path):
    model, x = made(name)
    before = outputs(model, x)
    model.quantize("int8")
    kp.training.enable_lora(model, rank=2, alpha=3)
    # The factors start at no change: the difference is that of quantization.
    raw = raw_outputs(model, x)
    start = contract.as_numpy(raw)
    assert 0 < error(start, before) < ERRORS["int8"]
    frozen = values(model)
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=BACKEND == "tensorflow")
    model.train_on_batch(x, keras.tree.map_structure(keras.ops.ones_like, raw))
    trained = {w.path for w in model.trainable_weights}
    assert {path.rsplit("_", 1)[0].rsplit("/", 1)[1] for path in trained} == {"lora_kernel"}
    for path, value in values(model).items():
        if path not in trained:
            np.testing.assert_array_equal(value, frozen[path], err_msg=path)
    expected = outputs(model, x)
    assert np.abs(expected - start).max() > 1e-4
    again = saved_and_loaded(model, x, expected, tmp_path / "preset")
    assert {w.path for w in again.trainable_weights} == trained


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_int4_is_near_and_saved(name, tmp_path):
    model, x = made(name)
    before = outputs(model, x)
    model.quantize("int4")
    after = outputs(model, x)
    assert 0 < error(after, before) < ERRORS["int4"]
    saved_and_loaded(model, x, after, tmp_path / "preset")


def dense_layers(model):
    return [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]


def test_lora_counts_and_trains():
    model = classifier()
    contract.randomize(model, np.random.default_rng(1))
    x = images(6)
    before = model.predict(x, verbose=0)
    kernels = [d.kernel.shape for d in dense_layers(model)]
    assert kp.training.enable_lora(model, rank=2) == len(kernels)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == sum(2 * (i + o) for i, o in kernels)
    # The factors start at no change; forward stays what it was.
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-5)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = model.fit(x, np.arange(6) % 3, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    # The folded path must read the adapted kernels: key and value factors moved.
    attention = model.encoder.get_layer("encoder").first_cross.attend
    assert best_folding(attention, 4, 30) == "context"
    assert np.abs(attention.value_dense.lora_kernel_b.numpy()).max() > 0
    scores_with = model.predict(x, verbose=0)
    attention.value_dense.lora_kernel_b.assign(
        np.zeros(attention.value_dense.lora_kernel_b.shape)
    )
    assert np.abs(model.predict(x, verbose=0) - scores_with).max() > 1e-6


@pytest.mark.one_backend
def test_lora_needs_dense_layers_and_can_be_had_once():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.ReLU()(inputs))
    with pytest.raises(ValueError, match="`model` has no Dense layer to adapt"):
        kp.training.enable_lora(model, rank=2)
    model = classifier()
    kp.training.enable_lora(model, rank=2)
    with pytest.raises(ValueError, match="already enabled"):
        kp.training.enable_lora(model, rank=2)


@pytest.mark.one_backend
def test_quantized_kernels_are_not_folded_and_nothing_is_warned_about(recwarn):
    model, frozen = classifier(), gc.get_freeze_count()
    attention = model.encoder.get_layer("encoder").first_cross.attend
    assert best_folding(attention, 4, 30) == "context"
    model.quantize("int8")
    assert best_folding(attention, 4, 30) is None
    assert [str(w.message) for w in recwarn if "quantize" in str(w.message)] == []
    assert gc.get_freeze_count() == frozen


@pytest.mark.parametrize("mode", ["int8", "int4"] if BACKEND == "torch" else ["int8"])
def test_adapted_models_generate_what_their_forward_pass_says(mode):
    model = tiny_ar.causal_lm(num_layers=1)
    model.quantize(mode)
    kp.training.enable_lora(model, rank=2)
    factors = [w for w in model.trainable_weights if w.name == "lora_kernel_b"]
    ids = tiny_ar.ids(2, 4)
    options = {"sampler": "greedy", "num_latents": 4}
    before = model.generate(ids, 4, **options)
    for weight in factors:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    tokens = model.generate(ids, 4, **options)
    logits = outputs(model, tiny_ar.inputs(tokens))  # all eight are latents
    np.testing.assert_array_equal(logits.argmax(axis=-1)[:, 3:-1], tokens[:, 4:])
    assert (tokens != before).any()


@pytest.mark.one_backend
def test_presets_are_smaller_by_what_kernels_lose(tmp_path):
    """Also of mixed ones: layers that are filtered out stay as they were."""
    sizes = {}
    for mode in (None, "int8", "int4", "mlp"):
        model = tiny_ar.causal_lm(channels=128)
        if mode == "mlp":
            model.quantize("int8", filters="mlp")
        elif mode:
            model.quantize(mode)
        kp.presets.save(model, tmp_path / str(mode))
        files = (tmp_path / str(mode)).iterdir()
        sizes[mode] = sum(file.stat().st_size for file in files)
    assert sizes["int8"] < 0.3 * sizes[None]
    assert sizes["int4"] < 0.2 * sizes[None]
    assert sizes["int8"] < sizes["mlp"] < 0.7 * sizes[None]
    again = kp.presets.load(tmp_path / "mlp")
    modes = {x.name: x.quantization_mode for x in dense_layers(again)}
    assert modes["mlp_in"] == "int8"
    assert modes["query"] is None


@pytest.mark.one_backend
def test_a_trained_model_still_knows_its_digits():
    """Correct of 360 held-out digits: 350 to 360 of them, however they are stored."""
    images, labels = map(np.asarray, zip(*kp.data.digits().test, strict=True))
    correct = {}
    for mode in (None, "int8", "int4"):
        model = kp.presets.load("digits")
        if mode:
            model.quantize(mode)
        logits = outputs(model, model.preprocessor(images))
        correct[mode] = (logits.argmax(axis=-1) == labels).mean()
    assert correct["int8"] >= correct[None] - 0.01
    assert correct["int4"] >= correct[None] - 0.05


@pytest.mark.one_backend
def test_keras_files_are_quantized_too_and_have_lora_merged(tmp_path):
    model, x = made("text")
    model.quantize("int8", filters="mlp")
    kp.training.enable_lora(model, rank=2)
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.1)
    expected = outputs(model, x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert adaptation(again) == adaptation(model, lora=False) != {}
    # Kernels with the factors in them are quantized anew.
    assert error(outputs(again, x), expected) < 0.02


@pytest.mark.one_backend
def test_tensors_of_another_type_and_other_quantizers_are_refused(tmp_path):
    model, _ = made("text")
    model.quantize("int8")
    path = tmp_path / "preset"
    kp.presets.save(model, path)
    weights = {w.path: np.asarray(w) for w in model.weights}
    for name, dtype in (("logits/kernel", "float32"), ("logits/bias", "int8")):
        changed = weights | {name: weights[name].astype(dtype)}
        write_tensors(path / "model.safetensors", changed)
        with pytest.raises(ValueError, match=f"`{name}` in .* must be of one of the types"):
            kp.presets.load(path)
    model, _ = made("text")
    model.get_layer("logits").quantize("float8")
    with pytest.raises(ValueError, match="Only quantization.*float8 of layer"):
        kp.presets.save(model, path)
    model, _ = made("text")
    own = keras.quantizers.AbsMaxQuantizer(value_range=(-100, 100))
    model.quantize(config=keras.quantizers.Int8QuantizationConfig(None, own))
    with pytest.raises(ValueError, match="Only quantization by `quantize`"):
        kp.presets.save(model, path)


@pytest.mark.parametrize("block_size", [None, 4])
def test_weights_alone_can_be_quantized(block_size, tmp_path):
    """With inputs as they are (int8), or with a scale for a few inputs (int4)."""
    model, x = made("text")
    config = keras.quantizers.Int8QuantizationConfig(None, None)
    if block_size:
        config = keras.quantizers.Int4QuantizationConfig(block_size=block_size)
    model.quantize(config=config)
    saved_and_loaded(model, x, outputs(model, x), tmp_path / "preset")
    state = json.loads((tmp_path / "preset/config.json").read_text())["adaptation"][
        "logits"
    ]
    assert state["activations"] is False
    assert state.get("block_size") == block_size
