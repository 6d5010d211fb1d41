"""The command line: what it writes, and how it refuses."""

import argparse
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from command_line import EVERY_RUN, TINY, assert_refused, files
from keras_perceiver.cli import main, optimizers

FIT = ["fit", "image-classifier"]
FAST = [
    *TINY,
    "--epochs=1",
    "--batch_size=256",
    "--verbose=0",
]
IS_TORCH = keras.backend.backend() == "torch"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder."""
    folder = tmp_path_factory.mktemp("run")
    options = [
        "--data=digits",
        "--data.seed=3",
        "--optimizer=SGD",
        "--optimizer.momentum=0.5",
        "--lr_schedule.warmup_steps=2",
        "--augmentation.shift=1",
        "--model.encoder.self_attention.num_heads=4",
    ]
    assert main([*FIT, *FAST, *options, f"--output={folder}"]) == 0
    return folder


def test_a_run_folder_holds_everything(run):
    expected = EVERY_RUN | {"attention_maps.png"}
    assert files(run) == expected | (set() if IS_TORCH else {"saved_model"})
    model = kp.presets.load(run / "preset")
    encoder = model.encoder.get_layer("encoder")
    assert encoder.self_attention.num_heads == 4 and encoder.latent_channels == 8
    assert model.preprocessor.labels == [str(i) for i in range(10)]
    header, epoch = (run / "history.csv").read_text().split()
    assert "val_accuracy" in header and epoch.startswith("0,")


@pytest.mark.one_backend
def test_the_saved_config_reproduces_the_run(run, tmp_path):
    options = [f"--config={run / 'config.yaml'}", f"--output={tmp_path / 'again'}"]
    assert main([*FIT, *options]) == 0
    again = kp.presets.load(tmp_path / "again" / "preset")
    for ours, theirs in zip(
        kp.presets.load(run / "preset").get_weights(), again.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    text = (run / "config.yaml").read_text()
    assert "class_path: keras.optimizers.SGD" in text and "class_path: digits" in text


def test_evaluate_uses_the_runs_own_held_out_data(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    own = capsys.readouterr().out
    assert main(["evaluate", str(run), "--data=digits", "--data.seed=3"]) == 0
    assert capsys.readouterr().out == own
    assert main(["evaluate", str(run / "best_preset")]) == 0  # of the only epoch
    assert capsys.readouterr().out == own
    assert "on 360 images" in own


def test_predict_prints_a_line_an_image(run, tmp_path, capsys):
    from PIL import Image

    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path in paths:
        Image.fromarray(np.zeros((20, 30), "uint8")).save(path)
    assert main(["predict", *paths, f"--model={run}", "--top_k=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == paths
    assert [line.count("%)") for line in lines] == [2, 2]


def test_export_or_the_way_round(run, tmp_path, capsys):
    output = tmp_path / "saved"
    code = main(["export", str(run), f"--output={output}"])
    if IS_TORCH:
        assert code == 2 and not output.exists()
        assert "KERAS_BACKEND=tensorflow" in capsys.readouterr().err
    else:
        assert code == 0 and (output / "saved_model.pb").exists()


@pytest.mark.one_backend
def test_fit_starts_from_a_preset_and_from_a_run(run, tmp_path):
    first, second = tmp_path / "architecture", tmp_path / "weights"
    options = [f"--model.preset={run}", "--epochs=1", "--batch_size=256", "--verbose=0"]
    assert main([*FIT, *options, f"--output={first}", "--model.encoder.num_latents=3"]) == 0
    encoder = kp.presets.load(first / "preset").encoder
    assert encoder.output_shape == (None, 3, 8)  # an option overrides the preset's
    frozen = ["--model.load_weights=true", "--optimizer=SGD", "--optimizer.learning_rate=0"]
    assert main([*FIT, *options, *frozen, f"--output={second}"]) == 0
    for ours, theirs in zip(
        kp.presets.load(run / "preset").get_weights(),
        kp.presets.load(second / "preset").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "parameters"), [("mnist", 907_212), ("mnist_small", 805_035)]
)
def test_mnist_configs_are_the_published_models(name, parameters, tmp_path, built):
    config = f"--config={kp.__path__[0]}/../guides/configs/{name}.yaml"
    shape = ["--data=digits", "--model.encoder.image_shape=[28,28,1]"]
    model = built([*FIT, config, *shape, f"--output={tmp_path}/run"])
    assert model.count_params() == parameters


@pytest.mark.one_backend
def test_print_config_shows_a_presets_architecture(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*FIT, "--model.preset=perceiver_io_mnist", "--print_config"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "num_latents: 32" in text and "dropout: 0.1" in text and "AdamW" in text


@pytest.mark.one_backend
@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_may_have_its_defaults(name):
    """Muon's `muon_b` is -4.775."""
    config = getattr(keras.optimizers, name)(learning_rate=0.1).get_config()
    known = optimizers.defaults(name)
    values = argparse.Namespace(**{k: v for k, v in config.items() if k in known})
    options = argparse.Namespace(class_path=f"keras.optimizers.{name}", init_args=values)
    optimizers.check(options)
    values.learning_rate = -0.1
    with pytest.raises(ValueError, match="learning_rate must be at least 0"):
        optimizers.check(options)


WRONG = [
    ([*FIT, *FAST, "--data.sed=3"], "--data: option 'sed' is not accepted"),
    ([*FIT, *FAST, "--data=foo"], "--data: unknown name 'foo'; expected one of digits"),
    ([*FIT, *FAST, "--optimizer=Adm"], "--optimizer: unknown name 'Adm'"),
    ([*FIT, *FAST, "--optimizer=LAMB"], "'LAMB'; expected one of Adadelta.* Lamb, "),
    ([*FIT, *FAST, "--optimizer=adamw"], "'adamw'; expected one of .*AdamW, "),
    ([*FIT, *FAST, "--optimizer=Optimizer"], "unknown name 'Optimizer'; expected one of"),
    ([*FIT, *FAST, "--optimizer.clipnorm=abc"], "--optimizer.clipnorm must be a number"),
    ([*FIT, *FAST, "--optimizer.weight_decay=abc"], "--optimizer.weight_decay must .* abc"),
    ([*FIT, *FAST, "--optimizer.beta_1=abc"], "--optimizer.beta_1 must be a number.* abc"),
    (
        [*FIT, *FAST, "--optimizer.beta_1=true"],
        "--optimizer.beta_1 must be .* True",
    ),
    ([*FIT, *FAST, "--optimizer.use_ema=3"], "--optimizer.use_ema must be true or false"),
    (
        [*FIT, *FAST, "--optimizer.gradient_accumulation_steps=abc"],
        "--optimizer.gradient_accumulation_steps must be an integer. Received: abc",
    ),
    ([*FIT, *FAST, "--optimizer.learning_rate=-1"], "learning_rate must be at least 0.*-1"),
    ([*FIT, *FAST, "--optimizer.clipnorm=-1"], "clipnorm must be at least 0.*-1"),
    ([*FIT, *FAST, "--model.init_scale=-1"], "`init_scale` must be at least 0.*-1"),
    ([*FIT, *FAST, "--label_smoothing=2"], "--label_smoothing: .*2"),
    ([*FIT, *FAST, "--optimizer.lr=3"], "--optimizer: option 'lr' is not accepted"),
    ([*FIT, *FAST, "--model.encoder.num_latents=x"], "--model.encoder.num_latents: .* x"),
    ([*FIT, *FAST, "--foo=1"], "--foo=1"),
    ([*FIT, *FAST, "--epochs=0"], "--epochs: .*0"),
    ([*FIT, *FAST, "--model.head=foo"], "`head` must be .* head='foo'"),
    (
        [*FIT, *FAST, "--model.num_classes=3"],
        "--model.num_classes must be 10.*Received: 3",
    ),
    ([*FIT, *FAST, "--model.load_weights=true"], "--model.load_weights needs"),
    ([*FIT, *FAST, "--model.preset=nope"], "'nope'"),
    ([*FIT, *FAST, "--config=/nope.yaml"], "/nope.yaml"),
    ([*FIT, *FAST, "--data=image_folder", "--data.path=/nope"], "path=/nope"),
    ([*FIT, *FAST, "--batch_size=2000"], "`batch_size` .* batch_size=2000"),
    ([*FIT, *FAST, "--lr_schedule.warmup_steps=-1"], "warmup_steps=-1"),
    ([*FIT, *FAST, "--augmentation.shift=-1"], "`shift` .* shift=-1"),
    ([*FIT], "required: --model.encoder.num_latents, --model.encoder.latent_channels"),
    (["fit", "essay"], "fit needs a task: audio-classifier, .* Received: essay"),
    (["fly"], "unknown command 'fly'; expected one of fit"),
    (["predict", "/nope.png"], "/nope.png|digits"),
    (["evaluate", "/nope"], "/nope"),
    (["export", "/nope"], "required: --output"),
]


@pytest.mark.one_backend
@pytest.mark.parametrize(("argv", "message"), WRONG)
def test_what_is_wrong_is_named_in_one_line(argv, message, tmp_path, monkeypatch, capsys):
    import re

    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-perceiver: ") and error.count("\n") == 1
    assert re.search(message, error)
    assert not list(tmp_path.iterdir())  # nothing half-written


@pytest.mark.one_backend
def test_a_config_that_is_no_yaml_is_named_in_one_line(tmp_path, capsys):
    file, folder = tmp_path / "broken.yaml", tmp_path / "run"
    folder.mkdir()
    commands = [
        [*FIT, *FAST, "--config", file, f"--output={folder}"],
        [*FIT, *FAST, "--smoke", "--config", file],
        [*FIT, *FAST, "--resume", f"--output={folder}"],
        ["evaluate", folder],
    ]
    kp.presets.save(kp.presets.load("digits"), folder / "preset")
    for text, words in (("a: [1, 2", "line 1, column 4"), ("- a", r"\['a'\]")):
        for path in (file, folder / "config.yaml"):
            path.write_text(text)
        for argv in commands:
            where = file if file in argv else folder / "config.yaml"
            assert_refused(argv, f"{where} must be a YAML.*: .*{words}", capsys)
    file.write_bytes(b"\xff")
    assert_refused(commands[0], f"{file} must be a YAML file", capsys)
    assert files(folder) == {"config.yaml", "preset"}


@pytest.mark.one_backend
def test_an_output_folder_that_cannot_be_written_is_refused_before_training(
    tmp_path, capsys
):
    file = tmp_path / "file"
    file.write_text("in the way")
    for output, words in ((file / "run", "file"), (tmp_path, "--overwrite=true")):
        assert main([*FIT, *FAST, f"--output={output}"]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert file.read_text() == "in the way"


@pytest.mark.one_backend
def test_a_weight_that_does_not_fit_is_named(run, tmp_path, capsys):
    options = [f"--model.preset={run}", "--model.load_weights=true"]
    wider = "--model.encoder.latent_channels=16"
    assert main([*FIT, *options, wider, f"--output={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "encoder/latents (2, 8)" in error and "(2, 16)" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.one_backend
def test_as_a_program_without_traceback_and_with_a_quick_help():
    def program(*argv):
        code = "import sys; from keras_perceiver.cli import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True
        )

    wrong = program(*FIT, *FAST, "--optimizer.lr=1e-3")
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert wrong.stderr == "keras-perceiver: --optimizer: option 'lr' is not accepted\n"
    quick = "import sys; from keras_perceiver.cli import main; main(['--help']); "
    quick += "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", quick], capture_output=True).returncode == 0
    )


@pytest.mark.one_backend
def test_help_and_presets(capsys):
    for argv in ([*FIT, "--help"], ["evaluate", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 0
    assert "number of latents, N" in " ".join(capsys.readouterr().out.split())
    assert main(["presets"]) == 0
    assert "perceiver_io_mnist\n" in capsys.readouterr().out
    assert main([]) == 2 and main(["--help"]) == 0
