"""Where a training is in its batches."""

from keras_perceiver import processes
from keras_perceiver.data.pipeline import read_ahead
from keras_perceiver.training.checkpoints import StateError

# States of a stream that are remembered: more than anyone reads ahead.
REMEMBERED = 64


class Position:
    """Batches of a training, from any step on.

    Args:
        batches: an endless `grain.MapDataset`, whose batches are numbered; or an endless
            `grain.IterDataset`, a stream, which goes on from a state of its iterator.
        workers: processes that make batches, see `kp.data.read_ahead`.

    Raises:
        ValueError: a number of workers that cannot be; a stream in one of several
            processes, of which one alone writes its state.
    """

    def __init__(self, batches, workers=0):
        import grain

        self.batches, self.workers = batches, workers
        self.is_stream = not isinstance(batches, grain.MapDataset)
        self._states = {}  # of the stream's iterator, by the steps before it
        if self.is_stream and processes.several():
            raise ValueError(
                "`batches` must be a `grain.MapDataset` in several processes. Received: "
                f"{type(batches).__name__}"
            )
        self.after(0)  # A wrong number of workers shows now.

    def state(self, step):
        """What a stream goes on from after so many steps, for JSON; else None."""
        return self._states[step] if self.is_stream else None

    def restore(self, step, state):
        """Take up such a state."""
        if self.is_stream and state is None:
            raise StateError("`batches` must be those of the training. Received: a stream")
        self._states[step] = state

    def batch(self, step):
        """The batch after so many steps."""
        if self.is_stream:
            return next(iter(self._followed(self.batches, step)))
        return self.batches[step]

    def after(self, step):
        """All batches after so many steps, some made ahead."""
        if self.is_stream:
            return self._followed(read_ahead(self.batches, workers=self.workers), step)
        return read_ahead(self.batches[step:], workers=self.workers)

    def _followed(self, stream, step):
        """A stream from its state after so many steps, whose later ones are noted."""
        import grain

        states = self._states

        class Iterator(grain.DatasetIterator):
            def __init__(self, parent):
                super().__init__(parent)
                self.parent, self.step = parent, step
                if step:
                    parent.set_state(states[step])

            def __next__(self):
                batch = next(self.parent)
                self.step += 1
                states[self.step] = self.get_state()
                states.pop(self.step - REMEMBERED, None)
                return batch

            def get_state(self):
                return self.parent.get_state()

            def set_state(self, state):
                self.parent.set_state(state)

        class Followed(grain.IterDataset):
            def __iter__(self):
                return Iterator(iter(stream))

        return Followed(stream)
