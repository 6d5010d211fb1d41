"""R2: a Perceiver does not mind one fixed permutation of the pixels; a CNN does."""

import pytest


@pytest.mark.one_backend(on="tensorflow")
@pytest.mark.slow(on=None)
def test_a_fixed_permutation_does_not_matter(run_guide):
    guide, printed, folder = run_guide("permuted_pixels", fast="0")
    accuracy = guide["accuracy"]
    ours, control = "Perceiver, Fourier positions", "small CNN"
    in_place, permuted = accuracy[ours, "in place"], accuracy[ours, "permuted"]
    # 360 held-out digits: the standard error is about 1 point.
    assert in_place >= 0.94
    assert permuted >= 0.94
    assert abs(in_place - permuted) <= 0.025
    assert accuracy[control, "in place"] - accuracy[control, "permuted"] >= 0.02
    # Positions are what it knows the pixels by.
    assert accuracy["Perceiver, no positions", "in place"] <= 0.40
    assert f"| {ours} | {in_place:.1%} | {permuted:.1%} |" in printed
    for picture in ("digits.png", "accuracy.png"):
        assert (folder / picture).exists()
