"""The state of a training on disk: what a killed process needs to go on bit for bit."""

import glob
import os
import re
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file

from keras_perceiver import processes
from keras_perceiver.files import (
    atomic_folder,
    read_json,
    sha256,
    write_json,
    write_tensors,
)

STATE, PROGRESS = "state.safetensors", "progress.json"
GENERATIONS = 2


class NotFiniteError(ArithmeticError):
    """A loss or weights that are not finite: training cannot go on."""


class StateError(ValueError):
    """States of a training on disk that this one cannot go on from."""


class Checkpoints:
    """The last two states of a training, each whole or not there at all.

    A state is all that the next step follows from: weights, seeds of dropout, the
    optimizer's variables and the sums of the metrics, and what the caller says of the
    progress. Files are written aside, then renamed, and carry a checksum. When the last
    one is broken, `restore` says so and takes the one before it. Of several processes
    that train one model, all must call `save`, and the first one writes.

    Args:
        folder: to write to; made with the first state.
    """

    def __init__(self, folder):
        self.folder = os.fspath(folder)

    def save(self, model, step, progress):
        """Write the state after a step, and remove all but the last two.

        Args:
            model: compiled; of a JAX model that `fit` is training, its variables must be
                up to date (`model.jax_state_sync()`).
            step: how many steps were made, which names the state.
            progress: a dict that JSON can hold.

        Raises:
            NotFiniteError: weights that are not finite; nothing is written.
            OSError: the folder cannot be written; earlier states stay.
        """
        variables = _variables(model)
        values = [processes.whole(variable) for _, variable in variables]
        _check_finite([name for name, _ in variables], values, step)
        processes.in_the_first(lambda: self._write(variables, values, step, progress))

    def _write(self, variables, values, step, progress):
        # What a kill left half-written: nobody else writes here.
        for partial in glob.glob(os.path.join(glob.escape(self.folder), ".step_*.partial")):
            shutil.rmtree(partial, ignore_errors=True)
        with atomic_folder(os.path.join(self.folder, f"step_{step:09}")) as fresh:
            path = os.path.join(fresh, STATE)
            write_tensors(path, {f"{i:06}": value for i, value in enumerate(values)})
            form = {
                "variables": [name for name, _ in variables],
                "sha256": sha256(path),
                "progress": progress,
            }
            write_json(os.path.join(fresh, PROGRESS), form)
        for old in self.steps()[:-GENERATIONS]:
            shutil.rmtree(self._path(old))

    def steps(self):
        """Steps of the states that are there, the last one last."""
        if not os.path.isdir(self.folder):
            return []
        names = [re.fullmatch(r"step_(\d{9,})", name) for name in os.listdir(self.folder)]
        return sorted(int(name[1]) for name in names if name)

    def restore(self, model):
        """Set a model to the last state that is whole.

        The sums of the metrics are not set, as `fit` starts them afresh: `metrics` of the
        result has them.

        Args:
            model: compiled, like the one that was saved.

        Returns:
            `(progress, metrics)`, or None if no state was ever written.

        Raises:
            StateError: the states are broken, or of another model or optimizer.
        """
        for step in reversed(self.steps()):
            path = self._path(step)
            try:
                names, values, progress = _read(path)
            except (ValueError, OSError, KeyError) as error:
                print(f"{path} is broken and left out: {error}", file=sys.stderr)
                continue
            count = _set(model, names, values, path)
            return progress, values[count:]
        if self.steps():
            raise StateError(
                f"No state in {self.folder} is whole. Remove it to start anew."
            )
        return None

    def _path(self, step):
        return os.path.join(self.folder, f"step_{step:09}")


def _variables(model):
    """Name and variable of all that a step changes, metrics last."""
    model.optimizer.build(model.trainable_variables)
    return [
        (f"{kind} {variable.path}", variable)
        for kind, variables in (
            ("weight", model.trainable_variables),
            ("state", model.non_trainable_variables),
            ("optimizer", model.optimizer.variables),
            ("metric", model.metrics_variables),
        )
        for variable in variables
    ]


def _check_finite(names, values, step):
    weights = {x: y for x, y in zip(names, values, strict=True) if x.startswith("weight ")}
    broken = [x for x, y in weights.items() if not np.isfinite(y.astype("float32")).all()]
    if broken:
        raise NotFiniteError(
            f"{len(broken)} of {len(weights)} weights are not finite after step {step}, "
            f"the first {broken[0].removeprefix('weight ')}"
        )


def _read(path):
    form = read_json(os.path.join(path, PROGRESS))
    state = os.path.join(path, STATE)
    if form["sha256"] != sha256(state):
        raise ValueError(f"{STATE} is not what was written")
    tensors = load_file(state)
    return form["variables"], [tensors[key] for key in sorted(tensors)], form["progress"]


def _set(model, names, values, path):
    """Set all variables but those of metrics: how many they are."""
    variables = [x for x in _variables(model) if not x[0].startswith("metric ")]
    kept = [name for name in names if not name.startswith("metric ")]
    shapes = [tuple(value.shape) for value in values]
    for i in range(max(len(variables), len(kept))):
        here = variables[i] if i < len(variables) else None
        there = kept[i] if i < len(kept) else None
        # Other names that Keras numbers may differ from process to process.
        same_name = here and there and (not there.startswith("weight ") or here[0] == there)
        if not same_name or tuple(here[1].shape) != shapes[i]:
            received = here and f"{here[0]} {tuple(here[1].shape)}"
            expected = there and f"{there} {shapes[i]}"
            raise StateError(
                f"{path} is of another model or optimizer. It has {expected} where this "
                f"one has {received}"
            )
    for (_, variable), value in zip(variables, values, strict=False):
        variable.assign(value)
    return len(kept)
