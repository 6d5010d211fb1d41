"""`--trainer.`: how long and how `fit` trains."""

import csv
import re

import keras
import pytest

import keras_perceiver as kp
from command_line import TINY, assert_refused, run

FIT = [
    "fit",
    "image-classifier",
    *TINY,
    "--batch_size=32",
    "--verbose=0",
]


@pytest.fixture(autouse=True)
def no_export(monkeypatch):
    monkeypatch.setattr(kp.export, "saved_model", lambda model, path: None)


def epochs(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.one_backend
def test_limits_of_a_dry_run(tmp_path):
    limits = ["--trainer.limit_train_batches=2", "--trainer.limit_val_batches=3"]
    printed = run([*FIT, *limits, "--trainer.max_steps=3", f"--output={tmp_path}"])
    assert "on 96 images" in printed
    assert re.search(r"optimizer: \S+ kB, activations: about \S+ kB", printed)
    assert len(epochs(tmp_path)) == 2
    states = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert states == ["step_000000002", "step_000000003"]


def test_precision_is_that_of_the_computation_alone(tmp_path):
    short = ["--trainer.max_steps=1", "--trainer.limit_val_batches=1"]
    precision = "--trainer.precision=mixed_bfloat16"
    run([*FIT, *short, precision, f"--output={tmp_path}"])
    assert keras.config.dtype_policy().name == "float32"
    model = kp.presets.load(tmp_path / "preset")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert len(epochs(tmp_path)) == 1


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.distribution=many", "`kind` must be one .* Received: kind='many'"),
        ("--trainer.precision=float8", "--trainer.precision: .*float8"),
        ("--trainer.max_steps=0", "--trainer.max_steps: .*0"),
        ("--lr_schedule=step", "--lr_schedule: unknown name 'step'; expected .*constant"),
    ],
)
def test_wrong_values_are_named(option, message, tmp_path, capsys):
    assert_refused([*FIT, option, f"--output={tmp_path}/run"], message, capsys)


def test_what_to_keep_the_best_of_must_be_there(tmp_path, capsys):
    """Before an earlier run makes room."""
    (tmp_path / "best_preset").mkdir()
    options = ["--trainer.monitor=val_auc", "--overwrite=true", f"--output={tmp_path}"]
    names = "loss, accuracy, val_loss, val_accuracy"
    message = f"`monitor` must be one of {names}. Received: val_auc"
    assert_refused([*FIT, *options], message, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["best_preset"]


@pytest.mark.one_backend
def test_averages_of_weights_are_what_is_judged_and_kept(tmp_path):
    averages = ["--optimizer.use_ema=true", "--optimizer.ema_momentum=0.5"]
    run([*FIT, *averages, "--trainer.max_steps=4", f"--output={tmp_path}"])
    last, best = (
        kp.presets.load(tmp_path / name).get_weights() for name in ("preset", "best_preset")
    )
    for one, other in zip(last, best, strict=True):
        assert abs(one - other).max() < 1e-6  # swapped by sums on TensorFlow
