"""Runs that survive: killed for real, then the same command with `--resume`."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

import keras_perceiver as kp
from command_line import TINY, assert_refused, run
from keras_perceiver.cli import main

# Dropout, shuffled and augmented data, a schedule: all that must go on where it was.
FIT = [
    "fit",
    "image-classifier",
    *TINY,
    "--model.encoder.self_attention.dropout=0.2",
    "--augmentation.shift=1",
    "--lr_schedule.warmup_steps=2",
    "--trainer.save_every=2",
    "--epochs=3",
    "--steps_per_epoch=5",
    "--verbose=0",
]
# A process that gets a signal before the end of a step, or while it writes a state.
PROGRAM = """
import itertools, os, sys
from keras_perceiver.cli import main
from keras_perceiver.training import checkpoints
from keras_perceiver.training.saver import Saver

def signalled(function, call, number):
    calls = itertools.count(1)

    def wrapped(*args, **kwargs):
        if next(calls) == call:
            os.kill(0, number)  # as a terminal: to all processes of the program
        return function(*args, **kwargs)
    return wrapped

places = {"step": (Saver, "on_train_batch_end"), "write": (checkpoints, "write_json")}
owner, name = places[sys.argv[1]]
setattr(owner, name, signalled(getattr(owner, name), *map(int, sys.argv[2:4])))
sys.exit(main(sys.argv[4:]))
"""
# Both ask for an end: one is tried on two of the backends, the other on the third.
ASKED = signal.SIGINT if keras.backend.backend() == "torch" else signal.SIGTERM


def _no_model(model, path):
    os.makedirs(path, exist_ok=True)


@pytest.fixture(scope="module")
def no_export():
    """No SavedModel at the end of a run: it takes longer than the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kp.export, "saved_model", _no_model)
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, no_export):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    run([*FIT, f"--output={folder}"])
    return folder


def killed(folder, place, call, number):
    """Exit code and standard error of a process that got a signal, as did its worker."""
    command = [sys.executable, "-c", PROGRAM, place, str(call), str(int(number))]
    workers = int(number == signal.SIGINT)
    done = subprocess.run(
        [*command, *FIT, f"--output={folder}", f"--trainer.workers={workers}"],
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    return done.returncode, done.stderr


def assert_equal_runs(one, other):
    for preset in ("preset", "best_preset"):
        weights, others = (
            load_file(folder / preset / "model.safetensors") for folder in (one, other)
        )
        assert weights.keys() == others.keys()
        for name, value in weights.items():
            np.testing.assert_array_equal(value, others[name], err_msg=name)
    assert (one / "history.csv").read_text() == (other / "history.csv").read_text()


@pytest.mark.parametrize(
    ("place", "call", "number", "code"),
    [
        # After the step of that number, before its state is written.
        ("step", 8, signal.SIGKILL, -signal.SIGKILL),
        # While the third state is written.
        pytest.param("write", 3, signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("step", 7, ASKED, 128 + ASKED, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_bit_for_bit(
    uninterrupted, tmp_path, place, call, number, code
):
    folder = tmp_path / "run"
    returned, errors = killed(folder, place, call, number)
    assert returned == code, errors
    assert not (folder / "preset").exists()
    if number == ASKED:
        said = f"keras-perceiver: stopped by {ASKED.name}. Go on: KERAS_BACKEND="
        assert errors.splitlines()[-1].startswith(said) and "Traceback" not in errors
        states = sorted(path.name for path in (folder / "checkpoints").iterdir())
        assert states == ["step_000000006", "step_000000007"]
    run([*FIT, f"--output={folder}", "--resume"])
    assert_equal_runs(uninterrupted, folder)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "place", ["importlib.import_module", "train.overview", "run_folder.write_json"]
)
def test_ctrl_c_before_the_first_step_leaves_nothing(place, tmp_path, monkeypatch, capfd):
    def interrupted(*args):
        os.write(2, b"what TensorFlow says of itself")
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keras_perceiver.cli.{place}", interrupted)
    assert main([*FIT, f"--output={tmp_path / 'run'}"]) == 128 + signal.SIGINT
    error = capfd.readouterr().err
    assert error.endswith("keras-perceiver: stopped by SIGINT\n")
    assert ("TensorFlow" in error) == (place != "importlib.import_module")
    assert not any(tmp_path.iterdir())


@pytest.mark.one_backend
def test_the_commands_that_are_printed_go_on(tmp_path, no_export, monkeypatch, capsys):
    """After Ctrl-C when the last step is done, after a whole run, and after --max_steps."""
    folder = tmp_path / "a run"

    def steps():
        return (folder / "history.csv").read_text().count("\n") - 1  # without the header

    def interrupted(*args):
        raise KeyboardInterrupt

    def printed(text, before):
        backend, name, *command = shlex.split(re.search(f"{before}: (.*)", text)[1])
        assert backend == f"KERAS_BACKEND={keras.backend.backend()}"
        assert name == "keras-perceiver" and str(folder / "config.yaml") in command
        return command

    options = [*FIT, f"--output={folder}", "--epochs=1", "--steps_per_epoch=1"]
    options += ["--lr_schedule.warmup_steps=0", "--trainer.limit_val_batches=1"]
    with monkeypatch.context() as patch:
        patch.setattr("keras_perceiver.cli.run_folder.write", interrupted)
        assert main(options) == 128 + signal.SIGINT
    error = capsys.readouterr().err
    assert error.startswith("keras-perceiver: stopped by SIGINT. Go on: KERAS_BACKEND=")
    longer = printed(run(printed(error, "Go on")), "to train on")
    assert steps() == 1 and longer[-1] == "--epochs=2"
    longer = printed(run([*longer, "--trainer.max_steps=2"]), "to train on")
    assert steps() == 2 and longer[-2:] == ["--epochs=4", "--trainer.max_steps=4"]
    longer = printed(run([*longer, "--trainer.max_steps=3"]), "to train on")
    assert steps() == 3 and longer[-1] == "--trainer.max_steps=6"
    assert "--epochs" not in " ".join(longer)


@pytest.mark.one_backend
def test_an_overwritten_run_leaves_nothing_of_its_own(tmp_path, no_export, monkeypatch):
    """Even if the new one dies: `evaluate` would judge the old model beside its config."""
    short = ["--epochs=1", "--steps_per_epoch=1", "--lr_schedule.warmup_steps=0"]
    options = [*FIT, *short, f"--output={tmp_path}", "--overwrite=true"]
    run(options)
    (tmp_path / "samples.txt").write_text("of a text model")
    (tmp_path / "notes.txt").write_text("of the user's")
    before = {path.name for path in tmp_path.iterdir()}

    def died(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(kp.training, "BestPreset", died)
    with pytest.raises(RuntimeError):
        run(options)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"config.yaml", "run.json", "notes.txt"} < before


@pytest.mark.one_backend
def test_a_finished_run_can_be_longer(uninterrupted, tmp_path, no_export, capsys):
    folder = tmp_path / "run"
    options = [*FIT, f"--output={folder}", "--lr_schedule=constant"]
    run([*options, "--epochs=1"])
    run([*options, "--epochs=2", "--resume"])
    assert "resumed with another --epochs: 1, now 2" in capsys.readouterr().err
    together = tmp_path / "together"
    run([*options, f"--output={together}", "--epochs=2"])
    assert_equal_runs(together, folder)


def test_what_a_run_was_made_of(uninterrupted):
    made = json.loads((uninterrupted / "run.json").read_text())
    assert made["backend"] == os.environ["KERAS_BACKEND"] and made["seed"] == 0
    assert made["versions"]["keras"] and made["devices"]
    assert set(made["git"]) == {"commit", "changes"}
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"best_preset", "checkpoints", "config.yaml", "learning_curve.png"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)


@pytest.mark.one_backend
def test_nothing_to_resume_is_a_start_and_other_options_are_refused(
    uninterrupted, tmp_path, capsys
):
    short = ["--epochs=1", "--steps_per_epoch=1", "--lr_schedule.warmup_steps=0"]
    options = [*FIT, *short, f"--output={tmp_path / 'run'}"]
    run([*options, "--resume=true"])
    first = json.loads((tmp_path / "run" / "run.json").read_text())
    for _ in range(2):  # nothing is left to do
        run([*options, "--resume=true"])
    made = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(made["earlier"]) == 2 and made["earlier"][0] == first
    assert "resumed after step 1 of 1" in capsys.readouterr().err
    refused = [*options, "--resume"]
    assert_refused([*refused, "--batch_size=32"], "--batch_size: 64, now 32", capsys)
    assert_refused([*refused, "--seed=1"], "--seed: 0, now 1", capsys)
    assert_refused([*refused, "--overwrite=true"], "exclude each other", capsys)
    assert_refused(options, "--resume to go on with a run", capsys)


@pytest.mark.one_backend
def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, no_export, capsys):
    options = [*FIT, f"--output={tmp_path}", "--optimizer=SGD", "--trainer.save_every=1"]
    assert main([*options, "--optimizer.learning_rate=1e30"]) == 1
    error = capsys.readouterr().err
    assert "not finite after step" in error or "loss is nan at step" in error
    assert "The last good state, after step" in error or "No state was saved" in error
