"""Notes by name, from the wave and from a mel spectrogram."""

import pytest


@pytest.mark.one_backend(on="tensorflow")
@pytest.mark.parametrize(
    "fast",
    [
        pytest.param("1", id="small"),
        pytest.param("0", id="full", marks=pytest.mark.slow(on=None)),
    ],
)
def test_notes_are_named(fast, run_guide):
    guide, printed, folder = run_guide("notes", fast)
    assert len(guide["accuracy"]) == 2
    for name, accuracy in guide["accuracy"].items():
        assert f"{name}: held-out accuracy {accuracy:.1%}" in printed
        assert fast == "1" or accuracy >= 0.95
    for file in ("notes.png", "note.wav"):
        assert (folder / file).exists()
