# %% [markdown]
# # From one device to several
#
# The same model on the same digits: on one device, on eight, and on two processes of four,
# as on two hosts. Devices are virtual, parts of this machine's processor: they are no
# faster, but they show that nothing else changes. On GPUs and TPUs the lines are the same.
#
# Expected: on JAX (another processor may differ in the last digit):
#
# | | loss, epoch 1 | loss, epoch 3 | held-out accuracy | weights on one device |
# |---|---|---|---|---|
# | one device | 2.31872 | 2.24714 | 18.1% | 100% |
# | data | 2.31872 | 2.24714 | 18.1% | 100% |
# | fully_sharded | 2.31872 | 2.24713 | 18.1% | 13% |
# | tensor | 2.31872 | 2.24713 | 18.1% | 18% |
# | fully_sharded, two processes | 2.31872 | 2.24713 | 18.1% | 13% |
#
# (Three epochs are too few to learn digits, and enough to compare. XLA warns that it moves
# some tensors inefficiently for `tensor`: eight devices are many for four heads.)
#
# Each backend has its own ways (`kp.training.distribute`): JAX `"data"`,
# `"fully_sharded"` and `"tensor"`, TensorFlow `"mirrored"` and `"tpu"`, PyTorch none. This
# guide takes those of the backend it runs on (environment variable `KERAS_BACKEND`).
#
# Time: 3 minutes of processor time on two cores with other work (JAX).

# %%
import json
import os
import pathlib
import socket
import subprocess
import sys

import keras

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/distribution")
OUTPUT.mkdir(parents=True, exist_ok=True)
BACKEND = keras.backend.backend()

# %% [markdown]
# ## The program
#
# A backend learns once, before anything is computed, which devices there are. So this is
# a program of its own, which is run in a new process each time. Three lines have to do
# with devices: `initialize`, where there are several processes; `with distribute(...)`,
# around everything that makes and uses the model; and those that choose a process' own
# rows of each batch.

# %%
PROGRAM = """
import contextlib, json, sys
import numpy as np
kind, process, processes, epochs = sys.argv[1], *map(int, sys.argv[2:5])
if kind == "mirrored":  # two virtual devices of TensorFlow
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
import keras
if processes > 1:
    keras.distribution.initialize(sys.argv[5], processes, process)
import keras_perceiver as kp

keras.utils.set_random_seed(0)
digits = kp.data.digits()
scope = contextlib.nullcontext()
if kind != "one":
    devices = ["CPU:0", "CPU:1"] if kind == "mirrored" else None
    scope = kp.training.distribute(kind, devices)
with scope:
    spec = kp.layers.AttentionSpec(num_heads=4, qk_channels=32)
    encoder = kp.models.ImageEncoder(
        (8, 8, 1), num_bands=4, num_latents=8, latent_channels=32, layers_per_block=1,
        cross_attention=spec, self_attention=spec, init_scale=0.1,
    )
    model = kp.models.ImageClassifier(encoder, num_classes=10, init_scale=0.1)
    model.compile(
        keras.optimizers.AdamW(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def own(split):  # this process' part of each batch of 64
        rows = np.arange(len(split.images) // 2 * 2)  # as many for each of two processes
        batches = np.split(rows, range(64, len(rows), 64))
        rows = np.concatenate([np.split(x, processes)[process] for x in batches])
        return model.preprocessor(split.images[rows]), split.labels[rows]

    batch = {"batch_size": 64 // processes, "verbose": 0}
    history = model.fit(
        *own(digits.train), epochs=epochs, shuffle=False, **batch
    ).history["loss"]
    accuracy = model.evaluate(*own(digits.test), **batch)[1]
    share = 1.0
    if kind not in ("one", "mirrored"):
        values = [weight.value for weight in model.weights]
        here = sum(x.addressable_shards[0].data.nbytes for x in values)
        share = here / sum(x.nbytes for x in values)
print(json.dumps([history[0], history[-1], accuracy, share]))
"""
(OUTPUT / "train.py").write_text(PROGRAM)


def run(kind, devices=1, processes=1):
    """What the first of the processes prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    epochs = 1 if FAST else 3
    both = [
        subprocess.Popen(
            [
                sys.executable,
                OUTPUT / "train.py",
                *map(str, (kind, process, processes, epochs, address)),
            ],
            env={**os.environ, "KERAS_BACKEND": BACKEND, "XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    printed = [process.communicate()[0] for process in both]
    assert not any(process.returncode for process in both)
    return json.loads(printed[0].splitlines()[-1])


# %% [markdown]
# ## One device, then several
#
# - `"data"`: each device has all weights, and computes an eighth of each batch. The last
#   batch of an epoch has 28 digits, which eight devices do not divide: Keras would stop
#   with an error, here it is computed all the same.
# - `"fully_sharded"`: each device stores an eighth of the weights and of the optimizer's
#   state, and gathers others when it needs them. What does not divide it stores whole.
# - `"tensor"`: each device has, and computes, its part of each layer: heads of attention,
#   hidden channels of MLPs.
# - `"mirrored"`: `"data"` by TensorFlow, here on two devices.

# %%
WAYS = {
    "jax": [("data", 8), ("fully_sharded", 8), ("tensor", 8)],
    "tensorflow": [("mirrored", 1)],
    "torch": [],
}
results = {}
if BACKEND == "torch":
    try:
        kp.training.distribute("data")
    except ValueError as error:
        print("PyTorch has one device:", error)
else:
    results["one device"] = run("one")
    for kind, devices in WAYS[BACKEND][: 1 if FAST else None]:
        results[kind] = run(kind, devices)

# %% [markdown]
# ## Two processes
#
# As on two hosts: each starts the same program with the address of the first, how many
# there are, and which one it is; has four devices of its own; and reads its own half of
# each batch. The halves must be of one size: a process that has one batch more would wait
# for the others for ever. `predict` gives a process the answers for its own rows, and
# `kp.presets.save` writes one preset, whoever holds which weights.

# %%
if BACKEND == "jax":
    results["fully_sharded, two processes"] = run("fully_sharded", 4, processes=2)

# %% [markdown]
# ## Result

# %%
last = 1 if FAST else 3
print(
    f"| | loss, epoch 1 | loss, epoch {last} | held-out accuracy | weights on one device |"
)
print("|---|---|---|---|---|")
for way, (first_loss, last_loss, accuracy, share) in results.items():
    print(f"| {way} | {first_loss:.5f} | {last_loss:.5f} | {accuracy:.1%} | {share:.0%} |")
