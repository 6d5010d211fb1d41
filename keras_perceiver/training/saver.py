"""What watches over a training, step by step."""

import contextlib
import math
import signal
import sys
import threading

import keras
import numpy as np

from keras_perceiver import processes
from keras_perceiver.training.checkpoints import NotFiniteError


class InterruptedTraining(Exception):
    """SIGTERM or Ctrl-C: training ends, its state is saved if it can be written.

    Attributes:
        signal: its number.
    """

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Saver(keras.callbacks.Callback):
    """Writes the state of a training, and ends it where it must not go on.

    Args:
        checkpoints: `Checkpoints` to write to.
        position: what is trained on, a `Position`.
        steps_per_epoch: steps of an epoch, after which the state is written.
        total: steps of the whole training, likewise.
        save_every: steps after which it is written, too, or None.
    """

    def __init__(self, checkpoints, position, steps_per_epoch, total, save_every):
        super().__init__()
        self.checkpoints, self.position = checkpoints, position
        self.steps_per_epoch, self.total = steps_per_epoch, total
        self.save_every = save_every
        self.step, self.metrics, self.signal = 0, None, 0

    def start(self, step, metrics):
        """Before `fit`: steps made, and sums of the metrics of a begun epoch."""
        self.step, self.metrics = step, metrics

    @contextlib.contextmanager
    def signals(self):
        """While training, SIGTERM and the first Ctrl-C only ask for an end."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Only there can they be caught.
            return
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.getsignal(number) for number in numbers}

        def ask(number, frame):
            self.signal = number
            signal.signal(number, before[number])  # The second time it is done at once.

        try:
            for number in numbers:
                signal.signal(number, ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_epoch_begin(self, epoch, logs=None):
        """Keras has set the sums of the metrics to 0."""
        if self.metrics is not None:
            pairs = zip(self.model.metrics_variables, self.metrics, strict=True)
            for variable, value in pairs:
                variable.assign(value)
            self.metrics = None

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss, and save where it is time."""
        self.step += 1
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self._stop(loss)
        ends = self.step % self.steps_per_epoch == 0 or self.step == self.total
        asked = self._asked()
        if ends or asked or (self.save_every and self.step % self.save_every == 0):
            self._save(logs)
        if asked:
            raise InterruptedTraining(asked)

    def on_test_batch_end(self, batch, logs=None):
        """The state is saved: it is looked at again."""
        if asked := self._asked():
            raise InterruptedTraining(asked)

    def _asked(self):
        """The signal that came, in any of several processes: they end together; or 0."""
        return processes.largest(self.signal)

    def _save(self, logs):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        logs = {name: float(value) for name, value in logs.items()}
        try:
            state = self.position.state(self.step)
            progress = {
                "step": self.step,
                "steps_per_epoch": self.steps_per_epoch,
                "logs": logs,
                "stream": state,
            }
            self.checkpoints.save(self.model, self.step, progress)
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}. {self._last_good()}") from None
        except OSError as error:  # A full disk may have room again later.
            print(f"\nstate not saved: {error}", file=sys.stderr)

    def _stop(self, loss):
        inputs = keras.tree.flatten(self.position.batch(self.step - 1))
        kinds = [np.asarray(x) for x in inputs]
        broken = any(x.dtype.kind == "f" and not np.isfinite(x).all() for x in kinds)
        cause = " The batch itself has values that are not finite." if broken else ""
        raise NotFiniteError(
            f"the loss is {loss} at step {self.step}.{cause} {self._last_good()}"
        )

    def _last_good(self):
        steps = self.checkpoints.steps()
        if not steps:
            return "No state was saved before it."
        return (
            f"The last good state, after step {steps[-1]}, is in {self.checkpoints.folder}"
        )
