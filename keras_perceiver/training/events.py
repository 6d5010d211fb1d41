"""Files for TensorBoard."""

import os
import socket
import time


class EventFile:
    """An event file for TensorBoard, made with the first entry.

    Needs the package `tensorboard`, not TensorFlow, which tensorboard's own writer imports
    where it is installed.

    Args:
        folder: to write to; made if it is not there.
    """

    def __init__(self, folder):
        self.folder = folder
        self._path = None

    def text(self, tag, text, step):
        """Add a text, which is shown as Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(text_pb(tag, text), step)

    def scalar(self, tag, value, step):
        """Add a number."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._write(scalar_pb(tag, value), step)

    def _write(self, summary, step):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        events = [Event(step=step, summary=summary)]
        if self._path is None:
            os.makedirs(self.folder, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
            self._path = os.path.join(self.folder, name)
            events.insert(0, Event(file_version="brain.Event:2"))
        with open(self._path, "ab") as file:
            for event in events:
                event.wall_time = time.time()
                RecordWriter(file).write(event.SerializeToString())
