"""S5: files that want more than to be read. Refused, in bounded time and memory."""

import json
import os
import pickle
import resource
import time

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.files import TensorFile

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def bounded(tmp_path, monkeypatch):
    """No refusal takes long, takes much memory, or leaves a trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    start, memory = time.process_time(), peak_memory()
    yield
    assert time.process_time() - start < 15
    assert peak_memory() - memory < 100e6
    assert not (tmp_path / "canary").exists()


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def edit(preset, change, name="config.json"):
    config = json.loads((preset / name).read_text())
    config = change(config) or config
    (preset / name).write_text(json.dumps(config))


def encoder(config):
    return config["config"]["encoder"]["config"]


LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}},
}
INT8 = {"quantization": "int8", "activations": True}
LORA = {"lora_rank": 4096, "lora_alpha": 1}
EVAL = {"class_name": "eval", "config": {"source": "open('canary', 'w')"}}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c.update(class_name="Lambda"), "`class_name` must be one of"),
        (lambda c: c.update(class_name="os.system"), "`class_name` must be one of"),
        (lambda c: c.update(class_name=["ImageClassifier"]), "`class_name` must be one of"),
        (lambda c: c.update(class_name="AttentionSpec"), "must hold a model"),
        (lambda c: c.update(module="os"), "Received: keys.*'module'"),
        (lambda c: c.update(config=[1]), "object with `class_name` and `config`"),
        (lambda c: c["config"].update(encoder=LAMBDA), "`class_name` must be one of"),
        (lambda c: c["config"].update(encoder=EVAL), "`class_name` must be one of"),
        (lambda c: c["config"].update(encoder="eval"), "ImageClassifier has a value of"),
        (lambda c: c["config"].update(cross_attention=[EVAL]), "`class_name` must be one"),
        (lambda c: c["config"].update(cross_attention=EVAL), "`class_name` must be one of"),
        (
            lambda c: c["config"]["cross_attention"]["config"].update(
                activation="os>system"
            ),
            "`activation` must be",
        ),
        (
            lambda c: encoder(c).update(custom_objects={"a": 1}),
            "does not take.*custom_objects",
        ),
        (lambda c: c["config"].update(name="../../canary"), "name"),
        (lambda c: c["config"].update(num_classes="3"), "`num_classes` must be a positive"),
        (lambda c: c["config"].update(init_scale="x"), "wrong type"),
        # Shape bombs: refused by number, or by what they would add up to.
        (lambda c: encoder(c).update(num_latents=10**12), "`num_latents` must not exceed"),
        (lambda c: encoder(c).update(image_shape=[10**9, 9, 1]), "`image_shape` must not"),
        (lambda c: encoder(c).update(layers_per_block=4000), "`layers_per_block` must not"),
        (lambda c: encoder(c).update(num_bands=1e300), "`num_bands` must not exceed"),
        (lambda c: encoder(c).update(latent_channels=4096), "does not fit"),
        (
            lambda c: encoder(c).update(num_latents=4096, latent_channels=4096),
            "does not fit",
        ),
        (
            lambda c: encoder(c)["self_attention"]["config"].update(widening_factor=4096),
            "does not fit",
        ),
        # Quantization and LoRA: names of layers and numbers, nothing else.
        (lambda c: c.update(adaptation=[1]), "`adaptation` must be a dict"),
        (lambda c: c.update(adaptation={"logits": EVAL}), "`adaptation` must hold"),
        (lambda c: c.update(adaptation={"logits": {}}), "`adaptation` must hold"),
        (lambda c: c.update(adaptation={"logits": INT8 | EVAL}), "`adaptation` must hold"),
        (
            lambda c: c.update(adaptation={"logits": INT8 | {"quantization": ["int8"]}}),
            "`adaptation` must hold",
        ),
        (
            lambda c: c.update(adaptation={"logits": INT8 | {"quantization": "gptq"}}),
            "`adaptation` must hold",
        ),
        (
            lambda c: c.update(adaptation={"os.system": INT8}),
            "must name Dense",
        ),
        (lambda c: c.update(adaptation={"decoder": INT8}), "must name Dense"),
        (lambda c: c.update(adaptation={"logits": INT8}), "lacks tensor.*kernel_scale"),
        (
            lambda c: c.update(adaptation={"logits": LORA | {"lora_alpha": True}}),
            "`adaptation` must hold",
        ),
        (
            lambda c: c.update(
                adaptation={"logits": {"lora_rank": 10**9, "lora_alpha": 1}}
            ),
            "`lora_rank` must not exceed",
        ),
        (
            lambda c: c.update(adaptation={"logits": LORA}),
            "lacks tensor `logits/lora_kernel_a`",
        ),
        (lambda c: {"library": "keras_perceiver"}, "`class_name` must be one of"),
        (lambda c: {"library": "keras"}, "`model_type`"),
        (lambda c: {"model_type": ["perceiver"]}, "`model_type`"),
        (lambda c: {"model_type": "perceiver"}, "`architectures`"),
        (lambda c: {"model_type": "perceiver-io-image-classifier"}, "`model_config`"),
    ],
)
def test_hostile_configs_are_refused(preset, change, match):
    edit(preset, change)
    with pytest.raises(ValueError, match=match):
        kp.presets.load(preset)


def test_nested_bombs_are_refused(preset):
    def nest(config):
        for _ in range(200):
            config = {"class_name": "ImageClassifier", "config": {"encoder": config}}
        return {"library": "keras_perceiver", **config}

    edit(preset, nest)
    with pytest.raises(ValueError, match="nested deeper"):
        kp.presets.load(preset)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: {"class_name": "ImageClassifier", "config": {}},
        lambda c: EVAL,
        lambda c: c["config"].update(labels=[EVAL] * 3),
        lambda c: c["config"].update(image_shape="abc"),
        lambda c: c["config"].update(std={"class_name": "AttentionSpec", "config": {}}),
    ],
)
def test_hostile_preprocessors_are_refused(preset, change):
    edit(preset, change, "preprocessor.json")
    with pytest.raises(
        ValueError, match=r"class_name|type|lacks|preprocessor|must be a number"
    ):
        kp.presets.load(preset)


class Payload:
    def __reduce__(self):
        return os.system, ('touch "$CANARY"',)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt"])
def test_pickles_are_not_opened(preset, name):
    (preset / "model.safetensors").unlink()
    (preset / name).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match=f"pickled weights.*{name}.*safetensors"):
        kp.presets.load(preset)


def test_a_pickle_by_the_right_name_is_not_opened(preset):
    (preset / "model.safetensors").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        kp.presets.load(preset)


def test_devices_and_pipes_are_not_read(preset):
    (preset / "config.json").unlink()
    (preset / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="regular file"):
        kp.presets.load(preset)


@pytest.mark.parametrize("kept", [0, 7, 100, 3000, 9000, 28443])
def test_truncated_weights_are_refused(preset, kept):
    path = preset / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        kp.presets.load(preset)


def test_flipped_bits_in_the_header_never_get_through(preset):
    """Each flip is refused; a few that only reorder equal sizes may pass, never crash."""
    path = preset / "model.safetensors"
    content = bytearray(path.read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    refused = 0
    expected = TensorFile(path).shapes
    for position in rng.integers(0, length, 300):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            refused += TensorFile(path).shapes != expected
        except ValueError:
            refused += 1
    assert refused > 290


VALUES = [None, True, 0, -1, 3, 2**63, 1e308, 0.5, "", "x", "a/b", [], [1, 2], {}, EVAL]


def places(value, path=()):
    """Paths to everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("name", ["config.json", "preprocessor.json"])
def test_a_config_changed_anywhere_loads_or_is_refused(preset, name):
    """No other error, whatever stands where: 25 changes, the same each run."""
    rng = np.random.default_rng(0)
    original = (preset / name).read_text()
    refused = 0
    for _ in range(25):
        config = json.loads(original)
        paths = list(places(config))
        *path, key = paths[rng.integers(len(paths))]
        parent = config
        for step in path:
            parent = parent[step]
        parent[key] = VALUES[rng.integers(len(VALUES))]
        (preset / name).write_text(json.dumps(config))
        try:
            kp.presets.load(preset)
        except ValueError:
            refused += 1
    assert refused > 5
