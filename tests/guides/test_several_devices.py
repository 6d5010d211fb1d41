"""guides/distribution.py: several devices print the losses of one, on every backend."""

import pathlib
import re
import runpy

import keras
import pytest

GUIDE = pathlib.Path(__file__).parents[2] / "guides" / "distribution.py"
WAYS = {
    "jax": ["one device", "data", "fully_sharded, two processes"],
    "tensorflow": ["one device", "mirrored"],
    "torch": [],
}


@pytest.mark.slow(on="jax")
def test_losses_are_those_of_one_device(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_PERCEIVER_FAST", "1")
    monkeypatch.setenv("PYTHONPATH", str(GUIDE.parents[1]))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(GUIDE))
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (.+) \| (\d\S+) \| .+ \| (.+)% \| .+ \|$", printed, re.M)
    backend = keras.backend.backend()
    assert [way for way, _, _ in rows] == WAYS[backend]
    for _, loss, accuracy in rows:
        assert float(loss) == pytest.approx(float(rows[0][1]), abs=2e-5)
        assert accuracy == rows[0][2]
    assert ("PyTorch has one device" in printed) == (backend == "torch")
