"""`keras-perceiver export` of models that generate."""

import re

import pytest

import tiny_ar
from keras_perceiver import presets
from keras_perceiver.cli import main, use

pytestmark = pytest.mark.one_backend(on="tensorflow")


@pytest.fixture
def written(monkeypatch):
    """What `saved_model` was asked for; `tests/export` has what it writes."""
    calls = []
    monkeypatch.setattr(
        use.formats, "saved_model", lambda *args, **options: calls.append((args, options))
    )
    return calls


def test_only_what_is_said_is_passed_on(tmp_path, written):
    presets.save(tiny_ar.shared_lm(), tmp_path / "preset")
    command = ["export", str(tmp_path / "preset"), f"--output={tmp_path / 'out'}"]
    chosen = {"num_latents": 3, "sampler": "greedy", "stop_ids": [5, 7]}
    assert main([*command, *(f"--{name}={value}" for name, value in chosen.items())]) == 0
    assert main(command) == 0
    (args, options), (_, none) = written
    assert args[0].max_latents == tiny_ar.MAX_LATENTS
    assert args[1] == str(tmp_path / "out")
    assert options == chosen and none == {}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["digits", "--sampler=greedy"], "Only models that generate have options"),
        (["digits", "--num_latents=few"], "--num_latents: .*few"),
        (["digits", "--temperature=2"], "--temperature=2"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, options, match, capsys):
    assert main(["export", *options, f"--output={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert re.search(match, error) and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
