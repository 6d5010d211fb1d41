"""What `fit` costs beside the compiled step, a command before its first step, and devices.

    python benchmarks/bench_fit.py --out results.jsonl

`steps`: steps per second of `model.fit` and of `resumable_fit`, on the real pipeline, over
those of the bare compiled step of the same model on one batch. Rounds take turns, so that
other load on the machine falls on all alike. `command`: seconds from typing `fit` until the
first step was made, and its state written. `devices`: data parallel training of one batch
on virtual devices, which share the cores of this machine: it says what splitting costs, not
what devices gain.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

BACKENDS = ("tensorflow", "jax", "torch")
AIM = 0.95
COUNTS = (1, 2, 4, 8)
DEVICES = "--xla_force_host_platform_device_count="


def made(quick):
    """The classifier of handwritten digits that is shipped, compiled, and its batches."""
    import keras

    import keras_perceiver as kp

    data = kp.data.digits()
    model = kp.presets.load("digits", load_weights=False)
    if quick:
        sizes = {"num_latents": 4, "latent_channels": 16, "layers_per_block": 1}
        encoder = kp.models.ImageEncoder((8, 8, 1), 4, **sizes)
        model = kp.models.ImageClassifier(
            encoder, num_classes=10, preprocessor=model.preprocessor
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model, kp.data.batches(data.train, model, 64, seed=0)


def bare(model, batch):
    """A function of a number of steps that calls the compiled step alone."""
    import keras

    model.make_train_function()
    function = model.train_function
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        stream = iter(tf.data.Dataset.from_tensors(batch).repeat())
    elif keras.backend.backend() == "jax":
        stream = itertools.repeat(batch)
    else:  # it takes the batch itself
        stream = (keras.tree.map_structure(keras.ops.convert_to_tensor, batch),)

    def run(steps):
        for _ in range(steps):
            logs = function(stream)
        return float(logs["loss"])

    if keras.backend.backend() != "jax":
        return run

    def run_jax(steps):
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
        # The step takes its arrays over: the model keeps its own.
        state = keras.tree.map_structure(lambda x: x.copy(), state)
        for _ in range(steps):
            logs, state = function(state, stream)
        return float(logs["loss"])

    return run_jax


def steps(options):
    """Steps per second of each way, medians of rounds."""
    import keras_perceiver as kp

    model, batches = made(options.quick)
    ahead = kp.data.read_ahead(batches)

    def fit(count):
        model.fit(ahead, steps_per_epoch=count, shuffle=False, verbose=0)

    def resumable(count):
        with tempfile.TemporaryDirectory() as folder:
            kp.training.resumable_fit(model, batches, folder, count, verbose=0)

    fit(1)  # makes all variables
    ways = {"bare": bare(model, batches[0]), "fit": fit, "resumable_fit": resumable}
    rounds = {way: [] for way in ways}
    for turn in range(options.rounds + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run(options.steps)
            if turn:  # the first compiles
                rounds[way].append(options.steps / (time.perf_counter() - start))
    found = {way: statistics.median(values) for way, values in rounds.items()}
    ratio = {way: found[way] / found["bare"] for way in ("fit", "resumable_fit")}
    return [{"steps_per_s": found, "ratio": ratio, "aim": AIM, "n": options.rounds}]


def command(options):
    """Seconds from a command to its first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        arguments = ["--trainer.save_every=1", f"--output={folder}", "--verbose=0"]
        program = "import sys; from keras_perceiver.cli import main; sys.exit(main())"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "fit", "image-classifier", *arguments],
            stdout=subprocess.DEVNULL,
        )
        state = pathlib.Path(folder, "checkpoints", "step_000000001")
        while not state.exists() and process.poll() is None:
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
    return [{"command_to_first_step_s": seconds}]


def devices(options):
    """Steps per second of one batch on so many virtual devices of JAX."""
    import keras

    import keras_perceiver as kp

    names = keras.distribution.list_devices()
    with kp.training.distribute("data", names):
        model, batches = made(options.quick)
        model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0)
        start = time.perf_counter()
        model.fit(batches, steps_per_epoch=options.steps, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    return [{"devices": len(names), "steps_per_s": options.steps / seconds}]


JOBS = {"steps": steps, "command": command, "devices": devices}


def runs(options):
    """Job, backend and environment of each process to start."""
    for job in options.jobs:
        if job != "devices":
            for backend in options.backends:
                yield job, {"KERAS_BACKEND": backend}
        elif "jax" in options.backends:
            for count in COUNTS:
                yield job, {"KERAS_BACKEND": "jax", "XLA_FLAGS": f"{DEVICES}{count}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="file for JSON lines; standard output without")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="of a round")
    parser.add_argument("--quick", action="store_true", help="tiny: times mean nothing")
    parser.add_argument("--here", help=argparse.SUPPRESS)  # a job, in this process
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps = 1, 3
    if options.here:
        print(json.dumps(JOBS[options.here](options)))
        return
    sizes = [f"--rounds={options.rounds}", f"--steps={options.steps}"]
    sizes += ["--quick"] * options.quick
    with open(options.out, "w") if options.out else sys.stdout as out:
        for job, environment in runs(options):
            done = subprocess.run(
                [sys.executable, __file__, f"--here={job}", *sizes],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            for result in json.loads(done.stdout.splitlines()[-1]):
                line = {"job": job, "backend": environment["KERAS_BACKEND"], **result}
                print(json.dumps(line), file=out, flush=True)


if __name__ == "__main__":
    main()
