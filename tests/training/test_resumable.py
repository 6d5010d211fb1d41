"""States of a training on disk, and `fit` that goes on from them."""

import contextlib
import errno
import os
import re

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.training import checkpoints
from keras_perceiver.training.callbacks import has_averages

STEPS = 3


def model(units=2, **options):
    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5, seed=1)(inputs)
    dense = keras.layers.Dense(units, name="dense", kernel_initializer="ones")
    built = keras.Model(inputs, dense(x))
    built.compile(keras.optimizers.AdamW(0.1, **options), "mse", metrics=["mae"])
    return built


def batches(broken=None):
    import grain

    def batch(i):
        x = np.random.default_rng(i).normal(size=(8, 4)).astype("float32")
        return (np.full_like(x, np.nan) if i == broken else x), x[:, :2]

    return grain.MapDataset.source(range(2 * STEPS)).map(batch)


class Stop(keras.callbacks.Callback):
    """Ends a training after so many steps, or in the validation, as a kill would."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt

    def on_test_begin(self, logs=None):
        if self.steps < 0:
            raise KeyboardInterrupt


def fit(folder, built, steps=0, data=None, stream=False, **options):
    """What came out: weights and history."""
    options = {"epochs": 3, "validation_data": batches(), "verbose": 0} | options
    options["callbacks"] = [Stop(steps)] if steps else []
    data = (data or batches()).repeat()
    data = data.to_iter_dataset() if stream else data
    with contextlib.suppress(KeyboardInterrupt):
        kp.training.resumable_fit(built, data, folder, STEPS, **options)
    return built.get_weights(), (folder / "history.csv").read_text()


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (5, {"save_every": 1}),
        (-1, {}),  # in the first validation
        (7, {"max_steps": 8, "save_every": 1}),  # in a last epoch that is short
    ],
)
@pytest.mark.parametrize("use_ema", [False, True])
def test_resumed_weights_are_those_of_one_training(
    tmp_path, steps, options, use_ema, capsys
):
    expected, rows = fit(tmp_path / "one", model(use_ema=use_ema), **options)
    fit(tmp_path / "two", model(use_ema=use_ema), steps, **options)
    resumed, again = fit(tmp_path / "two", model(use_ema=use_ema), resume=True, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "resumed after step" in capsys.readouterr().err
    assert rows == again


def test_a_stream_goes_on_where_it_was(tmp_path):
    options = {"save_every": 2, "max_steps": 8}
    expected, rows = fit(tmp_path / "one", model(), **options)
    fit(tmp_path / "two", model(), 5, stream=True, **options)
    resumed, again = fit(tmp_path / "two", model(), resume=True, stream=True, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert rows == again
    with pytest.raises(kp.training.StateError, match="`batches` must be those of the tr"):
        fit(tmp_path / "one", model(), resume=True, stream=True, **options)


@pytest.mark.one_backend
def test_two_states_are_kept_and_each_is_whole(tmp_path):
    fit(tmp_path, model(), save_every=2)
    folder = tmp_path / "checkpoints"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["step_000000008", "step_000000009"]
    (progress, _) = checkpoints.Checkpoints(folder).restore(model())
    assert progress["step"] == 9


@pytest.mark.one_backend
def test_a_broken_state_gives_way_to_the_one_before(tmp_path, capsys):
    fit(tmp_path, model())
    states = checkpoints.Checkpoints(tmp_path / "checkpoints")
    last, before = (tmp_path / "checkpoints" / f"step_{i:09}" for i in (9, 6))
    content = bytearray((last / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (last / "state.safetensors").write_bytes(content)
    progress, _ = states.restore(model())
    assert progress["step"] == 6
    assert "step_000000009 is broken and left out" in capsys.readouterr().err
    (before / "progress.json").write_text("{")
    with pytest.raises(kp.training.StateError, match="No state in .* is whole"):
        states.restore(model())


@pytest.mark.one_backend
def test_states_of_another_model_are_refused(tmp_path):
    fit(tmp_path, model())
    message = r"another model or optimizer. It has weight dense/kernel \(4, 2\)"
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, model(units=3), resume=True)
    other = model()
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(tmp_path, other, resume=True)


@pytest.mark.one_backend
def test_a_new_training_does_not_touch_the_states_of_another(tmp_path):
    fit(tmp_path, model())
    with pytest.raises(ValueError, match="`resume=True` goes on"):
        fit(tmp_path, model())


@pytest.mark.one_backend
def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    import fcntl

    handle = os.open(tmp_path, os.O_RDONLY)  # as another process would
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(kp.training.StateError, match="no other process that trains"):
        fit(tmp_path, model())
    os.close(handle)
    fit(tmp_path, model(), epochs=1)


@pytest.mark.one_backend
def test_a_full_disk_ends_neither_the_training_nor_the_state_before(
    tmp_path, monkeypatch, capsys
):
    original, calls = checkpoints.write_tensors, []

    def write(path, tensors):
        calls.append(path)
        if len(calls) == 2:
            with open(path, "wb") as file:
                file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, tensors)

    monkeypatch.setattr(checkpoints, "write_tensors", write)
    fit(tmp_path, model())
    assert "state not saved: [Errno 28] No space left on device" in capsys.readouterr().err
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step_000000003", "step_000000009"]


@pytest.mark.one_backend
def test_a_full_disk_costs_a_best_preset_and_not_the_training(
    tmp_path, monkeypatch, capsys
):
    saved = []

    def save(model, path, source):
        if not saved:
            saved.append(None)
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(source)

    monkeypatch.setattr(kp.presets, "save", save)
    best = kp.training.BestPreset(tmp_path / "best")
    best.set_model(model())
    best.on_epoch_end(0, {"val_loss": 0.3, "loss": 1.0})
    assert "best preset not saved: [Errno 28]" in capsys.readouterr().err
    best.on_epoch_end(1, {"val_loss": 0.4, "loss": 1.0})  # the first is gone
    assert saved[1].startswith("epoch 2")


@pytest.mark.one_backend
def test_what_a_kill_left_of_a_state_is_removed(tmp_path):
    partial = tmp_path / "checkpoints" / ".step_000000003.0a1b.partial"
    partial.mkdir(parents=True)
    (partial / "state.safetensors").write_bytes(b"half")
    fit(tmp_path, model())
    assert not partial.exists()


@pytest.mark.one_backend
def test_epochs_of_another_length_are_refused(tmp_path):
    fit(tmp_path, model())
    with pytest.raises(kp.training.StateError, match="must be that of the training, 3"):
        kp.training.resumable_fit(
            model(), batches().repeat(), tmp_path, STEPS + 1, resume=True, verbose=0
        )


@pytest.mark.one_backend
def test_steps_must_be_seen_one_by_one(tmp_path):
    built = model()
    built.compile("sgd", "mse", steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=1. Received: 2"):
        fit(tmp_path, built)
    assert not list(tmp_path.iterdir())


@pytest.mark.one_backend
def test_averages_are_found_where_the_loss_is_scaled():
    built = model(use_ema=True)
    assert has_averages(built)
    built.compile(keras.optimizers.LossScaleOptimizer(built.optimizer), "mse")
    assert has_averages(built) and not has_averages(model())


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path):
    message = (
        "the loss is nan at step 5. The batch itself has values that are not finite. "
        "The last good state, after step 4, is in"
    )
    with pytest.raises(kp.training.NotFiniteError, match=re.escape(message)):
        fit(tmp_path, model(), data=batches(broken=4), save_every=2)
    restored = model()
    checkpoints.Checkpoints(tmp_path / "checkpoints").restore(restored)
    assert all(np.isfinite(value).all() for value in restored.get_weights())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    built = model()
    built.optimizer.learning_rate = np.inf
    with pytest.raises(kp.training.NotFiniteError, match="1|2 of 2 weights are not finite"):
        fit(tmp_path, built, save_every=1)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.one_backend
def test_the_best_epoch_is_known_after_a_resumption(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,val_loss\n0,0.5\n1,0.25\n")
    best = kp.training.BestPreset(tmp_path / "best", history=tmp_path / "history.csv")
    best.set_model(model())
    best.on_train_begin()
    best.on_epoch_end(2, {"val_loss": 0.3})
    assert not (tmp_path / "best").exists()
    with pytest.raises(
        ValueError, match="`monitor` must be one of loss. Received: val_loss"
    ):
        best.on_epoch_end(3, {"loss": 0.1})


def test_what_to_keep_the_best_of_is_looked_for_before_the_first_step(tmp_path):
    best = kp.training.BestPreset(tmp_path / "best", monitor="val_auc")
    names = "loss, mae, val_loss, val_mae"
    with pytest.raises(ValueError, match=f"`monitor` must be one of {names}. Received"):
        kp.training.resumable_fit(
            model(), batches().repeat(), tmp_path, STEPS, callbacks=[best], verbose=0
        )
    assert not (tmp_path / "checkpoints").exists()
