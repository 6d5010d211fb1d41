"""R10: digits as sets of points, read whatever their order and padding."""

import pathlib
import runpy

import pytest

GUIDE = pathlib.Path(__file__).parents[2] / "guides/point_clouds.py"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "fast",
    [pytest.param("1", id="small"), pytest.param("0", id="full", marks=pytest.mark.slow)],
)
def test_sets_of_points_are_read(fast, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_PERCEIVER_FAST", fast)
    monkeypatch.chdir(tmp_path)
    guide = runpy.run_path(str(GUIDE))
    assert len(guide["changes"]) == 2
    assert max(guide["changes"].values()) <= 1e-5 * max(1, abs(guide["expected"]).max())
    assert f"held-out accuracy: {guide['accuracy']:.1%}" in capsys.readouterr().out
    assert (tmp_path / "runs/point_clouds/points.png").exists()
    if fast == "0":
        assert guide["accuracy"] >= 0.95
        assert guide["found"][5] >= 0.75  # half of the points
