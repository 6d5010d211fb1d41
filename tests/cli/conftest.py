"""What tests of the command line share."""

import pytest

import keras_perceiver as kp
from keras_perceiver.cli import main


@pytest.fixture
def built(monkeypatch):
    """What `fit` builds, which stops before it trains."""
    from keras_perceiver.cli.task import Task

    class Stop(Exception):
        pass

    models = []

    def build(*args, **kwargs):
        models.append(original(*args, **kwargs))
        raise Stop

    original = Task.build
    monkeypatch.setattr(Task, "build", build)

    def fit(argv):
        with pytest.raises(Stop):
            main(argv)
        return models[-1]

    return fit


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Options of a small corpus of text files."""
    files = tmp_path_factory.mktemp("corpus")
    for i, text in enumerate(kp.data.topics().train[:3]):
        (files / f"{i}.txt").write_text(text[:3000])
    return [
        "--data=text_files",
        f"--data.path={files}",
        "--data.documents=paragraph",
        "--data.test_fraction=0.3",
    ]
