"""Notes by name, from the wave and from a mel spectrogram."""

import pathlib
import runpy

import pytest

GUIDE = pathlib.Path(__file__).parents[2] / "guides/notes.py"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "fast",
    [pytest.param("1", id="small"), pytest.param("0", id="full", marks=pytest.mark.slow)],
)
def test_notes_are_named(fast, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_PERCEIVER_FAST", fast)
    monkeypatch.chdir(tmp_path)
    guide = runpy.run_path(str(GUIDE))
    printed = capsys.readouterr().out
    assert len(guide["accuracy"]) == 2
    for name, accuracy in guide["accuracy"].items():
        assert f"{name}: held-out accuracy {accuracy:.1%}" in printed
        assert fast == "1" or accuracy >= 0.95
    for file in ("notes.png", "note.wav"):
        assert (tmp_path / "runs/notes" / file).exists()
