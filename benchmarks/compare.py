"""Times the arms of a benchmark against each other: the command line of `bench_*.py`.

    python benchmarks/bench_text.py --out results.jsonl

Each arm has a process of its own; all stay alive, and the parent asks each in turn
for one step. One JSON line a result, then a table of times over the plain PyTorch
reference's. That the reference computes the same function as ours is checked too.
"""

import argparse
import importlib
import json
import sys
import tempfile
from concurrent import futures

import harness
from arms import OURS, arms
from jobs import get_job

COLUMNS = (
    "arm",
    "median s",
    "min s",
    "ratio of medians",
    "of minima",
    "of CPU minima",
    "aim",
    "first step s",
    "compile s",
    "aim of that",
    "peak MB",
    "over built",
    "GFLOP",
    "tokens/s",
)
TIMES = ("median_s", "min_s", "max_s", "cpu_median_s", "cpu_min_s")


def run(benchmark, job, names, options):
    """Results of the arms called `names` on one job, a list of dictionaries."""
    results, workers, building = {}, {}, {}
    try:
        with futures.ThreadPoolExecutor() as pool:
            for name in names:
                result = results[name] = {"job": job.name, "arm": name}
                if name in job.left_out:
                    result["left_out"] = job.left_out[name]
                    continue
                workers[name] = harness.Worker(name, arms(benchmark)[name][1])
                what = {"benchmark": benchmark, "job": job.name, "arm": name}
                building[name] = pool.submit(
                    workers[name].ask, "build", **what, quick=options.quick
                )
        for name, built in building.items():
            result = results[name]
            try:
                result |= built.result()
                result |= workers[name].ask("first", timeout=options.compile_timeout)
            except harness.WorkerFailed as failure:
                workers.pop(name).close()
                result["failed"] = str(failure)
                print(failure, file=sys.stderr)
                continue
            print(f"{job.name}: {name} after {result['first_s']:.2f} s", file=sys.stderr)
        times = harness.measure(list(workers.values()), options.rounds, options.warmup)
        for name, worker in workers.items():
            results[name] |= times[worker] | worker.ask("memory")
            print(f"{name}: {results[name]['median_s']:.4f} s", file=sys.stderr)
        # Only now: counting and comparing change weights, threads and memory.
        for name, worker in workers.items():
            results[name] |= worker.ask("flops")
        compare_functions(workers, results)
    finally:
        for worker in workers.values():
            worker.close()
    return list(results.values())


def compare_functions(workers, results):
    """How far our logits, or tokens, are from those of our weights in the reference."""
    if "reference" not in workers:
        return
    for name in OURS:
        if name not in workers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/weights.npz"
            workers[name].ask("save", path=path)
            answer = workers["reference"].ask("compare", path=path)
        results[name]["logits_difference"] = answer["difference"]
        results[name]["logits_size"] = answer["size"]


def others_than_reference(results, tolerance):
    """Arms whose outputs are not the plain reference's, by name, with the difference."""
    return [
        f"{r['job']}: {r['arm']} {r['logits_difference']} of {r['logits_size']}"
        for r in results
        if not r.get("logits_difference", 0) < tolerance
    ]


def table(results, job):
    """A Markdown table of one job's results, times over the reference's."""
    base = next((r for r in results if r["arm"] == "reference" and "median_s" in r), None)
    # Of texts: those that are generated, or those that are read.
    tokens = job.batch * (job.new_tokens or job.length or 0)
    on_device = any("mfu" in r for r in results)
    columns = (*COLUMNS, *(("device MB", "MFU") if on_device else ()))
    rows = [columns, ["---"] * len(columns)]
    for r in results:
        if "median_s" not in r:
            why = r.get("left_out") or "failed: " + r["failed"].splitlines()[0]
            rows.append([r["arm"], why, *[""] * (len(columns) - 2)])
            continue
        ratios = [
            f"{r[key] / base[key]:.2f}" if base else "-"
            for key in ("median_s", "min_s", "cpu_min_s")
        ]
        flops = r["flops"] or r["formula_executed_flops"]
        rows.append(
            [
                r["arm"],
                f"{r['median_s']:.4f}",
                f"{r['min_s']:.4f}",
                *ratios,
                job.aims.get(r["arm"], ""),
                f"{r['first_s']:.1f}",
                f"{r['compile_s']:.1f}" if r.get("compile_s") else "-",
                job.compile_aims.get(r["arm"], ""),
                f"{r['peak_mb']:.0f}",
                f"{r['peak_over_built_mb']:.0f}",
                f"{flops / 1e9:.1f}" if flops else "-",
                f"{tokens / r['median_s']:.1f}" if tokens else "-",
                *([f"{r['device_mb']:.0f}", f"{r['mfu']:.1%}"] if on_device else []),
            ]
        )
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def add_mfu(results, peak_tflops):
    """Model-FLOPs utilisation: the papers' FLOPs of a step, over time and the peak."""
    counted = [r["formula_flops"] for r in results if r.get("formula_flops")]
    for r in results:
        if counted and "median_s" in r:
            r["mfu"] = counted[0] / r["median_s"] / (peak_tflops * 1e12)


def main(benchmark, rounds=15, warmup=2, steps=1, peak_tflops=None):
    """The command line of the benchmark in the module named `benchmark`.

    Args:
        benchmark: name of the module.
        rounds: default of the timed steps.
        warmup: default of the steps before them.
        steps: of training that a timed step of an arm is made of.
        peak_tflops: default of what the device can do; None for no such option.
    """
    module = importlib.import_module(benchmark)
    jobs, names = [job.name for job in module.JOBS], list(arms(benchmark))
    parser = argparse.ArgumentParser(description=module.__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=jobs, default=jobs)
    parser.add_argument("--arms", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="timed steps of each arm"
    )
    parser.add_argument(
        "--warmup", type=int, default=warmup, help="untimed steps before them"
    )
    parser.add_argument("--compile-timeout", type=float, default=300, help="first step, s")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a smoke test")
    parser.add_argument("--out", help="append JSON lines to this file, not to stdout")
    if peak_tflops:
        parser.add_argument(
            "--peak_tflops", type=float, default=peak_tflops, help="of the device"
        )
    options = parser.parse_args()
    others = []
    for name in options.jobs:
        job = get_job(benchmark, name, options.quick)
        results = run(benchmark, job, options.arms, options)
        for result in results:
            result |= {key: result[key] / steps for key in TIMES if key in result}
        if peak_tflops:
            add_mfu(results, options.peak_tflops)
        lines = "".join(json.dumps(result) + "\n" for result in results)
        if options.out:
            with open(options.out, "a") as file:
                file.write(lines)
        else:
            print(lines, end="")
        print(f"\n{name}\n\n{table(results, job)}", flush=True)
        others += others_than_reference(results, job.tolerance)
    if others:
        raise SystemExit("other outputs than the reference's: " + "; ".join(others))
