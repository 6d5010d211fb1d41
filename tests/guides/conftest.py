import pathlib
import runpy

import pytest

GUIDES = pathlib.Path(__file__).parents[2] / "guides"


@pytest.fixture
def run_guide(tmp_path, monkeypatch, capsys):
    """Runs the guide of a name: its variables, what it printed, and its folder of files."""

    def run(name, fast="1"):
        monkeypatch.setenv("KERAS_PERCEIVER_FAST", fast)
        monkeypatch.chdir(tmp_path)
        variables = runpy.run_path(str(GUIDES / f"{name}.py"))
        return variables, capsys.readouterr().out, tmp_path / "runs" / name

    return run
