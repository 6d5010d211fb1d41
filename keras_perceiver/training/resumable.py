"""`fit` that survives: killed at any moment, it goes on as if nothing had happened."""

import contextlib
import os
import sys

import keras

from keras_perceiver import processes
from keras_perceiver.data.pipeline import read_ahead
from keras_perceiver.files import cut
from keras_perceiver.training.callbacks import has_averages, make_metrics
from keras_perceiver.training.checkpoints import Checkpoints, StateError
from keras_perceiver.training.position import Position
from keras_perceiver.training.saver import Saver

CHECKPOINTS, HISTORY = "checkpoints", "history.csv"


def resumable_fit(
    model,
    batches,
    folder,
    steps_per_epoch,
    epochs=1,
    max_steps=None,
    save_every=None,
    resume=False,
    validation_data=None,
    callbacks=(),
    workers=0,
    verbose=1,
):
    """`model.fit` that can be killed and resumed, with the weights of one that was not.

    The state of the training is written to `folder` after each epoch, and with
    `save_every` in between. SIGTERM and Ctrl-C write it too. `resume=True` takes it up:
    weights, optimizer, learning rate, dropout, order of the data and sums of the metrics
    go on where they were, on a CPU bit for bit. `history.csv` in the folder has a row
    for each epoch. A loss or weights that are not finite stop the training; the last
    state is one from before.

    Several JAX processes call it together, each with its part of the batches
    (`kp.data.shard`) and with a folder that all see; the first one writes. A signal to
    one of them ends them all, after the same step.

    Args:
        model: compiled, built the same way each time, with `steps_per_execution=1`.
        batches: an endless `grain.MapDataset` of batches, as `kp.data.batches` gives
            with a seed; or an endless stream of one process, as `kp.data.causal_stream`.
        folder: to write to; made if it is not there.
        steps_per_epoch: batches between two looks at the validation data.
        epochs: how many epochs to train in all, those before the interruption included.
        max_steps: steps after which to end even so, or None.
        save_every: steps after which the state is written within an epoch, or None.
        resume: go on from what is in `folder`, if there is something.
        validation_data: a finite `grain.MapDataset` of batches, or None.
        callbacks: further callbacks of `fit`.
        workers: processes that make batches; 0 for threads. See `kp.data.read_ahead`.
        verbose: as of `fit`.

    Raises:
        ValueError: several steps in one execution: their states would not be seen.
        StateError: states of another model or optimizer, of other epochs, broken ones, or
            such as are not to be resumed; another process that trains in the folder.
        NotFiniteError: a loss or weights that are not finite.
        InterruptedTraining: a signal came; the state is saved, if it can be written.

    Example:
    ```python
    train = kp.data.batches(data.train, model, batch_size=64, seed=0)
    model.compile(optimizer, loss)
    kp.training.resumable_fit(model, train, "runs/a", 22, epochs=10, resume=True)
    ```
    """
    if model.steps_per_execution != 1:
        raise ValueError(
            "`model` must be compiled with steps_per_execution=1. Received: "
            f"{model.steps_per_execution}"
        )
    checkpoints = Checkpoints(os.path.join(folder, CHECKPOINTS))
    history = os.path.join(folder, HISTORY)
    os.makedirs(folder, exist_ok=True)
    with alone(folder):
        if checkpoints.steps() and not resume:
            raise StateError(
                "`folder` must have no states of a training: `resume=True` goes on with "
                f"it. Received: {folder} with step {checkpoints.steps()[-1]}"
            )
        restored = checkpoints.restore(model) if resume else None
        progress, metrics = restored or ({"step": 0, "logs": {}}, None)
        done = progress["step"]
        position = Position(batches, workers)
        if restored:
            _check_epochs(progress, steps_per_epoch)
            position.restore(done, progress.get("stream"))
        make_metrics(model, position.batch(done))  # whose sums go on
        # An epoch counts when it was judged: its last step alone is not enough.
        epoch = max(0, done - 1) // steps_per_epoch
        # The header stays only where other epochs do: metrics may be others.
        processes.in_the_first(lambda: cut(history, f"{epoch}," if epoch else ""))
        total = total_steps(steps_per_epoch, epochs, max_steps)
        first = processes.is_first()
        averages = has_averages(model)
        saver = Saver(checkpoints, position, steps_per_epoch, total, save_every)
        callbacks = [
            *([keras.callbacks.SwapEMAWeights()] if averages else []),
            *([keras.callbacks.CSVLogger(history, append=True)] if first else []),
            *callbacks,
            saver,
        ]
        validation = {}
        if validation_data is not None:
            # Endless like the training batches: Keras keeps one iterator for all epochs.
            validation["validation_data"] = read_ahead(validation_data.repeat())
            validation["validation_steps"] = len(validation_data)
        with saver.signals():
            if restored:
                print(f"resumed after step {done:,} of {total:,}", file=sys.stderr)
            if done and (done % steps_per_epoch == 0 or done >= total):
                _judge(model, validation, callbacks, epoch, progress["logs"])
                epoch, metrics = epoch + 1, None
            model.stop_training = False
            while done < total and not model.stop_training:
                last, steps = _stretch(done, epoch, total, steps_per_epoch, epochs)
                saver.start(done, metrics)
                with _unfinished(model, done + steps * (last - epoch) < total):
                    model.fit(
                        position.after(done),
                        steps_per_epoch=steps,
                        initial_epoch=epoch,
                        epochs=last,
                        shuffle=False,  # the batches are
                        verbose=verbose,
                        callbacks=callbacks,
                        **validation,
                    )
                done += steps * (last - epoch)
                epoch, metrics = last, None
        if restored and averages:  # Nothing may have been left to do.
            model.optimizer.finalize_variable_values(model.trainable_variables)


def _check_epochs(progress, steps_per_epoch):
    before = progress.get("steps_per_epoch", steps_per_epoch)
    # The first epoch may become longer: it alone has no number to lose.
    if before != steps_per_epoch and progress["step"] > before:
        raise StateError(
            f"`steps_per_epoch` must be that of the training, {before}. Received: "
            f"{steps_per_epoch}"
        )


@contextlib.contextmanager
def alone(folder):
    """No other process trains in a folder: it would remove states of this one."""
    if processes.several():
        yield  # They train together.
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                f"`folder` must have no other process that trains in it. Received: {folder}"
            ) from None
        yield
    finally:
        os.close(handle)  # and with it the lock, as when the process is killed


def total_steps(steps_per_epoch, epochs, max_steps=None):
    """Steps of a whole training."""
    steps = steps_per_epoch * epochs
    return min(steps, max_steps or steps)


def _stretch(done, epoch, total, steps_per_epoch, epochs):
    """The next call of `fit`: the epoch it ends before, and the steps of its epochs."""
    rest = (epoch + 1) * steps_per_epoch - done
    if rest < steps_per_epoch:  # the rest of an epoch
        return epoch + 1, min(rest, total - done)
    whole = (total - done) // steps_per_epoch
    if whole:
        return epoch + whole, steps_per_epoch
    return epoch + 1, total - done


@contextlib.contextmanager
def _unfinished(model, unfinished):
    """At the end of `fit` Keras puts the averages of weights in their place: not yet."""
    finalize = model.optimizer.finalize_variable_values
    if unfinished:
        model.optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        model.optimizer.finalize_variable_values = finalize


def _judge(model, validation, callbacks, epoch, logs):
    """The end of an epoch whose steps were all made before the interruption."""
    every = keras.callbacks.CallbackList(list(callbacks), model=model)
    every.on_train_begin()
    processes.largest(0)  # All have read the history before the first one adds to it.
    every.on_epoch_begin(epoch)
    if validation:
        scores = model.evaluate(
            validation["validation_data"],
            steps=validation["validation_steps"],
            callbacks=every,
            verbose=0,
            return_dict=True,
        )
        logs = {**logs, **{f"val_{name}": score for name, score in scores.items()}}
    every.on_epoch_end(epoch, logs)
    every.on_train_end()
