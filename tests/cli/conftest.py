"""What tests of the command line share."""

import pytest

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
