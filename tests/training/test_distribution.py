"""Several devices give what one gives. They are virtual, in processes of their own."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

import keras_perceiver as kp
import on_devices
from keras_perceiver.training.distribution import KINDS

BACKEND = keras.backend.backend()
PROGRAMS = pathlib.Path(on_devices.__file__)
ROOT = PROGRAMS.parents[1]
jax_only = pytest.mark.skipif(BACKEND != "jax", reason="a distribution of JAX")
tensorflow_only = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="a distribution of TensorFlow"
)


def start(*arguments, devices=8):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, PROGRAMS, *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    try:
        printed, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(printed.splitlines()[-1])


def check_equal(found, single):
    for key in ("losses", "accuracy"):
        assert found[key] == pytest.approx(single[key], abs=2e-5)
    np.testing.assert_allclose(found["logits"], single["logits"], atol=2e-5)


@pytest.fixture(scope="module")
def one_process():
    return result(start("kinds", "data", "fully_sharded", "tensor"))


@jax_only
@pytest.mark.parametrize("kind", ["data", "fully_sharded", "tensor"])
def test_eight_devices_are_as_one(kind, one_process):
    """With a last batch that they do not divide."""
    single, found = one_process["single"], one_process[kind]
    assert single["losses"][1] < single["losses"][0]
    check_equal(found, single)
    assert found["restored"]
    if kind == "data":
        assert found["weights"] == found["optimizer"] == 1
    if kind == "fully_sharded":
        assert found["weights"] < 0.2  # an eighth at best
        assert found["optimizer"] == pytest.approx(found["weights"], abs=0.01)
    if kind == "tensor":
        assert found["weights"] < 0.5
        assert found["optimizer"] == pytest.approx(found["weights"], abs=0.01)


def two_processes(program, folder):
    """Each with two devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = [start(program, port, i, folder, devices=2) for i in "01"]
    return [result(process) for process in both]


@jax_only
def test_two_processes_are_as_one(one_process, tmp_path):
    """Neither holds all weights, and each has its own rows."""
    found = two_processes("process", tmp_path / "preset")
    single = one_process["single"]
    for one in found:
        assert one["weights"] == one["loaded"] < 0.6
        assert one["differences"] == 0
        assert "`steps_per_execution` must be 1" in one["errors"][1]
    assert "Cannot write into" in found[0]["errors"][0]
    assert "first of the processes could not write" in found[1]["errors"][0]
    assert found[0]["losses"] == found[1]["losses"]
    logits = found[0]["logits"] + found[1]["logits"]
    check_equal({**found[0], "logits": logits}, single)
    # What they saved is a preset like any other.
    model = kp.presets.load(tmp_path / "preset")
    import tiny

    logits = model.predict(tiny.images(on_devices.ROWS)[-on_devices.REST :], verbose=0)
    np.testing.assert_allclose(logits, single["logits"], atol=2e-5)
    # Stopped together, though the signal came to one, and resumed in other processes.
    assert [one["stopped"] for one in found] == ["stopped by SIGTERM"] * 2
    states = tmp_path / "stopped" / "checkpoints"
    assert sorted(os.listdir(states)) == ["step_000000003", "step_000000004"]
    two_processes("resumed", tmp_path)
    ways = [tmp_path / way for way in ("whole", "stopped")]
    for name in ("best/model", "checkpoints/step_000000006/state"):
        one, other = (load_file(way / f"{name}.safetensors") for way in ways)
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)
    history, again = ((way / "history.csv").read_text() for way in ways)
    assert history == again
    assert history.count("\n") == 3  # header, two epochs


@jax_only
@pytest.mark.slow(on="jax")
def test_each_task_model_is_split_and_the_same():
    results = result(start("tensor"))
    tasks = {
        name
        for name in kp.models.__all__
        if hasattr(getattr(kp.models, name), "OPTIONS_LAYER") and "Encoder" not in name
    }
    assert set(results) == tasks
    for name, found in results.items():
        before, after = found["tensor"]
        assert before == pytest.approx(found["single"][0], abs=2e-5), name
        assert after < before, name
        layers = {path.split("/")[-2] for path in found["split"]}
        assert layers >= {"query", "key", "value", "output", "mlp_in", "mlp_out"}, name
        if name in ("TextClassifier", "MaskedLM", "CausalLM", "SymbolicAudioLM"):
            assert "token_embedding" in layers


@tensorflow_only
def test_mirrored_devices_are_as_one():
    """With batches of 5, 5 and 1 rows, of which the two average different numbers."""
    found = result(start("mirrored"))
    assert found["single"]["losses"][1] < found["single"]["losses"][0]
    check_equal(found["mirrored"], found["single"])
    assert found["restored"]
    assert "`jit_compile` must be" in found["errors"][0]
    assert "`gradient_accumulation_steps` must be None" in found["errors"][1]


@jax_only
@pytest.mark.slow(on="jax")
def test_the_command_trains_on_two_devices_and_goes_on_in_another_way(tmp_path):
    losses = result(start("command", tmp_path, "data", "tensor", devices=2))
    assert losses == pytest.approx([np.log(10)] * 2, abs=0.1)  # before it has learned


@tensorflow_only
@pytest.mark.slow(on="tensorflow")
def test_the_command_trains_on_mirrored_devices_and_exports(tmp_path):
    losses = result(start("command", tmp_path, "mirrored"))
    assert losses == pytest.approx([np.log(10)], abs=0.1)
    assert (tmp_path / "saved_model").is_dir()


@tensorflow_only
def test_a_tpu_is_started_before_it_is_used(monkeypatch):
    """As far as that can be tried without one: what is called, in which order."""
    import tensorflow as tf

    with pytest.raises(ValueError, match="`devices` must name a TPU.*Received: None"):
        kp.training.distribute("tpu")
    calls = []

    def called(name, value=None):
        return lambda x: calls.append((name, x)) or value

    distribute = tf.distribute
    one = distribute.OneDeviceStrategy("CPU:0")
    monkeypatch.setattr(
        distribute.cluster_resolver, "TPUClusterResolver", called("find", "tpu:1")
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", called("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", called("start"))
    monkeypatch.setattr(distribute, "TPUStrategy", called("use", one))
    with kp.training.distribute("tpu", "my-tpu") as strategy:
        assert strategy is one
        assert distribute.get_strategy() is one
    assert distribute.get_strategy() is not one
    found = ("find", "my-tpu"), ("connect", "tpu:1"), ("start", "tpu:1"), ("use", "tpu:1")
    assert tuple(calls) == found


@jax_only
def test_devices_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="`model_parallel` must divide.*2 with 3 devices"):
        kp.training.distribute("tensor", ["cpu:0"] * 3, model_parallel=2)
    with pytest.raises(ValueError, match="`model_parallel` must be None unless"):
        kp.training.distribute("data", model_parallel=2)


@pytest.mark.parametrize(
    "kind", ["magic", *(k for b, kinds in KINDS.items() if b != BACKEND for k in kinds)]
)
def test_what_the_backend_lacks_is_refused(kind):
    """Keras would ignore `keras.distribution` under TensorFlow."""
    with pytest.raises(ValueError, match=f"kind='{kind}' with backend {BACKEND}"):
        kp.training.distribute(kind)
