"""Callbacks for `fit`."""

import os
import socket
import time

import keras

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
        self._events = None

    def lines(self):
        """What to show, a list of strings."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        """Ask the model, and write what came out."""
        lines = self.lines()
        os.makedirs(self.folder, exist_ok=True)
        scores = "".join(f", {name} {value:.4f}" for name, value in (logs or {}).items())
        # The first epoch starts afresh, as Keras' CSVLogger does.
        mode = "a" if epoch else "w"
        with open(os.path.join(self.folder, SAMPLES), mode, encoding="utf-8") as file:
            file.write("\n".join([f"epoch {epoch + 1}{scores}", *lines]) + "\n\n")
        # Four spaces: Markdown shows the text as it stands.
        self._write_event("\n".join(f"    {line}" for line in lines), epoch)

    def _write_event(self, text, step):
        # Not tensorboard's EventFileWriter: it imports TensorFlow where that is installed.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        events = [Event(step=step, summary=text_pb(self.TAG, text))]
        if self._events is None:
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
            self._events = os.path.join(self.folder, name)
            events.insert(0, Event(file_version="brain.Event:2"))
        with open(self._events, "ab") as file:
            for event in events:
                event.wall_time = time.time()
                RecordWriter(file).write(event.SerializeToString())


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


def printable(text):
    r"""A text without what could control a terminal: U+FFFD stands for it.

    Example:
    >>> printable("one\n\ttwo\x1b[2J\r")
    'one\n\ttwo\ufffd[2J\ufffd'
    """
    return "".join(x if x.isprintable() or x in "\n\t" else "\ufffd" for x in text)
