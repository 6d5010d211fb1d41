"""The benchmark runs end to end on tiny models. Its times mean nothing here."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "bench_image.py"
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


def run(path, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--out", path, *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.one_backend
def test_one_json_line_a_result_and_a_table(tmp_path):
    out = tmp_path / "results.jsonl"
    arms = ("reference", "ours_torch")
    printed = run(out, "--arms", *arms, "--rounds", "2", "--warmup", "1")
    results = [json.loads(line) for line in out.read_text().splitlines()]
    expected = [(job, arm) for job in ("imagenet_forward", "mnist_step") for arm in arms]
    assert [(r["job"], r["arm"]) for r in results] == expected
    for r in results:
        assert set(r) >= FIELDS, r
        assert r["n"] == 2
        assert r["flops"] > 0
        assert 0 < r["min_s"] <= r["median_s"] <= r["max_s"]
    for theirs, ours in (results[:2], results[2:]):
        assert theirs["parameters"] == ours["parameters"]
        assert ours["logits_difference"] < 1e-4 * max(1, ours["logits_size"])
        assert ours["formula_executed_flops"] <= ours["formula_flops"]
    assert printed.count("| reference |") == 2


@pytest.mark.one_backend
def test_an_arm_that_fails_is_reported_and_the_others_go_on(tmp_path):
    out = tmp_path / "results.jsonl"
    # No time for the first step at all.
    run(out, "--jobs", "mnist_step", "--arms", "reference", "--compile-timeout", "0")
    first = json.loads(out.read_text())
    assert "no answer to 'first'" in first["failed"]
    assert "median_s" not in first
