"""How training went."""

import csv
import os

import numpy as np


def read_history(path):
    """Columns of the CSV file that `keras.callbacks.CSVLogger` writes.

    Args:
        path: of the file.

    Returns:
        A dict of float arrays, one value an epoch.

    Raises:
        ValueError: the file has no epoch.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"`path` must hold at least one epoch. Received: path={path}")
    return {name: np.asarray([float(row[name]) for row in rows]) for name in rows[0]}


def plot_learning_curve(history, path):
    """Draw each metric over the epochs, in training and held out, into a PNG file.

    Args:
        history: the `history` dict that `fit` returns, or the path of a CSV file
            written by `keras.callbacks.CSVLogger`.
        path: of the PNG file.

    Returns:
        `path`.

    Raises:
        ValueError: no epoch.

    Example:
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "curve.png")
    >>> plot_learning_curve({"loss": [2.0, 1.0], "val_loss": [2.1, 1.2]}, file) == file
    True
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if isinstance(history, (str, os.PathLike)):
        history = read_history(history)
    history = {name: list(values) for name, values in history.items()}
    metrics = [n for n in history if n != "epoch" and not n.startswith("val_")]
    if not metrics or not history[metrics[0]]:
        raise ValueError(f"`history` must hold at least one epoch. Received: {history}")
    figure = Figure(figsize=(5 * len(metrics), 3.6), layout="constrained")
    for axis, name in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        epochs = np.arange(1, len(history[name]) + 1)
        marker = "o" if len(epochs) == 1 else None
        axis.plot(epochs, history[name], label="training", marker=marker)
        held_out = history.get(f"val_{name}")
        if held_out is not None:
            axis.plot(
                epochs,
                held_out,
                label=f"held out (last: {held_out[-1]:.3f})",
                marker=marker,
            )
        axis.set_title(name.replace("_", " ").capitalize())
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel(name.replace("_", " "))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)
    return path
