"""One process, one arm: answers requests in JSON lines. See `harness.Worker`."""

import json
import os
import resource
import sys
import time

START = time.perf_counter()


def status_mb(field):
    """A memory field of this process, VmRSS or VmHWM (the peak), in MB."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def reset_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def device_peak_mb():
    """The most memory of a GPU that this process held in arrays, in MB; 0 without."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return sys.modules["torch"].cuda.max_memory_allocated() / 1e6
    if "jax" in sys.modules:
        statistics = sys.modules["jax"].local_devices()[0].memory_stats() or {}
        return statistics.get("peak_bytes_in_use", 0) / 1e6
    return 0


def seconds_of_compiling():
    """What JAX takes from now on to compile: a list that grows, if JAX computes."""
    seconds = []
    if "jax" not in sys.modules:
        return seconds

    def note(event, duration, **_):
        if event.startswith("/jax/core/compile/"):
            seconds.append(duration)

    sys.modules["jax"].monitoring.register_event_duration_secs_listener(note)
    return seconds


class Server:
    def build(self, benchmark, job, arm, quick):
        from arms import arms
        from jobs import get_job

        make, _ = arms(benchmark)[arm]
        self.arm = make(get_job(benchmark, job, quick))
        self.built_mb = status_mb("VmRSS")
        return {
            "build_s": time.perf_counter() - START,
            "built_mb": self.built_mb,
            "parameters": self.arm.parameters(),
        }

    def first(self):
        compiling = seconds_of_compiling()
        first_s = self.step()["wall_s"]
        self.compile_peak_mb = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        )
        reset_peak()
        return {"first_s": first_s, "compile_s": sum(compiling) if compiling else None}

    def step(self):
        wall, cpu = time.perf_counter(), time.process_time()
        self.arm.step()
        return {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }

    def memory(self):
        """Peaks: of the timed steps alone, what they add to the model, and of all."""
        peak = status_mb("VmHWM")
        return {
            "peak_mb": peak,
            "peak_over_built_mb": peak - self.built_mb,
            "peak_with_first_mb": max(self.compile_peak_mb, peak),
            "device_mb": device_peak_mb(),
        }

    def flops(self):
        formula, executed = getattr(self.arm, "formula_flops", lambda: (None, None))()
        return {
            "flops": self.arm.flops(),
            "formula_flops": formula,
            "formula_executed_flops": executed,
        }

    def save(self, path):
        self.arm.save(path)
        return {}

    def compare(self, path):
        difference, size = self.arm.compare(path)
        return {"difference": difference, "size": size}


def main():
    # Answers own the real stdout; what libraries print goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(server, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
