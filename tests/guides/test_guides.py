"""Every guide runs in its small mode, on every backend, and draws what it says."""

import pathlib
import runpy

import keras
import pytest

GUIDES = pathlib.Path(__file__).parents[2] / "guides"
# What a guide prints at its end, and the files that it leaves in runs/<guide>.
EXPECTED = {
    "quickstart": ("held-out accuracy", ["attention.png", "mistakes.png", "preset"]),
    "compose_your_own_modality": ("shuffled: logits change by", ["attention.png"]),
    "permuted_pixels": (
        "| Perceiver, Fourier positions |",
        ["digits.png", "accuracy.png"],
    ),
}
# On TensorFlow, test_permuted_pixels.py runs that one whole.
WHOLE = {"permuted_pixels"} if keras.backend.backend() == "tensorflow" else set()


@pytest.mark.one_backend
def test_every_guide_is_run():
    assert {path.stem for path in GUIDES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - WHOLE))
def test_guide_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_PERCEIVER_FAST", "1")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(GUIDES / f"{name}.py"))
    printed, files = EXPECTED[name]
    assert printed in capsys.readouterr().out
    for file in files:
        assert (tmp_path / "runs" / name / file).exists(), file


@pytest.mark.one_backend
@pytest.mark.parametrize("name", EXPECTED)
def test_guide_becomes_a_notebook(name):
    import jupytext

    notebook = jupytext.read(GUIDES / f"{name}.py")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert kinds.count("code") >= 5
