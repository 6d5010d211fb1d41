"""Who is timed: this library on three backends, and plain PyTorch.

An arm is built in a process of its own and offers `step()`, one blocking forward
pass or training step, `parameters()` and `flops()`, what one step executes. Other
peers are in the benchmarks themselves: subclasses of `Torch`.
"""

import functools
import importlib

import numpy as np

from flop_count import count_jax, count_torch
from jobs import IGNORED, named_weights

# Handing freed memory back and faulting it in again costs PyTorch's training steps
# 16 to 31 % on the machine of results/. A user who tunes sets these two.
TUNED_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "40000000000"}
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01


class Ours:
    """This library, through Keras: `train_on_batch` or `predict_on_batch`."""

    # Keras chooses on a CPU: XLA for JAX, graphs for TensorFlow, eager PyTorch.
    jit_compile = "auto"

    def __init__(self, job):
        import keras

        from keras_perceiver.training import TokenCrossentropy

        self.job = job
        self.model = job.model()
        self.model.compile(
            optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY),
            loss=TokenCrossentropy(),
            jit_compile=self.jit_compile,
        )
        self.data = job.data()
        self.inputs, labels = job.ours(*self.data)
        self.weights = (labels != IGNORED).astype("float32")
        self.labels = np.where(labels == IGNORED, 0, labels)

    def step(self):
        if self.job.training:
            self.train()
        else:
            self.job.outputs(self.model, self.inputs)

    def train(self):
        self.model.train_on_batch(self.inputs, self.labels, self.weights)

    def parameters(self):
        return self.model.count_params()

    def flops(self):
        import keras

        backend, training = keras.backend.backend(), self.job.training
        if backend == "jax" and not self.job.new_tokens:
            data = self.inputs, self.labels, self.weights
            return count_jax(self.model, *data, training)
        if backend != "torch":
            return None
        if training or self.job.new_tokens:
            return count_torch(self.train if training else self.step)
        # Not predict_on_batch: the counter fails in inference mode. Nothing is kept for
        # gradients all the same: scores of large inputs would fill the memory.
        self.model.requires_grad_(False)
        return count_torch(functools.partial(self.model, self.inputs, training=False))

    def formula_flops(self):
        if self.job.new_tokens or self.inputs is not self.data[0]:
            return None, None
        from keras_perceiver.models.flops import flops

        passes = self.job.batch * (3 if self.job.training else 1)
        return tuple(
            passes * flops(self.model, executed, self.job.length)
            for executed in (False, True)
        )

    def save(self, path):
        """Weights and the outputs they give, for the reference to compare."""
        weights = {name: np.array(w) for name, w in named_weights(self.model).items()}
        outputs = self.job.outputs(self.model, self.data[0])
        np.savez(path, __outputs__=outputs, **weights)


class OursXLA(Ours):
    """The same with XLA on TensorFlow, which takes minutes to compile."""

    jit_compile = True


class Torch:
    """What the PyTorch peers share; a subclass makes `self.model`."""

    def __init__(self, job):
        import torch

        self.job = job
        inputs, labels = job.data()
        arrays = inputs.values() if isinstance(inputs, dict) else (inputs,)
        self.inputs = tuple(torch.from_numpy(array) for array in arrays)
        self.labels = torch.from_numpy(labels)
        self.model = self.make_model().train(job.training)
        self.forward = self.model
        if job.training:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
            )

    def outputs(self):
        return self.forward(*self.inputs)

    def step(self):
        import torch

        if self.job.training:
            self.train().item()
            return
        with torch.inference_mode():
            self.outputs().numpy()

    def train(self):
        """One step; the loss, which may still be under way on a GPU."""
        import torch

        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            self.outputs().flatten(0, -2), self.labels.flatten(), ignore_index=IGNORED
        )
        loss.backward()
        self.optimizer.step()
        return loss

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def flops(self):
        if self.job.training:
            return count_torch(self.train)
        self.model.requires_grad_(False)
        return count_torch(self.outputs)


class Reference(Torch):
    """The plain transcription of `reference_torch`, eager."""

    def make_model(self):
        return self.job.reference()

    def compare(self, path):
        """Largest difference to the outputs saved by `Ours.save`, and their size."""
        import torch

        import reference_torch

        saved = dict(np.load(path))
        expected = saved.pop("__outputs__")
        reference_torch.load(self.model, saved)
        with torch.inference_mode():
            outputs = self.outputs().cpu().numpy()
        return float(abs(outputs - expected).max()), float(abs(expected).max())


class CompiledReference(Reference):
    """The same through torch.compile."""

    def __init__(self, job):
        import torch

        super().__init__(job)
        self.forward = torch.compile(self.model)

    def flops(self):
        """None: those of the eager one."""


# By name: the class, and environment variables that its process needs.
REFERENCES = {
    "reference": (Reference, {}),
    "reference_malloc": (Reference, TUNED_MALLOC),
    "reference_compiled": (CompiledReference, {}),
}
OURS = {
    "ours_tensorflow": (Ours, {"KERAS_BACKEND": "tensorflow"}),
    "ours_tensorflow_xla": (OursXLA, {"KERAS_BACKEND": "tensorflow"}),
    "ours_jax": (Ours, {"KERAS_BACKEND": "jax"}),
    "ours_torch": (Ours, {"KERAS_BACKEND": "torch"}),
}


def arms(benchmark):
    """All arms of a benchmark, in the table's order: its `ARMS`, or these and `PEERS`."""
    module = importlib.import_module(benchmark)
    if hasattr(module, "ARMS"):
        return module.ARMS
    peers = module.PEERS
    return {**REFERENCES, **{name: (arm, {}) for name, arm in peers.items()}, **OURS}
