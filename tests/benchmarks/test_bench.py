"""The benchmarks run end to end on tiny models. Their times mean nothing here."""

import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.one_backend
BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
JOBS = {
    "bench_flow": ("flow_forward",),
    "bench_generation": ("causal_step", "generate_64_batch_4", "generate_64_uncached"),
    "bench_image": ("imagenet_forward", "mnist_step"),
    "bench_text": (
        "language_forward",
        "language_small_step",
        "language_small_step_at_masks",
    ),
}
FIELDS = {
    "job",
    "arm",
    "parameters",
    "first_s",
    "n",
    "median_s",
    "min_s",
    "cpu_min_s",
    "peak_mb",
    "peak_over_built_mb",
    "peak_with_first_mb",
    "flops",
}


def run(benchmark, path, *arguments):
    script = BENCHMARKS / f"{benchmark}.py"
    return subprocess.run(
        [sys.executable, script, "--quick", "--out", path, *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_every_benchmark_is_tested():
    benchmarks = {path.stem for path in BENCHMARKS.glob("bench_*.py")}
    assert benchmarks == {*JOBS, "bench_device", "bench_fit", "bench_input"}


@pytest.mark.slow
def test_fit_is_timed_beside_its_step(tmp_path):
    out = tmp_path / "results.jsonl"
    run("bench_fit", out, "--backends", "torch")
    steps, command = (json.loads(line) for line in out.read_text().splitlines())
    assert set(steps["ratio"]) == {"fit", "resumable_fit"}
    assert min(steps["steps_per_s"].values()) > 0
    assert command["command_to_first_step_s"] > 0


@pytest.mark.parametrize("benchmark", JOBS)
def test_one_json_line_a_result_and_a_table(benchmark, tmp_path):
    out = tmp_path / "results.jsonl"
    arms = ("reference", "ours_torch")
    options = ("--rounds", "2", "--warmup", "1", "--jobs", *JOBS[benchmark])
    printed = run(benchmark, out, "--arms", *arms, *options)
    results = [json.loads(line) for line in out.read_text().splitlines()]
    expected = [(job, arm) for job in JOBS[benchmark] for arm in arms]
    assert [(r["job"], r["arm"]) for r in results] == expected
    for r in results:
        assert set(r) >= FIELDS, r
        assert r["n"] == 2
        assert r["flops"] > 0
        assert 0 < r["min_s"] <= r["median_s"] <= r["max_s"]
        assert r["compile_s"] is None  # PyTorch compiles nothing
    for theirs, ours in zip(results[::2], results[1::2], strict=True):
        assert theirs["parameters"] == ours["parameters"]
        # The same maths on the same weights, and never more of it.
        assert ours["logits_difference"] < 1e-4 * max(1, ours["logits_size"])
        if ours["formula_flops"]:
            assert ours["formula_executed_flops"] <= ours["formula_flops"]
        if ours["job"].endswith("at_masks"):
            assert ours["flops"] < theirs["flops"]
    assert printed.count("| reference |") == len(JOBS[benchmark])


@pytest.mark.slow
def test_input_is_timed_alone_and_in_training(tmp_path):
    out = tmp_path / "results.jsonl"
    arms = ("none", "1 worker")
    printed = run("bench_input", out, "--jobs", "events", "--arms", *arms)
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["job"], r["arm"]) for r in results] == [("events", arm) for arm in arms]
    for r in results:
        assert r["batches_per_s"] > 0 and r["step_s"] > 0 and r["first_s"] > 0
        assert 0 < r["wait_share"] < 1
    assert printed.count("| 1 worker |") == 1


def test_the_time_that_next_takes_is_noted(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench_input

    seconds = iter([1, 3, 6, 10])  # asked for, came, asked for, came
    monkeypatch.setattr(bench_input.time, "perf_counter", lambda: next(seconds))
    waits = []
    batches = bench_input.timed(iter("ab"), waits)
    assert [next(batches), next(batches)] == ["a", "b"] and waits == [2, 4]


def test_utilisation_is_of_the_given_peak(tmp_path):
    """On a CPU, tiny: the same function in bfloat16, and a share of a peak of 1 GFLOP/s."""
    out = tmp_path / "results.jsonl"
    arms = ("--arms", "reference", "transformers", "ours_torch")
    options = ("--rounds", "1", "--warmup", "0", "--peak_tflops", "0.001")
    printed = run("bench_device", out, "--jobs", "causal_small_step", *arms, *options)
    theirs, other, ours = map(json.loads, out.read_text().splitlines())
    assert "no Perceiver AR" in other["left_out"]
    for r in (theirs, ours):
        assert r["mfu"] == pytest.approx(ours["formula_flops"] / r["median_s"] / 1e9)
    assert ours["logits_difference"] < 0.02 * ours["logits_size"]
    assert printed.count("| MFU |") == 1


def test_an_arm_that_fails_is_reported_and_the_others_go_on(tmp_path):
    out = tmp_path / "results.jsonl"
    # No time for the first step at all.
    arguments = ("--jobs", "mnist_step", "--arms", "reference", "--compile-timeout", "0")
    run("bench_image", out, *arguments)
    first = json.loads(out.read_text())
    assert "no answer to 'first'" in first["failed"]
    assert "median_s" not in first


def test_a_peer_that_cannot_do_the_job_is_named_with_the_reason(tmp_path):
    out = tmp_path / "results.jsonl"
    arguments = ("--jobs", "language_small_step", "--arms", "transformers")
    printed = run("bench_text", out, *arguments)
    (result,) = map(json.loads, out.read_text().splitlines())
    assert "one cross-attention" in result["left_out"]
    assert f"| transformers | {result['left_out']} |" in printed


def test_a_reference_that_computes_something_else_is_named(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import compare

    class Workers:
        def ask(self, do, **request):
            return {"difference": float("nan"), "size": 1.0} if do == "compare" else {}

    workers = {"reference": Workers(), "ours_jax": Workers()}
    results = {"ours_jax": {"job": "job", "arm": "ours_jax"}}
    compare.compare_functions(workers, results)
    found = compare.others_than_reference(results.values(), 1e-4)
    assert found == ["job: ours_jax nan of 1.0"]


def test_what_jax_compiles_is_timed(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import jax

    import worker

    seconds = worker.seconds_of_compiling()
    jax.jit(lambda x: x * 3 + 1)(2.0)
    assert sum(seconds) > 0
