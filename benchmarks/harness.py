"""Worker processes, and steps timed in turn."""

import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


class WorkerFailed(RuntimeError):
    """A worker died, or took too long over one request."""


class Worker:
    """A process that holds one arm and answers one request at a time."""

    def __init__(self, arm, environment):
        self.arm = arm
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in close)
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **environment}
        # The package from this checkout, installed or not.
        paths = (str(HERE.parent), environment.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )

    def ask(self, do, timeout=600, **request):
        """The answer, a dictionary."""
        answer = ""
        if self.process.poll() is None:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            if select.select([self.process.stdout], [], [], timeout)[0]:
                answer = self.process.stdout.readline()
            else:
                self.close()
                raise WorkerFailed(f"{self.arm}: no answer to {do!r} in {timeout} s")
        if not answer:
            self.log.seek(0)
            lines = self.log.read().strip().splitlines() or ["no message"]
            self.close()
            raise WorkerFailed(f"{self.arm}: died of {do!r}: " + "\n".join(lines[-15:]))
        return json.loads(answer)

    def close(self):
        """End the process, and wait until its memory is free."""
        self.process.kill()
        self.process.communicate()
        self.log.close()


def measure(workers, rounds, warmup):
    """Times of one step of each worker in turn, `rounds` times; the others idle.

    Interleaved, so that other load on the machine falls on all arms alike.
    """
    times = {worker: [] for worker in workers}
    for turn in range(warmup + rounds):
        for worker in workers:
            answer = worker.ask("step")
            if turn >= warmup:
                times[worker].append(answer)
    return {worker: summary(answers) for worker, answers in times.items()}


def summary(answers):
    """Median and least of the wall and CPU times of an arm's steps."""
    wall, cpu = ([answer[key] for answer in answers] for key in ("wall_s", "cpu_s"))
    return {
        "n": len(answers),
        "median_s": statistics.median(wall),
        "min_s": min(wall),
        "max_s": max(wall),
        "cpu_median_s": statistics.median(cpu),
        "cpu_min_s": min(cpu),
    }
