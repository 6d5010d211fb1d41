import pathlib
import shutil

import numpy as np
import pytest

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def frozen():
    """A preset that version 0.1.0 wrote, with inputs and logits: never rewrite it."""
    return FIXTURES / "preset_v0_1", np.load(FIXTURES / "preset_v0_1.npz")


@pytest.fixture
def preset(tmp_path, frozen):
    """A copy of it to spoil."""
    return pathlib.Path(shutil.copytree(frozen[0], tmp_path / "preset"))
