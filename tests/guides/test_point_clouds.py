"""R10: digits as sets of points, read whatever their order and padding."""

import pytest


@pytest.mark.one_backend(on="tensorflow")
@pytest.mark.parametrize(
    "fast",
    [
        pytest.param("1", id="small"),
        pytest.param("0", id="full", marks=pytest.mark.slow(on=None)),
    ],
)
def test_sets_of_points_are_read(fast, run_guide):
    guide, printed, folder = run_guide("point_clouds", fast)
    assert len(guide["changes"]) == 2
    assert max(guide["changes"].values()) <= 1e-5 * max(1, abs(guide["expected"]).max())
    assert f"held-out accuracy: {guide['accuracy']:.1%}" in printed
    assert (folder / "points.png").exists()
    if fast == "0":
        assert guide["accuracy"] >= 0.95
        assert guide["found"][5] >= 0.75  # half of the points
