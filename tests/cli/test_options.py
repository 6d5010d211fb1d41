"""The surface of the command line, frozen: what `fit TASK --print_config` shows.

Where a change is meant, write the files anew: `python tests/cli/test_options.py`.
"""

import contextlib
import io
import pathlib

import pytest

from keras_perceiver.cli import main, tasks

FOLDER = pathlib.Path(__file__).parent / "options"


def printed(task):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main(["fit", task, "--print_config"])
    return out.getvalue()


@pytest.mark.one_backend
@pytest.mark.parametrize("task", tasks.names())
def test_options_and_defaults_are_those_that_were_promised(task):
    assert printed(task) == (FOLDER / f"{task}.yaml").read_text()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for task in tasks.names():
        (FOLDER / f"{task}.yaml").write_text(printed(task))
