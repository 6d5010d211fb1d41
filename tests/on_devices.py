"""Programs of test_distribution.py, each in a process whose devices are virtual.

`python on_devices.py PROGRAM [ARGUMENTS]` prints what it found as JSON.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import sys

import numpy as np

# 22 rows in batches of 16: the second, of 6, divides by neither 8 devices nor by 2 in each
# of two processes.
ROWS, BATCH, REST = 22, 16, 6


def main(program, *arguments):
    print(json.dumps(globals()[program](*arguments)))


def run(own=slice(None), rest=slice(None), batch_size=BATCH):
    """Train the same model on the same rows: what one device and many have to agree in.

    Args:
        own: of the rows to train on, those to feed.
        rest: of the 6 rows to evaluate and predict.
        batch_size: rows of a batch to feed.
    """
    import keras

    import contract
    import tiny
    from keras_perceiver.layers import AttentionSpec

    random.seed(0)
    x, y = tiny.images(ROWS), np.arange(ROWS) % tiny.NUM_CLASSES
    # Eight devices divide 16 channels, and not the 15 of its inputs.
    model = tiny.classifier(cross_attention=AttentionSpec(num_heads=2, qk_channels=16))
    contract.randomize(model, np.random.default_rng(0))
    model.compile(
        keras.optimizers.AdamW(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(
        x[own], y[own], batch_size=batch_size, epochs=2, shuffle=False, verbose=0
    )
    x, y = x[-REST:][rest], y[-REST:][rest]
    scores = model.evaluate(x, y, batch_size=batch_size, verbose=0)
    logits = model.predict(x, batch_size=batch_size, verbose=0)
    found = {
        "losses": [*history.history["loss"], scores[0]],
        "accuracy": [*history.history["accuracy"], scores[1]],
        "logits": logits.tolist(),
    }
    return model, found


def mirrored():
    """One device, then two by tf.distribute."""
    tf = two_cpus()
    import keras

    import keras_perceiver as kp

    results = {"single": masked_lm("int32")}
    with kp.training.distribute("mirrored", ["CPU:0", "CPU:1"]):
        results["mirrored"] = masked_lm("bool")
        results["errors"] = []
        for optimizer, jit_compile in (
            ("sgd", True),
            (keras.optimizers.SGD(gradient_accumulation_steps=2), "auto"),
        ):
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.compile(optimizer, "mse", jit_compile=jit_compile)
            try:
                model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
            except ValueError as error:
                results["errors"].append(str(error))
    results["restored"] = not tf.distribute.has_strategy()
    return results


def two_cpus():
    """TensorFlow, for which the CPU is two devices."""
    import tensorflow as tf

    two = [tf.config.LogicalDeviceConfiguration()] * 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, two)
    return tf


def command(folder, *kinds):
    """`fit` begins one way, and goes on in the next: the losses of its steps."""
    mirrored = kinds == ("mirrored",)
    if mirrored:
        two_cpus()
    import command_line
    import keras_perceiver as kp

    if not mirrored:  # A SavedModel takes longer than the training.
        kp.export.saved_model = lambda *args: None
    options = ["--steps_per_epoch=1", "--epochs=2", "--trainer.limit_val_batches=1"]
    options += ["--lr_schedule=constant", "--verbose=0", "--resume", f"--output={folder}"]
    fit = ["fit", "image-classifier", *command_line.TINY, *options]
    for steps, kind in enumerate(kinds, 1):
        command_line.run(
            [*fit, f"--trainer.max_steps={steps}", f"--trainer.distribution={kind}"]
        )
    rows = (pathlib.Path(folder) / "history.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[2]) for row in rows]


def masked_lm(mask_dtype):
    """Train on 11 rows in batches of 5, of which different numbers of tokens count."""
    import keras

    import contract
    import keras_perceiver as kp
    import tiny_text

    random.seed(0)
    model = tiny_text.masked_lm()
    contract.randomize(model, np.random.default_rng(0))
    model.compile(
        keras.optimizers.SGD(0.1),
        kp.training.TokenCrossentropy(),
        weighted_metrics=["accuracy"],
    )
    x = tiny_text.batch(11)
    ids, chosen = x["token_ids"], np.random.default_rng(0).uniform(size=(11, 20)) < 0.3
    x["padding_mask"] = x["padding_mask"].astype(mask_dtype)
    data = {"x": x, "y": ids, "sample_weight": chosen.astype("float32"), "verbose": 0}
    history = model.fit(**data, batch_size=5, epochs=2, shuffle=False).history
    scores = model.evaluate(**data, batch_size=5)
    logits = model.predict({k: v[:6] for k, v in x.items()}, batch_size=5, verbose=0)
    return {
        "losses": [*history["loss"], scores[0]],
        "accuracy": [*history["accuracy"], scores[1]],
        "logits": logits.tolist(),
    }


def local_share(variables):
    """The part of some variables' bytes that this process' first device holds."""
    shards = [v.value.addressable_shards[0].data for v in variables]
    return sum(x.nbytes for x in shards) / sum(v.value.nbytes for v in variables)


def kinds(*names):
    """One device, then eight in each way."""
    import keras

    import keras_perceiver as kp

    results = {"single": run()[1]}
    outer = keras.distribution.DataParallel()
    keras.distribution.set_distribution(outer)
    for name in names:
        with kp.training.distribute(name):
            model, results[name] = run()
        results[name]["weights"] = local_share(model.trainable_weights)
        slots = [v for v in model.optimizer.variables if v.shape]
        results[name]["optimizer"] = local_share(slots)
        results[name]["restored"] = keras.distribution.distribution() is outer
    return results


def start(port, index):
    """Begin as one of two processes."""
    sys.modules["tensorflow"] = None  # Keras' seeds would import it
    import keras

    keras.distribution.initialize(f"127.0.0.1:{port}", 2, int(index))
    return int(index)


def process(port, index, folder):
    """One of two processes, with half of the rows of each batch."""
    index = start(port, index)
    import keras_perceiver as kp
    from keras_perceiver import processes

    halves = np.split(np.arange(BATCH), 2), np.split(np.arange(BATCH, ROWS), 2)
    own = np.concatenate([half[index] for half in halves])
    with kp.training.distribute("fully_sharded"):
        model, found = run(own, halves[1][index] - BATCH, BATCH // 2)
        found["weights"] = local_share(model.trainable_weights)
        kp.presets.save(model, folder)
        again = kp.presets.load(folder)
        found["loaded"] = local_share(again.trainable_weights)
        found["differences"] = max(
            float(np.abs(processes.whole(a) - processes.whole(b)).max())
            for a, b in zip(again.weights, model.weights, strict=True)
        )
        found["errors"] = []
        try:
            kp.presets.save(model, "/dev/null/preset")
        except OSError as error:
            found["errors"].append(str(error))
        model.compile(steps_per_execution=2)
        try:
            model.predict(np.zeros((4, *model.input_shape[1:])), verbose=0)
        except ValueError as error:
            found["errors"].append(str(error))
        found["stopped"] = trained_and_stopped(index, pathlib.Path(folder).parent)
    return found


def survivor():
    """A model with dropout, whose resumed weights depend on all that is saved."""
    import keras

    import tiny
    from keras_perceiver.layers import AttentionSpec

    random.seed(0)
    attention = AttentionSpec(num_heads=2, qk_channels=8, dropout=0.2)
    model = tiny.classifier(cross_attention=attention)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-2), loss, metrics=["accuracy"])
    return model


def survive(model, index, folder, resume=False, callbacks=()):
    """Train for two epochs of three steps, as one of two processes."""
    import grain

    import keras_perceiver as kp
    import tiny

    def batch(i):
        return tiny.images(BATCH, seed=i), np.arange(i, i + BATCH) % tiny.NUM_CLASSES

    data = kp.data.shard(grain.MapDataset.source(range(4)).map(batch), index, 2)
    best = kp.training.BestPreset(folder / "best", history=folder / "history.csv")
    kp.training.resumable_fit(
        model,
        data.repeat(),
        folder,
        steps_per_epoch=3,
        epochs=2,
        resume=resume,
        validation_data=data[:1],
        callbacks=[best, *callbacks],
        verbose=0,
    )


def trained_and_stopped(index, folder):
    """A whole training, and one of which one process alone got a signal."""
    import keras

    import keras_perceiver as kp
    from keras_perceiver.training.checkpoints import Checkpoints

    def stop(epoch, logs):
        if epoch == 1 and index == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    model = survivor()
    initial = Checkpoints(folder / "initial")
    initial.save(model, 0, {})
    survive(model, index, folder / "whole")
    initial.restore(model)  # and not a new one, which would be compiled again
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    try:
        survive(model, index, folder / "stopped", callbacks=[callback])
    except kp.training.InterruptedTraining as error:
        return str(error)


def resumed(port, index, folder):
    """What was stopped goes on in one of two other processes."""
    index = start(port, index)
    import keras_perceiver as kp

    with kp.training.distribute("fully_sharded"):
        survive(survivor(), index, pathlib.Path(folder) / "stopped", resume=True)


def task_models():
    """The smallest model of each task, and four examples, by class."""
    import keras_perceiver as kp
    import tiny
    import tiny_ar
    import tiny_audio
    import tiny_flow
    import tiny_multimodal
    import tiny_points
    import tiny_text
    from keras_perceiver.layers import AttentionSpec

    ids = tiny_ar.inputs(tiny_ar.ids(4, 12) % 40, padding=0)
    names = ("audio", "label")
    spec = AttentionSpec(num_heads=2)
    return {
        "ImageClassifier": (tiny.classifier, tiny.images(4)),
        "AudioClassifier": (
            lambda: tiny_audio.classifier(patch_size=32),
            tiny_audio.clips(4),
        ),
        "PointClassifier": (tiny_points.classifier, tiny_points.batch(4)),
        "TextClassifier": (tiny_text.text_classifier, tiny_text.batch(4)),
        "MaskedLM": (tiny_text.masked_lm, tiny_text.batch(4)),
        "CausalLM": (lambda: tiny_ar.causal_lm(prefix_dropout=0.0), ids),
        "SymbolicAudioLM": (
            lambda: kp.models.SymbolicAudioLM(
                40, 16, max_latents=8, num_layers=1, attention=spec, prefix_dropout=0.0
            ),
            ids,
        ),
        "OpticalFlow": (tiny_flow.model, tiny_flow.frames(4)),
        "MultimodalAutoencoder": (
            lambda: tiny_multimodal.autoencoder(*names),
            tiny_multimodal.batch(4, names),
        ),
    }


def tensor(*names):
    """Losses of task models: of one device, and of four before and after a step."""
    import keras

    import contract
    import keras_perceiver as kp

    four = keras.distribution.list_devices()[:4]
    models, results = task_models(), {}
    for name in names or models:
        make, x = models[name]
        found = results[name] = {}
        for kind in (None, "tensor"):
            scope = contextlib.nullcontext()
            if kind:
                scope = kp.training.distribute(kind, four, model_parallel=2)
            with scope:
                random.seed(0)
                model = make()
                contract.randomize(model, np.random.default_rng(1), 0.2)
                model.compile(keras.optimizers.SGD(1e-3), squared)
                y = keras.tree.map_structure(lambda _: np.zeros(4), model.output)
                steps = [model.train_on_batch] * 2 if kind else [model.test_on_batch]
                found[kind or "single"] = [float(np.ravel(s(x, y))[0]) for s in steps]
        split = [w.path for w in model.weights if "model" in w.value.sharding.spec]
        found["split"] = split
    return results


def squared(y_true, y_pred):
    """A loss that takes outputs of any shape: `y_true` has but an example's number."""
    import keras

    rows = keras.ops.reshape(y_pred, (keras.ops.shape(y_pred)[0], -1))
    return keras.ops.mean(keras.ops.square(rows - y_true[:, None] - 1.0), axis=-1)


if __name__ == "__main__":
    main(*sys.argv[1:])
