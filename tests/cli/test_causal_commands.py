"""The command line for Perceiver AR: training, judging, and going on with things."""

import functools
import json
import pathlib
import re
import shutil

import numpy as np
import pytest

import keras_perceiver as kp
from command_line import EVERY_RUN, assert_refused, files, run
from keras_perceiver.cli import main, models, run_folder, use
from keras_perceiver.generation import TopK
from keras_perceiver.training.callbacks import printable

pytestmark = pytest.mark.one_backend

ROOT = pathlib.Path(kp.__path__[0]).parent
MIDI = ROOT / "tests" / "golden" / "midi"
TINY = [
    "--model.max_length=24",
    "--model.max_latents=8",
    "--model.channels=16",
    "--model.num_layers=1",
    "--model.attention.num_heads=2",
    "--model.init_scale=0.1",
]
SHORT = ["--epochs=1", "--batch_size=4", "--verbose=0", "--jit_compile=false"]
LM = ["fit", "causal-lm", *TINY, *SHORT]
MUSIC = ["fit", "symbolic-audio", *TINY, *SHORT]
PIECES = [f"--data.path={MIDI}", "--data.test_fraction=0.34"]
PROMPT = "A state"


@pytest.fixture(scope="module")
def language(tmp_path_factory, corpus):
    """A run folder of a causal language model, and what was printed."""
    folder = tmp_path_factory.mktemp("language")
    options = [f"--samples=['{PROMPT}']", f"--output={folder}", "--epochs=2"]
    options += ["--random_shift=true", "--min_length=9", "--eos=true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder.export, "saved_model", lambda *args: None)
        return folder, run([*LM, *corpus, *options])


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A run folder of a model of performances, and what was printed."""
    folder = tmp_path_factory.mktemp("music")
    cache = ["--min_length=9", f"--cache={folder / 'cache'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder.export, "saved_model", lambda *args: None)
        return folder, run([*MUSIC, *PIECES, *cache, f"--output={folder / 'run'}"])


@functools.cache
def load(folder):
    return models.load(folder)


def load_again(name):
    model = load(name)
    model.preprocessor = model.checked_preprocessor()  # as it was
    return model


@pytest.fixture
def loaded_once(monkeypatch):
    """`generate` has the models of `load`, whose programs are compiled once."""
    monkeypatch.setattr(use, "load", load_again)


def test_a_language_run_holds_everything(language):
    folder, printed = language
    assert files(folder) >= EVERY_RUN | {"samples.txt"}
    assert (folder / "samples.txt").read_text().count(repr(PROMPT)) == 2  # one an epoch
    model = load(str(folder))
    assert isinstance(model, kp.models.CausalLM)
    assert (model.vocab_size, model.max_length, model.max_latents) == (262, 24, 8)
    assert model.preprocessor.max_length == 24
    assert re.search(r"rows of 24 tokens, \d+ held out", printed)
    assert re.search(r"held-out loss: \d\.\d{4} nats per token on \d+ rows", printed)
    assert re.search(r"frequencies of tokens alone would give: \d\.\d{4} nats", printed)


def test_texts_are_tokenized_as_they_are_read(corpus, tmp_path, monkeypatch, capsys):
    """And a run goes on where it was in them."""
    monkeypatch.setattr(run_folder.export, "saved_model", lambda *args: None)
    options = [*LM, *corpus, "--stream=true", "--min_length=9", f"--output={tmp_path}"]
    printed = run([*options, "--trainer.max_steps=1"])
    assert "on a stream of rows of 24 tokens, " in printed and "nats per token" in printed
    run([*options, "--trainer.max_steps=2", "--resume=true"])
    assert "resumed after step 1 of 2" in capsys.readouterr().err
    states = sorted((tmp_path / "checkpoints").glob("*/progress.json"))
    streams = [json.loads(path.read_text())["progress"]["stream"] for path in states]
    assert [stream["index_for_rng"] for stream in streams] == [1, 2]


def test_evaluate_finds_what_fit_printed(language, music):
    for folder, printed in ((language[0], language[1]), (music[0] / "run", music[1])):
        again = run(["evaluate", folder])
        assert again.startswith("held-out ") and again in printed
        assert again.count("nats") == 2  # the model's, and what frequencies would give


def test_the_loss_is_that_of_the_last_positions(language, corpus):
    """The printed number by hand: the mean over all tokens that are predicted."""
    model = load(str(language[0]))
    data = kp.data.text_files(corpus[1].partition("=")[2], "paragraph", 0.3)
    ids = kp.data.tokens(data.test, model.preprocessor.tokenizer, eos=True)
    rows = ids[: len(ids) // 25 * 25].reshape(-1, 25).astype("int32")
    inputs = {"token_ids": rows[:, :-1], "padding_mask": np.ones_like(rows[:, :-1])}
    logits = model.predict(inputs, verbose=0)  # [rows, 8, 262]
    logits -= logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(logits, rows[:, -8:, None], -1).squeeze(-1)
    nats = (np.log(np.exp(logits).sum(-1)) - chosen).mean()
    printed = re.search(rf"loss: ([\d.]+) nats per token on {len(rows)} rows", language[1])
    assert float(printed[1]) == pytest.approx(nats, abs=2e-4)


def test_generate_prints_prompts_and_what_follows(language, tmp_path, loaded_once):
    model = load(str(language[0]))
    file = tmp_path / "prompt.txt"
    file.write_text("else:\n    retu")
    options = ["--seed=5", "--max_new_tokens=12", "--prompt", PROMPT, "--files", file]
    both = run(["generate", language[0], *options])
    expected = [
        printable(prompt + "".join(model.stream(prompt, max_new_tokens=12, seed=5)))
        for prompt in (PROMPT, file.read_text())
    ]
    assert re.split("\n-+\n", both) == [expected[0], f"{expected[1]}\n"]
    stripped = run(["generate", language[0], *options[:4], "--strip_prompt=true"])
    assert PROMPT + stripped == f"{expected[0]}\n"


def test_generate_passes_its_options_on(language, monkeypatch, loaded_once):
    received = {}

    def stream(self, prompt, **options):
        received.update(options, prompt=prompt)
        yield " and"
        yield "\x1b so\n"

    monkeypatch.setattr(kp.models.CausalLM, "stream", stream)
    options = ["--temperature=0.5", "--top_k=3", "--use_cache=exact", "--seed=7"]
    options += ["--num_latents=4", "--freed_latents=2", "--max_new_tokens=9"]
    command = ["generate", language[0], "--prompt", "On"]
    assert run([*command, *options, "--stop", ".", "[EOS]"]) == "On and\ufffd so\n\n"
    assert received == {
        "prompt": "On",
        "sampler": TopK(3, 0.5),
        "use_cache": "exact",
        "seed": 7,
        "num_latents": 4,
        "freed_latents": 2,
        "max_new_tokens": 9,
        "stop": [".", "[EOS]"],
    }
    run([*command, "--sampler=greedy", "--use_cache=false"])
    assert received["sampler"] == "greedy" and received["use_cache"] is False
    run([*command, "--sampler=top_p", "--top_p=0.3", "--temperature=2"])
    sampler = received["sampler"]
    assert type(sampler).__name__ == "TopPSampler"
    assert (sampler.p, sampler.temperature) == (0.3, 2.0)


def test_a_run_goes_on_with_its_weights_and_tokenizer(language, corpus, tmp_path, built):
    options = [f"--model.preset={language[0]}", "--model.load_weights=true"]
    command = ["fit", "causal-lm", *corpus, *options, f"--output={tmp_path}/run"]
    model = built(command)
    for ours, theirs in zip(
        model.get_weights(), load(str(language[0])).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert model.preprocessor.max_length == model.max_length == 24
    assert built([*command, "--model.load_weights=false", "--model.max_length=30"])


def test_positions_decide_how_much_is_rotated(corpus, tmp_path, built):
    for learned, fraction in (("true", 0.5), ("false", 1.0)):
        option = f"--model.learned_positions={learned}"
        model = built([*LM, *corpus, option, f"--output={tmp_path}/run"])
        assert model.get_layer("stack").rotary_fraction == fraction
    option = "--model.rotary_fraction=0.25"
    model = built([*LM, *corpus, option, f"--output={tmp_path}/run"])
    assert model.get_layer("stack").rotary_fraction == 0.25


def test_a_run_on_performances(music):
    model = load(str(music[0] / "run"))
    assert isinstance(model, kp.models.SymbolicAudioLM)
    assert re.search(r"rows of 24 events, \d+ held out", music[1])
    assert re.search(r"held-out loss: \d\.\d{4} nats per event on \d+ rows", music[1])


def test_preprocess_fills_the_cache_that_fit_reads(music, tmp_path, built):
    cache = music[0] / "cache"
    entries = sorted(cache.rglob("*"))
    printed = run(["preprocess", "midi", *PIECES, f"--cache={cache}"])
    assert printed == f"450 events, 290 held out: {cache}\n"
    assert sorted(cache.rglob("*")) == entries  # nothing is encoded again
    fresh = tmp_path / "cache"
    run(["preprocess", "midi", *PIECES, f"--cache={fresh}"])
    assert {x.name for x in fresh.iterdir()} == {x.name for x in cache.iterdir()}


@pytest.fixture(scope="module")
def continued(music, tmp_path_factory):
    """A folder with two performances that go on, the command, and what was printed."""
    folder = tmp_path_factory.mktemp("continued")
    (folder / "note.txt").write_text("stays")
    files = [MIDI / "synthetic_1.mid", MIDI / "audio_prompt_1.mid"]
    command = ["generate", music[0] / "run", "--files", *files, f"--output={folder}"]
    options = ["--max_prompt=16", "--max_new_tokens=30", "--seed=3"]
    more = ["--wav=plain", "--piano_roll=true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(use, "load", load_again)
        return folder, [*command, *options], run([*command, *options, *more])


def test_generate_writes_performances_sounds_and_pictures(music, continued, tmp_path):
    folder, _, printed = continued
    model = load(str(music[0] / "run"))
    model.preprocessor = kp.preprocessing.MidiPreprocessor(16, truncate=True)
    names = ("synthetic_1", "audio_prompt_1")
    expected = model.generate(
        [str(MIDI / f"{name}.mid") for name in names], max_new_tokens=30, seed=3
    )
    for name, midi, line in zip(names, expected, printed.splitlines(), strict=True):
        midi.write(str(tmp_path / "expected.mid"))
        written = (folder / f"{name}.mid").read_bytes()
        assert written == (tmp_path / "expected.mid").read_bytes()
        count = len(midi.instruments[0].notes)
        assert count and line.startswith(f"{folder / name}.mid")
        assert line.endswith(f"{count} notes, {midi.get_end_time():.1f} s")
        assert (folder / f"{name}.wav").read_bytes().startswith(b"RIFF")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "note.txt").read_text() == "stays"
    assert len(list(folder.iterdir())) == 7


def test_generate_replaces_files_only_when_told(continued, tmp_path, capsys, loaded_once):
    folder, command, _ = continued
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    command = [*command, f"--output={copy}"]
    before = {x.name: x.read_bytes() for x in copy.iterdir()}
    message = rf"without files of these names.*{copy} with \['synthetic_1.mid', 'audio_"
    assert_refused(command, message, capsys)
    # An error on the way leaves what there was.
    assert_refused([*command, "--overwrite=true", "--num_latents=9"], "`num_lat", capsys)
    assert {x.name: x.read_bytes() for x in copy.iterdir()} == before
    run([*command, "--overwrite=true", "--seed=4"])
    assert (copy / "synthetic_1.mid").read_bytes() != before["synthetic_1.mid"]
    assert (copy / "synthetic_1.wav").read_bytes() == before["synthetic_1.wav"]
    assert not [x.name for x in tmp_path.iterdir() if x != copy]


def test_a_performance_without_notes_is_written_as_midi_alone(music, tmp_path, monkeypatch):
    silence = kp.preprocessing.decode_midi([300])
    generate = functools.wraps(kp.models.SymbolicAudioLM.generate)(
        lambda *_, **__: [silence]
    )
    monkeypatch.setattr(kp.models.SymbolicAudioLM, "generate", generate)
    files = ["--files", MIDI / "synthetic_1.mid", f"--output={tmp_path}/out"]
    options = ["--wav=plain", "--piano_roll=true"]
    printed = run(["generate", music[0] / "run", *files, *options])
    assert printed.endswith(" 0 notes, 0.0 s\n")
    assert [x.name for x in (tmp_path / "out").iterdir()] == ["synthetic_1.mid"]


@pytest.mark.parametrize(
    ("name", "task", "parameters", "remat"),
    [
        ("causal_lm_small", "causal-lm", 30_563_078, False),
        ("maestro", "symbolic-audio", 28_531_712, True),
    ],
)
def test_configs_are_the_published_models(
    name, task, parameters, remat, corpus, tmp_path, built, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    data = corpus if task == "causal-lm" else ["--data=midi_folder", *PIECES]
    model = built(["fit", task, f"--config={ROOT}/guides/configs/{name}.yaml", *data])
    assert model.count_params() == parameters
    assert model.get_layer("stack").remat == remat


def test_configs_train_as_published(capsys):
    import yaml

    for name, task in (("causal_lm_small", "causal-lm"), ("maestro", "symbolic-audio")):
        with pytest.raises(SystemExit):  # as jsonargparse leaves
            main(
                [
                    "fit",
                    task,
                    f"--config={ROOT}/guides/configs/{name}.yaml",
                    "--print_config",
                ]
            )
        options = yaml.safe_load(capsys.readouterr().out)
        arguments = options["optimizer"]["init_args"]
        updates = arguments["gradient_accumulation_steps"]
        assert options["epochs"] * options["steps_per_epoch"] == 20_000 * updates
        assert options["lr_schedule"]["init_args"]["warmup_steps"] == 200 * updates
        assert (arguments["learning_rate"], arguments["global_clipnorm"]) == (2e-4, 0.5)


@pytest.mark.slow
@pytest.mark.one_backend(on="tensorflow")
def test_a_language_model_learns_more_than_frequencies(tmp_path):
    """The command as it stands, on the embedded text, with the model's export."""
    output = tmp_path / "run"
    options = ["--model.max_length=64", "--model.max_latents=32", "--model.channels=64"]
    options += ["--model.num_layers=1", "--model.attention.num_heads=4"]
    options += ["--model.init_scale=0.1", "--model.prefix_dropout=0.1"]
    training = ["--epochs=1", "--steps_per_epoch=150", "--batch_size=16", "--verbose=0"]
    training += ["--optimizer.learning_rate=3e-3", "--random_shift=true"]
    printed = run(["fit", "causal-lm", *options, *training, f"--output={output}"])
    loss, unigrams = map(float, re.findall(r"(\d\.\d{4}) nats", printed))
    assert loss < unigrams - 0.3
    assert (output / "saved_model" / "saved_model.pb").exists()


NO_FILE = "No such file or directory: '/nope"
WRONG = [
    ([*LM, "--data=midi_folder"], "--data: unknown name 'midi_folder'; expected one of to"),
    ([*LM, "--model.max_latents=25"], "`max_latents` must not exceed.* max_latents=25"),
    ([*LM, "--model.vocab_size=300"], "vocabulary.* expected 300"),
    ([*LM, "--model.preset=perceiver_ar_maestro"], "--model.preset must be a CausalLM"),
    ([*LM, "--samples=['']"], r"`prompts` must not be empty. Received: prompts\[0\]=''"),
    ([*LM, f"--samples=['{'x' * 25}']"], "must have at most 24 tokens"),
    ([*LM, "--stream=true"], "--stream needs --steps_per_epoch or --trainer.max_steps"),
    (
        [*LM, "--stream=true", "--trainer.max_steps=1", "--random_shift=true"],
        "--stream does without --random_shift. Received: True",
    ),
    (
        [*LM, "--stream=true", "--trainer.max_steps=1", "--trainer.workers=2"],
        "or 1 for a stream. Received: workers=2",
    ),
    ([*LM, "--min_length=25"], "`min_length` must lie between 1 and 24.*min_length=25"),
    ([*LM, "--model.preprocessor.max_length=25"], "must not exceed the model's"),
    (MUSIC, "required: --data.path"),
    ([*MUSIC, "--data.path=EMPTY"], "`path` must be a folder with two or more .mid"),
    ([*MUSIC, "--data=topics"], "unknown name 'topics'; expected one of midi_folder, mae"),
    ([*MUSIC, "--data=maestro", "--data.folder=EMPTY"], "must hold maestro-v3.0.0.csv"),
    ([*MUSIC, "--data=giantmidi", "--data.folder=EMPTY"], "must hold full_music_pieces"),
    ([*MUSIC, "--data.path=BROKEN"], "broken_1.mid is not a complete MIDI file"),
    ([*MUSIC, *PIECES, "--batch_size=50"], "number of rows of 24 events, 18. .*=50"),
    (["preprocess", "midi", *PIECES], "required: --cache"),
    (["preprocess", "midi", "--cache=x"], "required: --data.path"),
    (["generate"], "MODEL must come first, a preset.*Received: nothing"),
    (["generate", "--prompt", "x"], "MODEL must come first.*Received: --prompt"),
    (["generate", "digits", "--prompt", "x"], "MODEL must be a causal.*ImageClassifier"),
    (["generate", "perceiver_ar_base", "--prompt", "x"], "No weights are shipped"),
    (["generate", "/nope", "--prompt", "x"], "'/nope'"),
    (["evaluate"], "MODEL must come first.*Received: nothing"),
]


def place(tmp_path):
    """Files that something is wrong with: name to path; and an empty folder."""
    names = {name: tmp_path / name.lower() for name in ("EMPTY", "BROKEN", "OUT")}
    for name in ("EMPTY", "BROKEN"):
        names[name].mkdir()
    for i in range(2):
        whole = (MIDI / "synthetic_1.mid").read_bytes()
        (names["BROKEN"] / f"broken_{i}.mid").write_bytes(whole[: 40 + i])
    (names["EMPTY"] / "empty.txt").write_text(" \n")
    return names


@pytest.mark.parametrize(("argv", "message"), WRONG)
def test_what_is_wrong_is_named_in_one_line(argv, message, tmp_path, monkeypatch, capsys):
    inputs, work = tmp_path / "inputs", tmp_path / "work"
    inputs.mkdir()
    work.mkdir()
    for name, path in place(inputs).items():
        argv = [argument.replace(name, str(path)) for argument in argv]
    monkeypatch.chdir(work)
    assert_refused(argv, message, capsys)
    assert not list(work.iterdir())  # nothing half-written


GO_ON = ["generate", "LANGUAGE", "--prompt", "abc"]
PLAY = ["generate", "MUSIC", f"--files={MIDI / 'synthetic_1.mid'}", "--output=OUT"]
PLAY_FILE = ["generate", "MUSIC", "--output=OUT", "--files"]
WRONG_USE = [
    (["generate", "LANGUAGE"], "generate needs --prompt or --files. Received neither"),
    (["generate", "LANGUAGE", "--prompt", ""], "`prompts` must not be empty"),
    (["generate", "LANGUAGE", "--files", "/nope.txt"], NO_FILE),
    (["generate", "LANGUAGE", "--files", "EMPTY/empty.txt"], "must hold a text.*empty"),
    (["generate", "LANGUAGE", "--prompt", "x" * 25], "must have at most 24 tokens"),
    ([*GO_ON, "--num_latents=4"], "`num_latents` must lie between 1 and 3 .*latents=4"),
    ([*GO_ON, "--num_latents=0"], "`num_latents` must lie between 1 and 3 .*latents=0"),
    ([*GO_ON, "--max_new_tokens=0"], "`max_new_tokens` must be at least 1. Received: 0"),
    ([*GO_ON, "--max_new_tokens=x"], "--max_new_tokens: .*int.*x"),
    (
        [*GO_ON, "--use_cache=maybe"],
        r"--use_cache: must be of the types bool, Literal\['exact'\]. Received: maybe",
    ),
    ([*GO_ON, "--use_cache=exact", "--freed_latents=8"], "`freed_latents` must .* 7. .*8"),
    ([*GO_ON, "--top_k=0"], r"--top_k: .*PositiveInt \(v>0\), null. Received: 0"),
    ([*GO_ON, "--temperature=0"], r"--temperature: .*\(v>0\), null. Received: 0"),
    ([*GO_ON, "--top_p=1.5"], r"--top_p: .*\(v>0 and v<1\), null. Received: 1.5"),
    (
        [*GO_ON, "--top_p=0.5"],
        "--top_p is no option of --sampler=top_k. Received: top_p=0.5",
    ),
    ([*GO_ON, "--sampler=greedy", "--top_k=2"], "--top_k is no option of --sampler=greedy"),
    ([*GO_ON, "--sampler=best"], "`sampler` must be one of .*sampler='best'"),
    ([*GO_ON, "--stop", "ab"], "`stop` must hold .*one token each. Received: 'ab'"),
    ([*GO_ON, "--files=x.mid", "--output=x"], "--output"),
    (["predict", "x", "--model=LANGUAGE"], "--model must be a classifier.*generate"),
    (["evaluate", "LANGUAGE", "--data=midi_folder"], "unknown name 'midi_folder'"),
    (["evaluate", "MUSIC", "--data.path=/nope"], "path=/nope"),
    (["generate", "MUSIC"], "required: --files, --output"),
    ([*PLAY_FILE, "/nope.mid"], NO_FILE),
    ([*PLAY_FILE, "BROKEN/broken_0.mid"], "broken_0.mid is not a complete MIDI file"),
    ([*PLAY_FILE, "EMPTY/empty.txt"], "empty.txt is not a complete MIDI file"),
    ([*PLAY_FILE, "a/x.mid", "b/x.mid"], r"--files must have different .*\['x', 'x'\]"),
    (PLAY, r"must have at most 24 events each. Received: midi\[0\] with"),
    ([*PLAY, "--max_prompt=25"], "--max_prompt must not exceed .* 24. Received: 25"),
    ([*PLAY, "--max_prompt=0"], r"--max_prompt: .*\(v>0\), null. Received: 0"),
    ([*PLAY, "--max_prompt=24"], "`num_latents` must lie between 8 and 8"),
    ([*PLAY, "--wav=loud"], "--wav: .*loud"),
    ([*PLAY, "--wav=fluidsynth", "--soundfont=/nope.sf2"], "fluidsynth and a soundfont"),
    ([*PLAY, "--max_prompt=9", "--output=EMPTY/empty.txt"], "must be a folder to write"),
    ([*PLAY, "--max_prompt=9", "--prompt", "x"], "--prompt"),
]


@pytest.mark.parametrize(("argv", "message"), WRONG_USE)
def test_what_is_wrong_with_its_use_is_named(
    argv, message, language, music, tmp_path, capsys, loaded_once
):
    names = {"LANGUAGE": language[0], "MUSIC": music[0] / "run", **place(tmp_path)}
    for name, path in names.items():
        argv = [argument.replace(name, str(path)) for argument in argv]
    assert_refused(argv, message, capsys)
    assert capsys.readouterr().out == ""
    assert not names["OUT"].exists()  # nothing half-written
    assert {x.name for x in tmp_path.iterdir()} == {"empty", "broken"}


def test_help_shows_the_options_of_the_model(language, music, capsys):
    shown = []
    for folder in (language[0], music[0] / "run"):
        with pytest.raises(SystemExit) as stopped:
            main(["generate", str(folder), "--help"])
        assert stopped.value.code == 0
        shown.append(" ".join(capsys.readouterr().out.split()))
    text, sound = shown
    for option in ("--num_latents", "--use_cache", "--temperature", "--seed"):
        assert option in text and option in sound
    assert "--prompt" in text and "--stop" in text and "--wav" not in text
    assert "--piano_roll" in sound and "--prompt" not in sound
    assert "(type: int, default: 256)" in text and "(type: int, default: 512)" in sound
