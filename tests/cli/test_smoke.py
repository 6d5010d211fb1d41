"""Each training example in `guides/configs`, with `--smoke`: a minute, no download."""

import os
import pathlib

import keras
import pytest

import keras_perceiver as kp
from command_line import run

CONFIGS = pathlib.Path(__file__).parents[2] / "guides" / "configs"
TASKS = {
    "audio-classifier": ("notes",),
    "image-classifier": ("digits", "imagenet", "mnist", "mnist_small"),
    "masked-lm": ("masked_lm_imdb", "masked_lm_small", "topics_masked_lm"),
    "multimodal-autoencoder": ("digit_tones",),
    "point-classifier": ("point_digits",),
    "text-classifier": (
        "text_classifier_imdb",
        "text_classifier_small",
        "topics_classifier",
    ),
    "causal-lm": ("causal_lm_c4", "causal_lm_small", "documentation_lm"),
    "symbolic-audio": ("giantmidi", "maestro"),
    "optical-flow": ("moved_photographs",),
}


@pytest.mark.one_backend
def test_each_config_is_tried():
    names = {name for names in TASKS.values() for name in names}
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == names


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="the data and options are the same on all backends; this one compiles nothing",
)
@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task, names in TASKS.items() for name in names]
)
def test_smoke(task, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = run(["fit", task, "--config", CONFIGS / f"{name}.yaml", "--smoke"])
    assert "held-out" in printed
    (folder,) = (
        path for path in pathlib.Path("runs").iterdir() if (path / "preset").is_dir()
    )
    assert folder.name.endswith("-smoke")
    assert kp.presets.load(folder / "preset").count_params() < 100_000
    assert os.listdir() == ["runs"]  # nothing is cached, downloaded or left elsewhere
