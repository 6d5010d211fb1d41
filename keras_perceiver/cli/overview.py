"""What a training is going to take, said before it starts."""

import math

import keras
import ml_dtypes  # noqa: F401 (numpy knows bfloat16)
import numpy as np

from keras_perceiver.models import flops
from keras_perceiver.models.activations import activation_bytes

# A step is a forward pass and twice as much backward (arXiv 2001.08361, section 2.1).
PASSES = 3


def overview(model, records, count, held_out_count, batch_size, length=None):
    """Parameters, arithmetic, memory and devices, in lines.

    Args:
        model: compiled.
        records: what the records are, in the plural.
        count: how many there are to train on; None if they are a stream.
        held_out_count: how many are held out.
        batch_size: records a step.
        length: tokens of a record, in a model of text.
    """
    total = model.count_params()
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    parameters = f"{total:,} parameters"
    if trainable < total:
        parameters += f", {trainable:,} of them trained,"
    model.optimizer.build(model.trainable_variables)
    slots = [*model.variables, *model.optimizer.variables, *model.trainable_variables]
    work = PASSES * batch_size * flops(model, length=length)
    memory = _rounded(sum(map(_size, slots)), "B")
    kept = _rounded(activation_bytes(model, batch_size, length), "B")
    name = type(model).__name__
    seen = "a stream of" if count is None else f"{count:,}"
    data = f"{seen} {records}, {held_out_count:,} held out"
    return (
        f"{name} with {parameters} on {data}\n"
        f"  a step of {batch_size}: {_rounded(work, 'FLOP')}; weights, gradients and "
        f"optimizer: {memory}, activations: about {kept}\n"
        f"  {keras.backend.backend()} on {', '.join(devices())}"
    )


def devices():
    """Names of the devices that the backend sees."""
    if keras.backend.backend() == "torch":
        import torch

        count = torch.cuda.device_count()
        return [f"cuda:{i}" for i in range(count)] or ["cpu"]
    return [name.lower() for name in keras.distribution.list_devices()]


def _size(variable):
    return math.prod(variable.shape) * np.dtype(variable.dtype).itemsize


def _rounded(value, unit):
    for prefix in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} P{unit}"
