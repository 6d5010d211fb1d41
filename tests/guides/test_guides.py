"""Guides run in their small mode, on every backend, and draw what they say."""

import pathlib

import pytest

GUIDES = pathlib.Path(__file__).parents[2] / "guides"
# What a guide prints at its end, and the files that it leaves in runs/<guide>.
EXPECTED = {
    "quickstart": ("held-out accuracy", ["attention.png", "mistakes.png", "preset"]),
    "compose_your_own_modality": ("shuffled: logits change by", ["attention.png"]),
    "generation": ("exact: the first", ["policies.png", "preset"]),
    "multimodal": ("label from image:", ["reconstructions.png"]),
    "scaling": ("for context: Hoffmann", ["isoflop.png", "power_law.png"]),
    "optical_flow": ("end-point error", ["frames.png", "held_out.png", "film.mp4"]),
    "text": ("held-out accuracy: pretrained", ["classifier"]),
}
# Tests of theirs run them in full.
OWN_FILES = ("copy_task", "distribution", "notes", "permuted_pixels", "point_clouds")


@pytest.mark.one_backend
def test_every_guide_is_run():
    guides = {path.stem for path in GUIDES.glob("*.py")}
    assert guides == {*EXPECTED, *OWN_FILES}


@pytest.mark.one_backend
@pytest.mark.parametrize("name", EXPECTED)
def test_guide_runs(name, run_guide):
    _, printed, folder = run_guide(name)
    expected, files = EXPECTED[name]
    assert expected in printed
    for file in files:
        assert (folder / file).exists(), file


@pytest.mark.one_backend
@pytest.mark.parametrize("name", [*EXPECTED, *OWN_FILES])
def test_guide_becomes_a_notebook(name):
    import jupytext

    notebook = jupytext.read(GUIDES / f"{name}.py")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert kinds.count("code") >= 5
