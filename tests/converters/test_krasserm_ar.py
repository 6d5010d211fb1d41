"""krasserm/perceiver-io's Perceiver AR: golden logits, and every generated step."""

import functools
import json
import pathlib
import shutil

import numpy as np
import pytest
from keras import ops

import keras_perceiver as kp
from keras_perceiver.files import TensorFile
from keras_perceiver.generation import forward, generate
from keras_perceiver.generation.loop import compiled, program
from tolerances import PARITY

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
NAMES = ["causal_lm", "causal_lm_rotary_only", "symbolic_audio"]


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    """`(model, golden arrays)`."""
    folder = GOLDEN / request.param
    return kp.presets.load(folder), dict(np.load(folder / "golden.npz"))


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(GOLDEN / "causal_lm", tmp_path / "model"))


def test_logits_are_those_of_the_original(case):
    model, golden = case
    ids = golden["input_ids"].astype("int32")
    assert np.abs(golden["logits"]).max() > 1
    assert golden["prefix_len"] == ids.shape[1] - model.max_latents
    padding = golden["pad_mask"]  # True at padding, there
    assert padding.any()
    for mask, expected in ((padding & False, "logits"), (padding, "logits_pad")):
        inputs = {"token_ids": ids, "padding_mask": 1 - mask.astype("int32")}
        logits = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(logits, golden[expected], atol=PARITY)
    assert np.abs(golden["logits"] - golden["logits_pad"]).max() > 1e-2


def start(golden):
    prompt = golden["prompt"].astype("int32")
    return prompt, np.ones_like(prompt), int(golden["num_latents"])


@pytest.mark.parametrize("cached", [True, False])
def test_tokens_are_those_of_the_original(case, cached):
    model, golden = case
    prompt, mask, num_latents = start(golden)
    expected = golden["generated_cached" if cached else "generated_uncached"]
    count = expected.shape[1] - prompt.shape[1]
    new = generate(
        model,
        prompt,
        mask,
        count,
        num_latents=num_latents,
        sampler="greedy",
        use_cache=cached,
    )
    np.testing.assert_array_equal(new, expected[:, prompt.shape[1] :])


def test_logits_of_cached_steps_are_those_of_the_original(case):
    model, golden = case
    prompt, mask, num_latents = start(golden)
    tokens = golden["generated_cached"].astype("int32")
    expected = golden["step_logits_cached"]
    arrays = (ops.convert_to_tensor(x) for x in (prompt, mask))
    prefill = program(
        model, forward.prefill, num_latents=num_latents, window=model.max_length
    )
    logits, cache = prefill(*arrays)
    step = compiled(model, functools.partial(forward.step, model))
    for i in range(expected.shape[1]):
        received = ops.convert_to_numpy(logits)
        np.testing.assert_allclose(received, expected[:, i], atol=PARITY)
        token = ops.convert_to_tensor(tokens[:, prompt.shape[1] + i])
        logits, cache = step(token, cache)


def test_logits_of_recomputed_steps_are_those_of_the_original(case):
    model, golden = case
    prompt, _, num_latents = start(golden)
    tokens = golden["generated_uncached"].astype("int32")
    expected = golden["step_logits_uncached"]
    size = model.max_length
    for i in range(expected.shape[1]):
        window = tokens[:, : prompt.shape[1] + i][:, -size:]
        padding = size - window.shape[1]  # one size: compiled once
        mask = np.pad(np.ones_like(window), ((0, 0), (padding, 0)))
        window = np.pad(window, ((0, 0), (padding, 0)))
        latents = min(num_latents + i, model.max_latents)
        logits = program(model, forward.recompute)(
            ops.convert_to_tensor(window),
            ops.convert_to_tensor(mask),
            ops.convert_to_tensor(latents, "int32"),
        )
        received = ops.convert_to_numpy(logits)
        np.testing.assert_allclose(received, expected[:, i], atol=PARITY)


def test_golden_steps_go_past_every_limit():
    """Latents fill up in all cases, and the window slides: else little is proved."""
    slides = []
    for name in NAMES:
        golden = np.load(GOLDEN / name / "golden.npz")
        config = json.loads((GOLDEN / name / "config.json").read_text())["model_config"]
        steps = golden["step_logits_cached"].shape[1]
        assert golden["num_latents"] + steps > config["max_latents"]
        slides.append(golden["generated_cached"].shape[1] > config["max_seq_len"])
        different = np.abs(golden["step_logits_cached"] - golden["step_logits_uncached"])
        assert different.max() > 1e-2
    assert any(slides)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_used(name):
    file = TensorFile(GOLDEN / name / "model.safetensors")
    shapes = {k: s for k, s in file.shapes.items() if not k.endswith(".inv_freq")}
    used = sum(np.prod(shape) for shape in shapes.values())
    assert kp.presets.load(GOLDEN / name).count_params() == used


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("rope_base", 500, "`model_config`.*unknown keys.*rope_base"),
        ("cross_attention_widening_factor", 2, "must equal.*Received: 2 and 4"),
        ("num_self_attention_layers", 10**9, "`num_layers` must not exceed"),
        ("vocab_size", 60, "does not fit `token_embedding"),
        ("num_heads", "4", "`num_heads` must be a positive integer"),
        ("max_latents", 25, "`max_latents` must not exceed `max_length`"),
        ("num_self_attention_rotary_layers", 3, "must lie between -1 and num_layers=2"),
    ],
)
def test_configs_that_are_not_understood_are_refused(folder, key, value, match):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["model_config"][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=match):
        kp.presets.load(folder)


@pytest.mark.one_backend
def test_audio_of_another_vocabulary_is_refused(tmp_path):
    folder = pathlib.Path(shutil.copytree(GOLDEN / "symbolic_audio", tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["model_config"]["vocab_size"] = 400
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="`vocab_size`.*must be 389.*Received: 400"):
        kp.presets.load(folder)
