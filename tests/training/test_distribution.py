"""Several devices give the losses of one (T7). Devices are virtual: fresh processes."""

import json
import os
import subprocess
import sys

import keras
import pytest

import keras_perceiver as kp

BACKEND = keras.backend.backend()

PROGRAM = """
import contextlib, json, random, sys
import numpy as np
how = sys.argv[1]
if how == "mirrored":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
import keras
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

scope = contextlib.nullcontext()
if how == "mirrored":
    scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
elif how in ("data_parallel", "fully_sharded"):
    keras.distribution.set_distribution(getattr(kp.training, how)())
random.seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(32, 20, 8)).astype("float32")
mask = (np.arange(20)[None] < rng.integers(5, 21, 32)[:, None]).astype("int32")
y = rng.normal(size=(32, 4, 16)).astype("float32")
with scope:
    inputs = keras.Input((20, 8), name="inputs")
    padding = keras.Input((20,), dtype="int32", name="padding_mask")
    out = kp.layers.PerceiverEncoder(
        4, 16, self_attention=AttentionSpec(num_heads=2), num_cross_attentions=2,
        num_blocks=2, layers_per_block=1, init_scale=0.2, remat=True, name="encoder",
    )(inputs, padding_mask=padding)
    model = keras.Model({"inputs": inputs, "padding_mask": padding}, out)
    for i, w in enumerate(model.weights):
        values = np.random.default_rng(i).normal(size=w.shape) * 0.2
        w.assign(values + 1 if w.name == "gamma" else values)
    model.compile(keras.optimizers.AdamW(1e-2), "mse")
data = {"inputs": x, "padding_mask": mask}
history = model.fit(data, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
losses = history.history["loss"]
losses.append(model.evaluate(data, y, batch_size=16, verbose=0))
share = None
if how in ("data_parallel", "fully_sharded"):
    local = total = 0
    for w in model.trainable_weights:
        total += w.value.nbytes
        local += w.value.addressable_shards[0].data.nbytes
    share = local / total
print(json.dumps({"losses": losses, "share": share}))
"""


def run(how):
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={**os.environ, "XLA_FLAGS": flags, "KERAS_BACKEND": BACKEND},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(BACKEND == "torch", reason="one device under PyTorch, refused below")
def test_several_devices_train_like_one():
    single = run("single")["losses"]
    assert single[2] < single[0]
    ways = {"jax": ("data_parallel", "fully_sharded"), "tensorflow": ("mirrored",)}[BACKEND]
    for how in ways:
        result = run(how)
        assert result["losses"] == pytest.approx(single, abs=2e-5), how
        if how == "data_parallel":
            assert result["share"] == 1
        if how == "fully_sharded":
            assert result["share"] < 0.2  # of 8 devices, 1/8 at best


@pytest.mark.skipif(BACKEND == "jax", reason="JAX honours keras.distribution")
@pytest.mark.parametrize("name", ["data_parallel", "fully_sharded"])
def test_what_keras_would_ignore_is_refused(name):
    with pytest.raises(
        ValueError, match=f"`{name}` needs the JAX backend. Received: {BACKEND}"
    ):
        getattr(kp.training, name)()
