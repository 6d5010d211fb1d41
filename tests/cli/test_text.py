"""The command line for text: from a corpus to a classifier, and how it refuses."""

import re

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from command_line import EVERY_RUN, assert_refused, files, run
from keras_perceiver.cli import main, run_folder

pytestmark = pytest.mark.one_backend

TINY = [
    "--model.encoder.max_length=24",
    "--model.encoder.input_channels=8",
    "--model.encoder.num_latents=2",
    "--model.encoder.latent_channels=8",
    "--model.encoder.layers_per_block=1",
]
SHORT = ["--epochs=1", "--batch_size=8", "--verbose=0"]
LM = ["fit", "masked-lm", *TINY, *SHORT]
CLASSIFIER = ["fit", "text-classifier", *SHORT]
SAMPLE = "a [MASK][MASK][MASK] day"


def weights(folder, encoder=False):
    model = kp.presets.load(folder / "preset")
    return (model.encoder if encoder else model).get_weights()


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def table(folder):
    """Options of a small table of texts with labels."""
    path = folder / "films.csv"
    rows = [
        f"{w} number {i},{w[:4]}" for i in range(20) for w in ("good film", "dull film")
    ]
    path.write_text("\n".join(["text,verdict", *rows, '"' + "long " * 30 + '",good\n']))
    return ["--data=table", f"--data.path={path}", "--data.label_column=verdict"]


@pytest.fixture(scope="module")
def language(folder, corpus):
    """A run folder of a masked language model, and what was printed."""
    output = folder / "language"
    options = [f"--samples=[{SAMPLE!r}]", f"--output={output}", "--masking.rate=0.3"]
    options += ["--min_length=9", f"--cache={folder / 'cache'}", "--epochs=2"]
    return output, run([*LM, *corpus, *options])


@pytest.fixture(scope="module")
def classifier(folder, language, table):
    """A run folder of a classifier on that model's frozen encoder, and what was printed."""
    output = folder / "classifier"
    encoder = [f"--model.encoder={language[0]}", "--model.freeze_encoder=true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder.export, "saved_model", lambda *args: None)
        return output, run([*CLASSIFIER, *table, *encoder, f"--output={output}"])


def test_a_language_run_holds_everything(language):
    output, printed = language
    exported = set() if keras.backend.backend() == "torch" else {"saved_model"}
    assert files(output) == EVERY_RUN | {"samples.txt"} | exported
    assert len(list(output.glob("events.out.tfevents.*"))) == 1
    assert (output / "samples.txt").read_text().count(SAMPLE) == 2  # one an epoch
    model = kp.presets.load(output / "preset")
    assert isinstance(model, kp.models.MaskedLM)
    assert model.encoder.vocab_size == 262 and model.preprocessor.max_length == 24
    assert re.search(r"rows of 24 tokens, \d+ held out", printed)
    assert re.search(r"held-out loss: \d\.\d{4} nats per masked token on \d+ rows", printed)
    assert re.search(r"frequencies of tokens alone would give: \d\.\d{4} nats", printed)


def test_evaluate_finds_what_fit_printed(language, classifier):
    for output, printed in (language, classifier):
        again = run(["evaluate", str(output)])
        assert again.startswith("held-out ") and again in printed
    other = run(["evaluate", str(language[0]), "--masking.rate=0.05"])
    assert other not in language[1]


def test_the_loss_is_that_of_the_masked_tokens(language, corpus):
    """The printed number by hand: mean over all masked tokens, not over batches."""
    model = kp.presets.load(language[0] / "preset")
    path = corpus[1].partition("=")[2]
    data = kp.data.text_files(path, "paragraph", 0.3)
    ids = kp.data.tokens(data.test, model.preprocessor.tokenizer)
    masking = kp.preprocessing.Masking(rate=0.3)
    total = count = 0.0
    for inputs, labels, selected in kp.data.masked_batches(ids, model, 5, masking=masking):
        logits = model.predict(inputs, verbose=0)
        logits -= logits.max(-1, keepdims=True)
        nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(
            logits, labels[..., None], -1
        ).squeeze(-1)
        total, count = total + (nats * selected).sum(), count + selected.sum()
    printed = re.search(r"loss: ([\d.]+) nats", run(["evaluate", str(language[0])]))
    assert float(printed[1]) == pytest.approx(total / count, abs=2e-4)


def test_fill_mask_prints_the_likeliest_fillings(language):
    lines = run(
        ["fill-mask", SAMPLE, "one [MASK]", f"--model={language[0]}", "--top_k=2"]
    ).splitlines()
    assert len(lines) == 4
    assert all(re.match(r"\d+\.\d%\t", line) for line in lines)


def test_the_classifier_has_the_frozen_encoder_and_its_tokenizer(classifier, language):
    output, printed = classifier
    assert re.search(
        r"parameters, [\d,]+ of them trained, on 32 texts, 9 held out", printed
    )
    assert_equal(weights(output, encoder=True), weights(language[0], encoder=True))
    preprocessor = kp.presets.load(output / "preset").preprocessor
    assert preprocessor.labels == ["dull", "good"]
    assert preprocessor.truncate and preprocessor.max_length == 24


def test_a_classifier_goes_on_with_all_its_weights(classifier, table, folder, monkeypatch):
    monkeypatch.setattr(run_folder.export, "saved_model", lambda *args: None)
    output = folder / "whole"
    options = [f"--model.preset={classifier[0]}", "--model.load_weights=true"]
    still = ["--optimizer=SGD", "--optimizer.learning_rate=0"]
    printed = run([*CLASSIFIER, *table, *options, *still, f"--output={output}"])
    assert "of them trained" not in printed
    assert_equal(weights(output), weights(classifier[0]))


def test_predict_tells_texts_from_files(classifier, tmp_path, monkeypatch, capsys):
    (tmp_path / "review.txt").write_text("a very good film\n" * 9)
    monkeypatch.chdir(tmp_path)
    model = f"--model={classifier[0]}"
    both = ["dull  film", "--files", "review.txt"]
    lines = run(["predict", model, "--top_k=2", *both]).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["dull film", "review.txt"]
    assert [line.count("%)") for line in lines] == [2, 2]
    run(["predict", model, "review.txt"], expected=2)
    assert "Give files as --files review.txt" in capsys.readouterr().err


def test_preprocess_fills_the_cache_and_trains_a_vocabulary(corpus, tmp_path, built):
    cache = tmp_path / "cache"
    command = ["preprocess", "text", *corpus, f"--cache={cache}"]
    first = run([*command, "--tokenizer=sentencepiece:400", "--workers=2"])
    vocabulary = cache / "tokenizer.model"
    trained, made = first.splitlines(keepends=True)
    assert trained == f"vocabulary: --tokenizer={vocabulary}\n"
    assert re.fullmatch(rf"[\d,]+ tokens, [\d,]+ held out: {cache}\n", made)
    entries = sorted(cache.iterdir())
    # The same vocabulary from its file: nothing is tokenized again.
    again = run([*command, f"--tokenizer={vocabulary}"])
    assert again == made
    assert sorted(cache.iterdir()) == entries
    model = built([*LM, *corpus, f"--tokenizer={vocabulary}", f"--output={tmp_path}/run"])
    assert model.encoder.vocab_size == 400
    tokenizer = model.preprocessor.tokenizer
    assert isinstance(tokenizer, kp.preprocessing.SentencePieceTokenizer)


def config(name, *options):
    return [f"--config={kp.__path__[0]}/../guides/configs/{name}.yaml", *options]


def wide_tokenizer(path, vocab_size):
    """The file of a tokenizer with so many words."""
    from tokenizers import Tokenizer, models

    words = {"[PAD]": 0, "[MASK]": 1, "[UNK]": 2}
    words |= {f"w{i}": i for i in range(len(words), vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(words)[:3])
    tokenizer.save(str(path))


def test_configs_of_the_small_models_are_the_published_ones(
    corpus, table, tmp_path, built, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wide_tokenizer("tokenizer.json", 10_003)
    wide = "--tokenizer=tokenizer.json"
    model = built(["fit", "masked-lm", *config("masked_lm_small", *corpus, wide)])
    assert model.count_params() == architecture("perceiver_io_language_small")
    kp.presets.save(model, "runs/masked_lm_imdb")
    model = built(["fit", "text-classifier", *config("text_classifier_small", *table)])
    assert model.count_params() == architecture("perceiver_io_text_classifier_small")
    assert model.preprocessor.tokenizer.vocab_size == 10_003


def test_configs_of_the_offline_models(corpus, table, tmp_path, built, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = built(["fit", "masked-lm", *config("topics_masked_lm", *corpus)])
    # About as many parameters as the published small model has for bytes.
    fewer = (10_003 - 262) * (128 + 1)
    published = architecture("perceiver_io_language_small") - fewer
    assert model.count_params() == 1_700_614
    assert abs(model.count_params() - published) < 0.1 * published
    kp.presets.save(model, "runs/topics_masked_lm")
    model = built(["fit", "text-classifier", *config("topics_classifier", *table)])
    assert model.encoder.max_length == 64 and model.query_channels == 128


def architecture(name):
    return kp.presets.load(name, load_weights=False).count_params()


def test_commands_in_the_comments_of_configs_parse(
    language, classifier, tmp_path, monkeypatch
):
    """What is to be run after a config's own run."""
    monkeypatch.chdir(tmp_path)
    runs = {"text_classifier_small": classifier, "topics_classifier": classifier}
    for name, (run_of_config, _) in {**runs, "masked_lm_small": language}.items():
        path = f"{kp.__path__[0]}/../guides/configs/{name}.yaml"
        with open(path) as file:
            comment = "".join(x[2:] for x in file if x.startswith("#"))
        command = re.search(r"keras-perceiver (fit.*?\S)\n(?!  )", comment, re.S)[1]
        argv = (
            command.replace("\\\n", " ")
            .replace(f"guides/configs/{name}.yaml", path)
            .split()
        )
        (output,) = {x.partition("=")[2] for x in argv if x.startswith("--model.preset=")}
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / output).symlink_to(run_of_config)
        with pytest.raises(SystemExit) as stopped:
            main([*argv, "--print_config"])
        assert stopped.value.code == 0


NO_LABELS = "--data must have labels"
WRONG = [
    ([*LM, "--tokenizer=nope.model"], "--tokenizer must be `bytes`.* Received: nope.model"),
    ([*LM, "--tokenizer=sentencepiece:x"], "--tokenizer must be .*: sentencepiece:x"),
    ([*LM, "--tokenizer=BROKEN"], "`model` must be the content of a SentencePiece model"),
    (
        [*LM, "--model.encoder.vocab_size=300"],
        "must have the model.s vocabulary.* expected 300",
    ),
    ([*LM, "--model.preset=perceiver_io_language_small"], "vocabulary.* expected"),
    ([*LM, "--model.preset=digits"], "--model.preset must be a MaskedLM.*ImageClassifier"),
    ([*LM, "--samples=['no mask']"], r"must each contain \[MASK\].* 'no mask'"),
    ([*LM, f"--samples=['[MASK]{'x' * 50}']"], "must have at most 24 tokens"),
    ([*LM, "--masking.rate=2"], "`rate` must lie in .* rate=2"),
    ([*LM, "--static_masking=true", "--random_shift=true"], "`static_masking` needs"),
    ([*LM, "--steps_per_epoch=0"], "--steps_per_epoch: .*0"),
    ([*LM, "--data=digits"], "--data: unknown name 'digits'; expected one of topics"),
    ([*LM, "--data=text_files", "--data.path=EMPTY"], "two or more documents"),
    ([*LM, "--data=text_files", "--data.path=/nope"], "path=/nope"),
    ([*LM, "--data=wikitext103", "--data.folder=/nope"], "folder=/nope"),
    ([*CLASSIFIER, *TINY, "--data=topics"], NO_LABELS),
    ([*CLASSIFIER, *TINY, "--data=table", "--data.path=TABLE"], NO_LABELS),
    (
        [*CLASSIFIER, *TINY, "--data=table", "--data.path=TABLE", "--data.label_column=y"],
        "must have a column 'y'",
    ),
    ([*CLASSIFIER, *TINY, "--model.num_classes=3"], "--model.num_classes must be 2"),
    ([*CLASSIFIER, "--model.encoder=digits"], "--model.encoder must be a masked language"),
    ([*CLASSIFIER, "--model.encoder", "/nope"], "/nope"),
    (
        [*CLASSIFIER, "--model.encoder=perceiver_io_language_bytes"],
        "No weights are shipped for 'perceiver_io_language_bytes'",
    ),
    (
        [*CLASSIFIER, "--model.encoder=digits", "--model.preset=digits"],
        "--model.encoder and --model.preset must not both be given",
    ),
    (
        ["fill-mask", "a [MASK]", "--model=digits"],
        "--model must be a masked language model",
    ),
    (["fill-mask", "a [MASK]"], "required: --model"),
    (["predict"], "at least one INPUT"),
    (["preprocess"], "preprocess needs a kind of data: text, midi. Received: none"),
    (
        ["preprocess", "images"],
        "preprocess needs a kind of data: text, midi. Received: images",
    ),
    (["preprocess", "text"], "required: --cache"),
]


@pytest.mark.parametrize(("argv", "message"), WRONG)
def test_what_is_wrong_is_named_in_one_line(argv, message, tmp_path, monkeypatch, capsys):
    files = {"EMPTY": "", "BROKEN.model": "?", "TABLE.csv": "text,label\na,b\nc,d\n"}
    inputs, place = tmp_path / "inputs", tmp_path / "place"
    inputs.mkdir()
    place.mkdir()
    for name, content in files.items():
        (inputs / name).write_text(content)
        stem = name.partition(".")[0]
        argv = [argument.replace(stem, str(inputs / name)) for argument in argv]
    monkeypatch.chdir(place)
    assert_refused(argv, message, capsys)
    assert not list(place.iterdir())  # nothing half-written


WRONG_USE = [
    (["fill-mask", "no mask", "--model=LANGUAGE"], r"must each contain \[MASK\]"),
    (["predict", "x", "--model=LANGUAGE"], "--model must be a classifier"),
    (["predict", "--files", "/nope.txt", "--model=CLASSIFIER"], "/nope.txt"),
    (["predict", "--files", "EMPTY", "--model=CLASSIFIER"], "must hold a text.*empty"),
    (["predict", "--files", "BYTES", "--model=CLASSIFIER"], "must be UTF-8.*0xff at .* 1"),
    (["evaluate", "CLASSIFIER", "--data=topics"], NO_LABELS),
    (
        ["evaluate", "--batch_size", "CLASSIFIER", "x"],
        "MODEL must come first.*Received: --batch",
    ),
    (["evaluate", "CLASSIFIER", "--data=digits"], "unknown name 'digits'"),
    (["evaluate", "LANGUAGE", "--data=text_files", "--data.path=/nope"], "path=/nope"),
    (
        ["fit", "masked-lm", "--model.preset=CLASSIFIER", "--output=no"],
        "--model.preset must be a MaskedLM. Received: a model of class TextClassifier",
    ),
]


def test_what_is_wrong_with_a_trained_model_is_named(
    language, classifier, tmp_path, capsys
):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"a\xff")
    names = {"LANGUAGE": language[0], "CLASSIFIER": classifier[0]}
    names |= {"EMPTY": tmp_path / "empty", "BYTES": tmp_path / "bytes"}
    for argv, message in WRONG_USE:
        for name, path in names.items():
            argv = [argument.replace(name, str(path)) for argument in argv]
        assert_refused(argv, message, capsys)


def test_a_model_without_a_task_is_named(capsys, monkeypatch):
    from keras_perceiver.cli import use

    monkeypatch.setattr(use, "load", lambda name: kp.layers.LearnedPositions())
    assert main(["predict", "x"]) == 2
    assert (
        "the model must be one of AudioClassifier, CausalLM, ImageClassifier, MaskedLM"
        in capsys.readouterr().err
    )
