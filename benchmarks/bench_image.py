"""Speed and memory of the image classifier, against its peers, in one run.

    python benchmarks/bench_image.py --out results.jsonl

Each arm has a process of its own; all stay alive, and the parent asks each in turn
for one step. One JSON line a result, then a table of times over the plain PyTorch
reference's. That the reference computes the same function as ours is checked first.
"""

import argparse
import json
import sys
import tempfile

import arms
import harness

TOLERANCE = 1e-4  # of logits, absolute
COLUMNS = (
    "arm",
    "median s",
    "min s",
    "ratio of medians",
    "of minima",
    "of CPU minima",
    "first step s",
    "peak MB",
    "over built",
    "GFLOP",
)


def run(job, names, options):
    """Results of the arms called `names` on one job, a list of dictionaries."""
    results, workers = {}, {}
    try:
        for name in names:
            result = results[name] = {"job": job, "arm": name}
            worker = harness.Worker(name, arms.environment(name))
            try:
                result |= worker.ask("build", job=job, arm=name, quick=options.quick)
                result |= worker.ask("first", timeout=options.compile_timeout)
            except harness.WorkerFailed as failure:
                result["failed"] = str(failure)
                print(failure, file=sys.stderr)
                continue
            workers[name] = worker
            print(f"{job}: {name} after {result['first_s']:.2f} s", file=sys.stderr)
        times = harness.measure(list(workers.values()), options.rounds, options.warmup)
        for name, worker in workers.items():
            results[name] |= times[worker] | worker.ask("memory")
            print(f"{name}: {results[name]['median_s']:.4f} s", file=sys.stderr)
        # Only now: counting and comparing change weights, threads and memory.
        for name, worker in workers.items():
            results[name] |= worker.ask("flops")
        check_same_function(workers, results)
    finally:
        for worker in workers.values():
            worker.close()
    return list(results.values())


def check_same_function(workers, results):
    """Our weights in the plain reference must give our logits."""
    if "reference" not in workers:
        return
    for name in arms.OURS:
        if name not in workers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/weights.npz"
            workers[name].ask("save", path=path)
            answer = workers["reference"].ask("compare", path=path)
        results[name]["logits_difference"] = answer["difference"]
        results[name]["logits_size"] = answer["size"]
        if not answer["difference"] < TOLERANCE:
            raise SystemExit(f"{name} and the reference compute other logits: {answer}")


def table(results):
    """A Markdown table of one job's results, times over the reference's."""
    base = next((r for r in results if r["arm"] == "reference" and "median_s" in r), None)
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    for r in results:
        if "failed" in r:
            lines.append(
                f"| {r['arm']} | failed: {r['failed'].splitlines()[0]} |" + " |" * 8
            )
            continue
        ratios = [
            f"{r[key] / base[key]:.2f}" if base else "-"
            for key in ("median_s", "min_s", "cpu_min_s")
        ]
        flops = r["flops"] or r["formula_executed_flops"]
        cells = [
            r["arm"],
            f"{r['median_s']:.4f}",
            f"{r['min_s']:.4f}",
            *ratios,
            f"{r['first_s']:.1f}",
            f"{r['peak_mb']:.0f}",
            f"{r['peak_over_built_mb']:.0f}",
            f"{flops / 1e9:.1f}" if flops else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = ("imagenet_forward", "mnist_step")
    parser.add_argument("--jobs", nargs="+", choices=jobs, default=jobs)
    parser.add_argument("--arms", nargs="+", choices=arms.ARMS, default=arms.ARMS)
    parser.add_argument("--rounds", type=int, default=15, help="timed steps of each arm")
    parser.add_argument("--warmup", type=int, default=2, help="untimed steps before them")
    parser.add_argument("--compile-timeout", type=float, default=300, help="first step, s")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a smoke test")
    parser.add_argument("--out", help="append JSON lines to this file, not to stdout")
    options = parser.parse_args(arguments)
    for job in options.jobs:
        results = run(job, options.arms, options)
        lines = "".join(json.dumps(result) + "\n" for result in results)
        if options.out:
            with open(options.out, "a") as file:
                file.write(lines)
        else:
            print(lines, end="")
        print(f"\n{job}\n\n{table(results)}", flush=True)


if __name__ == "__main__":
    main()
