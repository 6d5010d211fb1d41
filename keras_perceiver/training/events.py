"""Files for TensorBoard."""

import os
import socket
import time

# Of the file's name: in one folder, all of this process goes into one file.
START = time.time_ns()


class EventFile:
    """The event file of this process in a folder, for TensorBoard.

    Needs the package `tensorboard`, not TensorFlow, which tensorboard's own writer imports
    where it is installed.

    Args:
        folder: to write to; made if it is not there.
    """

    def __init__(self, folder):
        self.folder = folder

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
        os.makedirs(self.folder, exist_ok=True)
        name = f"events.out.tfevents.{START}.{socket.gethostname()}"
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            events.insert(0, Event(file_version="brain.Event:2"))
        with open(path, "ab") as file:
            for event in events:
                event.wall_time = time.time()
                RecordWriter(file).write(event.SerializeToString())
