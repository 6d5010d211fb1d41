"""Callbacks for `fit`."""

import contextlib
import csv
import os
import sys

import keras

from keras_perceiver import presets
from keras_perceiver.files import cut
from keras_perceiver.training.events import EventFile

SAMPLES = "samples.txt"


class Samples(keras.callbacks.Callback):
    """Shows after each epoch what a model does, in lines of text.

    A subclass has `TAG`, their name in TensorBoard, and `lines`.

    Args:
        folder: to write to; made if it is not there.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self._events = EventFile(folder)

    def lines(self):
        """What to show, a list of strings."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        """Ask the model, and write what came out."""
        lines = self.lines()
        os.makedirs(self.folder, exist_ok=True)
        scores = "".join(f", {name} {value:.4f}" for name, value in (logs or {}).items())
        path = os.path.join(self.folder, SAMPLES)
        # What a run that is resumed shows again; at the start, all that is there.
        cut(path, rf"epoch {epoch + 1}\b" if epoch else "")
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n".join([f"epoch {epoch + 1}{scores}", *lines]) + "\n\n")
        # Four spaces: Markdown shows the text as it stands.
        self._events.text(self.TAG, "\n".join(f"    {line}" for line in lines), epoch)


class MaskedTokenSamples(Samples):
    """Shows after each epoch how a masked language model fills masks.

    They are added to `samples.txt` in the folder, which is there to be read, and to an
    event file for TensorBoard, as text. Needs the package `tensorboard`, not TensorFlow.

    Args:
        texts: strings with one or more `[MASK]` each, as `MaskedLM.fill_mask` takes
            them.
        folder: to write to; made if it is not there.
        top_k: fillings of each text, the likeliest first.

    Example:
    ```python
    samples = kp.training.MaskedTokenSamples(["A [MASK][MASK][MASK] text."], "logs")
    model.fit(batches, steps_per_epoch=100, epochs=10, callbacks=[samples])
    ```
    """

    TAG = "masked_token_samples"

    def __init__(self, texts, folder, top_k=3):
        super().__init__(folder)
        self.texts = list(texts)
        self.top_k = top_k

    def lines(self):
        """Each text, and under it its fillings."""
        fillings = self.model.fill_mask(self.texts, self.top_k)
        lines = []
        for text, filled in zip(self.texts, fillings, strict=True):
            # A filling may be a line break, or what no terminal shows.
            lines += [repr(text), *(f"  {x['score']:.3f} {x['text']!r}" for x in filled)]
        return lines


class GeneratedSamples(Samples):
    """Shows after each epoch how a causal language model goes on.

    Written to the same places as `MaskedTokenSamples`.

    Args:
        prompts: strings to continue.
        folder: to write to; made if it is not there.
        **options: of `CausalLM.generate`: `max_new_tokens`, `num_latents`, `sampler`
            and so on. With a `seed`, epochs differ by what was learned alone.

    Example:
    ```python
    samples = kp.training.GeneratedSamples(["Once upon"], "logs", seed=0)
    model.fit(batches, steps_per_epoch=100, epochs=10, callbacks=[samples])
    ```
    """

    TAG = "generated_samples"

    def __init__(self, prompts, folder, **options):
        super().__init__(folder)
        self.prompts = list(prompts)
        self.options = options

    def lines(self):
        """Each prompt, and under it how it goes on."""
        texts = self.model.generate(self.prompts, strip_prompt=True, **self.options)
        lines = []
        for prompt, text in zip(self.prompts, texts, strict=True):
            lines += [repr(prompt), *(f"  {x}" for x in printable(text).split("\n"))]
        return lines


class Scalars(keras.callbacks.Callback):
    """Loss and metrics of each epoch for TensorBoard, without TensorFlow.

    Keras' own callback needs TensorFlow on every backend. Needs the package
    `tensorboard`.

    Args:
        folder: to write to; made if it is not there.
    """

    def __init__(self, folder):
        super().__init__()
        self._events = EventFile(folder)

    def on_epoch_end(self, epoch, logs=None):
        """Write what the epoch gave."""
        for name, value in (logs or {}).items():
            self._events.scalar(f"epoch_{name}", value, epoch)


class BestPreset(keras.callbacks.Callback):
    """Keeps the model of the epoch that was best, as a preset.

    With `use_ema` in the optimizer it has the averages of the weights, which
    `keras.callbacks.SwapEMAWeights` judges.

    Args:
        path: of the preset's folder.
        monitor: name of the loss or of a metric that the model is compiled with, as in
            the logs of `fit`. Of names with "acc" in them more is better, of others less.
        history: of a training that is resumed, the CSV file of
            `keras.callbacks.CSVLogger` with the epochs before; or None.
    """

    def __init__(self, path, monitor="val_loss", history=None):
        super().__init__()
        self.path, self.monitor, self.history = path, monitor, history
        self._sign = -1 if "acc" in monitor else 1
        self._best = None

    def on_train_begin(self, logs=None):
        """What was best before, if there is such a metric."""
        # Under TensorFlow `fit` alone makes the metrics in its first step.
        if all(getattr(metric, "built", True) for metric in self.model.metrics):
            check_monitor(self.monitor, self.model)
        if self._best is None and self.history is not None and os.path.isfile(self.history):
            with open(self.history, newline="") as file:
                values = [float(row[self.monitor]) for row in csv.DictReader(file)]
            self._best = min((self._sign * value for value in values), default=None)

    def on_epoch_end(self, epoch, logs=None):
        """Save the model if it is the best so far."""
        _check_monitor(self.monitor, logs)
        value = self._sign * logs[self.monitor]
        if self._best is not None and value >= self._best:
            return
        with _averages(self.model):
            source = f"epoch {epoch + 1} of a training, {self.monitor} {logs[self.monitor]}"
            try:
                presets.save(self.model, self.path, source=source)
            except OSError as error:  # A full disk may have room again later.
                print(f"\nbest preset not saved: {error}", file=sys.stderr)
                return
        self._best = value


def make_metrics(model, batch):
    """Make the metrics of a compiled model for such batches, without a step.

    `fit` does it first on two of three backends. It is not in the public API of Keras.
    """
    model._symbolic_build(data_batch=batch)


def check_monitor(monitor, model):
    """Raise a ValueError unless an epoch of a model gives what is to be kept the best of.

    Args:
        monitor: as of `BestPreset`.
        model: compiled, with its metrics made.
    """
    names = list(model.get_metrics_result())
    _check_monitor(monitor, [*names, *(f"val_{name}" for name in names)])


def _check_monitor(monitor, names):
    if monitor not in names:
        expected = ", ".join(names)
        raise ValueError(f"`monitor` must be one of {expected}. Received: {monitor}")


def has_averages(model):
    """Whether the optimizer of a model keeps averages of the weights."""
    # One that scales the loss, for float16, has the other in it.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return bool(getattr(optimizer, "use_ema", False))


@contextlib.contextmanager
def _averages(model):
    """With the averages of the weights in their place, if the optimizer has them."""
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    averages = has_averages(model)
    if averages:
        swap.on_test_begin()
    try:
        yield
    finally:
        if averages:
            swap.on_test_end()


def printable(text):
    r"""A text without what could control a terminal: U+FFFD stands for it.

    Example:
    >>> printable("one\n\ttwo\x1b[2J\r")
    'one\n\ttwo\ufffd[2J\ufffd'
    """
    return "".join(x if x.isprintable() or x in "\n\t" else "\ufffd" for x in text)
