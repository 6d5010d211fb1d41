"""R2: a Perceiver does not mind one fixed permutation of the pixels; a CNN does."""

import pathlib
import runpy

import pytest

GUIDE = pathlib.Path(__file__).parents[2] / "guides/permuted_pixels.py"


@pytest.mark.one_backend
@pytest.mark.slow
def test_a_fixed_permutation_does_not_matter(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KERAS_PERCEIVER_FAST", raising=False)
    monkeypatch.chdir(tmp_path)
    accuracy = runpy.run_path(str(GUIDE))["accuracy"]
    ours, control = "Perceiver, Fourier positions", "small CNN"
    in_place, permuted = accuracy[ours, "in place"], accuracy[ours, "permuted"]
    # 360 held-out digits: the standard error is about 1 point.
    assert in_place >= 0.94
    assert permuted >= 0.94
    assert abs(in_place - permuted) <= 0.025
    assert accuracy[control, "in place"] - accuracy[control, "permuted"] >= 0.02
    # Positions are what it knows the pixels by.
    assert accuracy["Perceiver, no positions", "in place"] <= 0.40
    assert f"| {ours} | {in_place:.1%} | {permuted:.1%} |" in capsys.readouterr().out
    for picture in ("digits.png", "accuracy.png"):
        assert (tmp_path / "runs/permuted_pixels" / picture).exists()
