"""How long and how `fit` trains, apart from the optimizer."""

import contextlib
import dataclasses
from typing import Literal

import keras
from jsonargparse.typing import (  # noqa: TID253 (imported by `fit` only)
    NonNegativeInt,
    PositiveInt,
)

from keras_perceiver import training
from keras_perceiver.cli.errors import user_errors


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """How long and how to train.

    Args:
        max_steps: Steps after which training ends, whatever --epochs says.
        limit_train_batches: Batches of an epoch at most: a dry run.
        limit_val_batches: Held-out batches to look at, at most.
        save_every: Steps after which the state is written within an epoch, to resume
            from. None: after each epoch.
        workers: Processes that make batches, where data take long to prepare. 0: threads.
        monitor: Loss or metric of the epoch whose model is kept as `best_preset`. Of
            names with "acc" in them more is better, of others less.
        precision: Of the computation; weights and optimizer stay in float32.
        distribution: How to train on all devices there are; of
            `keras_perceiver.training.distribute`, on JAX `data`, `fully_sharded` or
            `tensor`, on TensorFlow `mirrored` or `tpu`. None: on one.
    """

    max_steps: PositiveInt | None = None
    limit_train_batches: PositiveInt | None = None
    limit_val_batches: PositiveInt | None = None
    save_every: PositiveInt | None = None
    workers: NonNegativeInt = 0
    monitor: str = "val_loss"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    distribution: str | None = None

    @contextlib.contextmanager
    def scope(self):
        """What models are built and trained in: precision and devices."""
        with user_errors():
            devices = contextlib.nullcontext()
            if self.distribution is not None:
                devices = training.distribute(self.distribution)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.precision)
        try:
            with devices:
                yield
        finally:
            keras.config.set_dtype_policy(before)

    def steps_per_epoch(self, steps):
        """Batches of an epoch, of so many that there are."""
        return min(steps, self.limit_train_batches or steps)
