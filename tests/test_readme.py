"""The README: its Python runs as printed, its table of letters is the package's."""

import ast
import pathlib
import re

import pytest

import keras_perceiver as kp

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def table(text, header):
    """Rows of the Markdown table that starts with `header`."""
    start = text.index(header)
    return re.match(r"(?:\|.*\n?)+", text[start:])[0].split("\n\n")[0].strip().splitlines()


def test_there_is_a_block_for_each_level():
    for level in ("kp.presets", "kp.models", "kp.layers"):
        assert any(level in block for block in BLOCKS), level


@pytest.mark.parametrize(
    "block", BLOCKS, ids=lambda block: block.split("kp.")[1].split(".")[0]
)
def test_python_runs_as_printed(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.one_backend
def test_letters_are_those_of_the_layers():
    header = "| letter | meaning | argument |"
    assert table(README, header) == table(kp.layers.__doc__, header)


@pytest.mark.one_backend
def test_every_public_layer_is_listed():
    layers = set(re.findall(r"`(\w+)`", "\n".join(table(README, "| layer | what it is |"))))
    assert layers == {name for name in kp.layers.__all__ if not name.endswith("Spec")}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_what_the_documents_point_to_exists(name):
    text = (ROOT / name).read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    paths = re.findall(r"`((?:tests|guides|examples|benchmarks)/[\w/.]+)`", text)
    missing = [path for path in links + paths if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.one_backend
def test_commands_exist():
    """Each `keras-perceiver` command, and each target of `make`."""
    from keras_perceiver.cli import COMMANDS

    commands = re.findall(r"^keras-perceiver (\S+)", README, re.M)
    assert set(commands) == set(COMMANDS)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`|=\w+ )make (\w+)", README, re.M))
    assert {"demo", "test"} <= targets
    assert [t for t in sorted(targets) if not re.search(rf"^{t}:", makefile, re.M)] == []


@pytest.mark.one_backend
def test_the_mnist_command_is_the_published_model(capsys):
    """The options written out are those of guides/configs/mnist.yaml."""
    import yaml

    from keras_perceiver.cli import main

    command = next(
        block
        for block in re.findall(r"```shell\n(.*?)```", README, re.S)
        if "--data=tfds" in block
    )
    argv = re.sub(r"\\\n", " ", command).split()[1:]

    def printed(argv):
        with pytest.raises(SystemExit):  # as jsonargparse leaves
            main([*argv, "--print_config"])
        return yaml.safe_load(capsys.readouterr().out)

    written = printed(argv)
    config = [
        "fit",
        "image-classifier",
        "--config",
        str(ROOT / "guides/configs/mnist.yaml"),
    ]
    expected = printed(config)
    # One takes the architecture from a preset, the other the image shape from the data.
    assert expected["model"].pop("preset") == "perceiver_io_mnist"
    assert expected["model"]["encoder"].pop("image_shape") == [28, 28, 1]
    assert written["model"].pop("preset") is None
    assert written["model"]["encoder"].pop("image_shape") is None
    assert written == expected


@pytest.mark.one_backend
def test_the_guides_are_python_that_says_what_to_expect():
    guides = sorted((ROOT / "guides").glob("*.py"))
    assert guides
    for guide in guides:
        text = guide.read_text()
        ast.parse(text)
        assert text.startswith("# %% [markdown]\n# # "), guide.name
        header = text.split("# %%\n")[0]
        assert "Expected: " in header, guide.name
        assert "Time: " in header, guide.name
        assert f"guides/{guide.name}" in README, guide.name
