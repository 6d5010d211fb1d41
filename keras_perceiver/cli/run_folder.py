"""The folder that a training run leaves."""

import importlib.metadata
import importlib.util
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys

import keras
import yaml

from keras_perceiver import __version__, export, presets, visualization
from keras_perceiver.cli.options import read_options
from keras_perceiver.cli.overview import devices
from keras_perceiver.files import atomic_files, read_json, write_json
from keras_perceiver.training.callbacks import SAMPLES
from keras_perceiver.training.resumable import CHECKPOINTS, HISTORY, alone

CONFIG, RUN = "config.yaml", "run.json"
PRESET, BEST, SAVED_MODEL = "preset", "best_preset", "saved_model"
LEARNING_CURVE, FLOW = "learning_curve.png", "flow.png"
ATTENTION_MAPS = "attention_maps.png"
# What runs write beside the config, by the names of files and folders.
WRITTEN = (
    HISTORY,
    CHECKPOINTS,
    PRESET,
    BEST,
    SAVED_MODEL,
    LEARNING_CURVE,
    ATTENTION_MAPS,
    FLOW,
    SAMPLES,
    "events.out.tfevents.*",
)
# Options that another run than the one that is resumed may have: the state of the
# training does not depend on them.
FREE = ("output", "overwrite", "resume", "verbose", "jit_compile", "samples")
# These change how it goes on from there.
CHANGED = ("epochs", "optimizer", "lr_schedule", "trainer", "augmentation")
PACKAGES = ("keras", "numpy", "tensorflow", "jax", "torch", "grain")


def check(path, overwrite, resume, config):
    """Raise a ValueError if a run may not be written to `path`.

    Args:
        path: folder of the run.
        overwrite: in place of an earlier run.
        resume: go on with the run that is there.
        config: options of this run, in YAML.
    """
    folder = pathlib.Path(path)
    if overwrite and resume:
        raise ValueError("--overwrite and --resume exclude each other. Received: both")
    if resume and (folder / CONFIG).is_file():
        _compare(read_options(folder / CONFIG), yaml.safe_load(config))
    elif folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            "--output must be an empty or new folder, or give --overwrite=true, or "
            f"--resume to go on with a run. Received: {path}"
        )


def _compare(before, now):
    for name in sorted({*before, *now} - {*FREE}):
        if before.get(name) == now.get(name):
            continue
        change = f"--{name}: {before.get(name)}, now {now.get(name)}"
        if name not in CHANGED:
            raise ValueError(f"--resume needs the options of the run. Different {change}")
        print(f"resumed with another {change}", file=sys.stderr)


def make(path, config, seed, resume):
    """A folder with what the run is made of: before an hour of training, not after it.

    Args:
        path: of the folder.
        config: options in YAML.
        seed: of the run.
        resume: keep what is there of the training. Otherwise all that a run writes goes.
    """
    folder = pathlib.Path(path)
    if not resume and folder.is_dir():
        with alone(folder):
            for old in (old for name in WRITTEN for old in folder.glob(name)):
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                else:
                    old.unlink()
    with atomic_files(folder) as fresh:
        (pathlib.Path(fresh) / CONFIG).write_text(config)
        made_of = _circumstances(seed) | _before(folder, resume)
        write_json(pathlib.Path(fresh) / RUN, made_of)
    return folder


def _before(folder, resume):
    """Circumstances of the same run before it was resumed, the first ones first."""
    if not resume or not (folder / RUN).is_file():
        return {}
    before = read_json(folder / RUN)
    return {"earlier": [*before.pop("earlier", []), before]}


def _circumstances(seed):
    """What else a run depends on."""
    return {
        "command": sys.argv,
        "seed": seed,
        "backend": keras.backend.backend(),
        "devices": devices(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {
            "keras-perceiver": __version__,
            **{
                name: importlib.metadata.version(name)
                for name in PACKAGES
                if importlib.util.find_spec(name)
            },
        },
        "git": {
            "commit": _git("rev-parse", "HEAD"),
            "changes": _git("status", "--porcelain", "--untracked-files=no"),
        },
    }


def _git(*arguments):
    """Lines that git says of the working directory; None outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def write(folder, model, source):
    """What is there for every task beside the config: name of a file to what it is.

    Args:
        folder: of the run, with its history.
        model: trained.
        source: for the preset: how good it is.
    """
    visualization.plot_learning_curve(folder / HISTORY, folder / LEARNING_CURVE)
    presets.save(model, folder / PRESET, source=f"keras-perceiver fit, {source}")
    return {
        CONFIG: "all options of this run",
        RUN: "versions, devices, seed, git commit",
        HISTORY: "loss and metrics of each epoch",
        LEARNING_CURVE: "the same as a picture",
        PRESET: "the trained model: keras_perceiver.presets.load(...)",
        BEST: "the same, of the best epoch",
        CHECKPOINTS: "the state of the training, to resume from",
    }


def write_saved_model(folder):
    """Write the preset of a run as a SavedModel too, if TensorFlow is there.

    The preset, and not the model: TensorFlow cannot load a SavedModel among the devices
    of a distribution.

    Args:
        folder: of the run, with its preset.

    Returns:
        As `write`.
    """
    if keras.backend.backend() == "torch" or not importlib.util.find_spec("tensorflow"):
        output = f"--output={folder / SAVED_MODEL}"
        command = shlex.join(["keras-perceiver", "export", str(folder), output])
        print(
            "No SavedModel: that needs TensorFlow, and the TensorFlow or JAX backend. "
            f"Write it with KERAS_BACKEND=tensorflow {command}"
        )
        return {}
    export.saved_model(presets.load(folder / PRESET), folder / SAVED_MODEL)
    return {SAVED_MODEL: "the same for TensorFlow alone: tf.saved_model.load(...)"}
