"""The command line for sounds, sets of points, and several kinds of inputs in one."""

import json
import re

import keras
import numpy as np
import pytest

import keras_perceiver as kp
import tiny_audio
import tiny_multimodal
import tiny_points
from command_line import EVERY_RUN, assert_refused, files, run
from keras_perceiver.preprocessing import write_wav

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="the data and options are the same on all backends; this one compiles nothing",
)

ENCODER = [
    "--model.encoder.num_latents=2",
    "--model.encoder.latent_channels=8",
    "--model.encoder.layers_per_block=1",
]
SHORT = ["--epochs=1", "--batch_size=4", "--verbose=0"]
AUTOENCODER = "multimodal-autoencoder"
# Names of the kinds that the arrays of a file have.
NAMES = ("audio", "image", "label", "places", "text")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of WAV files, two of sets of points, and a file of arrays."""
    folder = tmp_path_factory.mktemp("inputs")
    for i, name in enumerate(("high", "low")):
        for kind in ("sounds", "points"):
            (folder / kind / name).mkdir(parents=True)
        for j, clip in enumerate(tiny_audio.clips(5, seed=i)):
            write_wav(folder / "sounds" / name / f"{j}.wav", clip, tiny_audio.RATE)
        for j, points in enumerate(tiny_points.sets(3, 9, 4, 5, 1, seed=i)):
            np.save(folder / "points" / name / f"{j}.npy", points)
    arrays = tiny_multimodal.batch(10, NAMES, masks=False)
    # A text is given back in its full length.
    arrays["text"] = np.pad(arrays["text"], ((0, 0), (0, 1)))
    np.savez(folder / "arrays.npz", **arrays)
    kinds = {
        name: {
            "class_path": type(tiny_multimodal.KINDS[name]).__name__,
            "init_args": tiny_multimodal.KINDS[name].get_config(),
        }
        for name in NAMES
    }
    (folder / "kinds.yaml").write_text(
        json.dumps({"model": {"encoder": {"modalities": kinds}}})
    )
    return folder


def fit(folder, task, *options):
    """A run folder, and what was printed."""
    output = folder / task
    printed = run(["fit", task, *options, *ENCODER, *SHORT, f"--output={output}"])
    assert files(output) == EVERY_RUN
    again = run(["evaluate", output])
    assert again.startswith("held-out ") and again in printed
    return output, printed


def test_sounds_in_folders(folder, capsys):
    path = folder / "sounds"
    options = ["--data=audio_folder", f"--data.path={path}", "--model.encoder.num_bands=2"]
    output, printed = fit(folder, "audio-classifier", *options, "--model.encoder.mel={}")
    assert re.search(r"held-out accuracy: [\d.]+% .* on 2 clips", printed)
    model = kp.presets.load(output / "preset")
    assert model.input_shape == (None, tiny_audio.SAMPLES, 1)  # the data's
    assert model.encoder.mel == kp.models.MelSpec()
    assert model.preprocessor.sampling_rate == tiny_audio.RATE
    clip = path / "low" / "0.wav"
    found = run(["predict", clip, f"--model={output}", "--top_k=2"])
    assert re.fullmatch(rf"{clip}\t(low|high) \(.*\t(low|high) \(.*\n", found)
    (best,) = model.classify(str(clip))
    assert f"\t{best[0]['label']} ({best[0]['score']:.1%})\t" in found
    short = write_wav(folder / "short.wav", tiny_audio.clips(1)[0][:100], tiny_audio.RATE)
    assert_refused(["predict", short, f"--model={output}"], "shape=.100, 1", capsys)


def test_sets_of_points_in_folders(folder, capsys):
    path = folder / "points"
    options = ["--data=point_folder", f"--data.path={path}", "--model.encoder.num_bands=2"]
    resolution = "--model.encoder.max_resolution=[8,6]"
    output, printed = fit(folder, "point-classifier", *options, resolution)
    assert "on 8 sets of points, 2 held out" in printed
    model = kp.presets.load(output / "preset")
    assert (model.encoder.num_axes, model.encoder.content_channels) == (2, 1)  # the data's
    # The largest set is what a step takes: of 4 sets, forward and twice as much back.
    largest = max(len(x) for x, _ in kp.data.point_folder(str(path)).train)
    work = 3 * 4 * kp.models.flops(model, length=largest) / 1e3
    assert f"a step of 4: {work:.3g} kFLOP" in printed
    points = path / "high" / "1.npy"
    found = run(["predict", points, f"--model={output}"])
    (best,) = model.classify(points)[0]
    assert found == f"{points}\t{best['label']} ({best['score']:.1%})\n"
    sound = folder / "sounds" / "low" / "0.wav"
    assert_refused(["predict", sound, f"--model={output}"], ".npy files.*0.wav", capsys)
    assert_refused(
        ["fit", "point-classifier", *options, *ENCODER], "max_resolution", capsys
    )


@pytest.fixture(scope="module")
def arrays(folder):
    """Options of the data of an autoencoder."""
    return ["--data=array_file", f"--data.path={folder / 'arrays.npz'}"]


@pytest.fixture(scope="module")
def autoencoder(folder, arrays):
    """A run folder, and what was printed."""
    kinds = f"--config={folder / 'kinds.yaml'}"
    options = ["--mask_rates.label=0.5", "--num_points.image=3", "--loss_weights.label=1"]
    return fit(folder, AUTOENCODER, kinds, *arrays, *options)


def test_arrays_of_several_kinds(folder, autoencoder, tmp_path):
    output, printed = autoencoder
    found = re.search(
        r"held-out audio error ([\d.]+), image error [\d.]+, label accuracy ([\d.]+)%, "
        "text accuracy .* on 2 examples",
        printed,
    )
    # As a user would find it, who does not give the label.
    model = kp.presets.load(output / "preset")
    test = dict(kp.data.array_file(str(folder / "arrays.npz")).test)
    label = test.pop("label")
    outputs = model.reconstruct(test, batch_size=2)
    correct = outputs["label"].argmax(axis=-1) == label
    assert float(found[2]) == pytest.approx(100 * correct.mean())
    error = np.abs(outputs["audio"] - test["audio"]).mean()
    assert float(found[1]) == pytest.approx(error, abs=1e-4)
    mean = np.abs(test["audio"] - test["audio"].mean(axis=0)).mean()
    assert f"most frequent values would give: audio error {mean:.4f}, " in printed
    # With the label or without it: it is not looked at.
    known, unknown = tmp_path / "known.npz", tmp_path / "unknown.npz"
    np.savez(known, **test, label=label)
    np.savez(unknown, **test)
    lines = run(["predict", known, unknown, f"--model={output}"]).splitlines()
    for i, (ours, theirs) in enumerate(zip(lines[:2], lines[2:], strict=True)):
        assert ours.startswith(f"{known}[{i}]\t{outputs['label'][i].argmax()} (")
        assert ours.partition("\t")[2] == theirs.partition("\t")[2]


def test_a_preset_brings_the_kinds(arrays, autoencoder, built, tmp_path):
    options = [*arrays, f"--model.preset={autoencoder[0]}", f"--output={tmp_path / 'run'}"]
    kinds = built(["fit", AUTOENCODER, *options]).encoder.modalities
    assert kinds == {name: tiny_multimodal.KINDS[name] for name in NAMES}


def test_what_is_wrong_with_an_autoencoder_is_named(arrays, autoencoder, tmp_path, capsys):
    again = f"--model.preset={autoencoder[0]}"
    np.savez(tmp_path / "audio.npz", audio=np.zeros((10, 8, 2)))
    audio = ["--data=array_file", f"--data.path={tmp_path / 'audio.npz'}"]
    for argv, message in (
        ([*arrays, *ENCODER], r"modalities must say.*for \['audio', 'image', 'label'"),
        ([again, *arrays, "--mask_rates.labe=0.5"], "`mask_rates` .*'labe': 0.5"),
        ([again, *arrays, "--loss_weights.labe=0.5"], r"`weights` .*\['labe'\]"),
        ([again, *audio], r"--data must have .* Missing: \['image', 'label', 'text'\]"),
        (
            [*ENCODER, "--model.encoder.modalities={a: {class_path: Sound}}"],
            "modalities: unknown name 'Sound'; expected one of AudioModality",
        ),
    ):
        argv = ["fit", AUTOENCODER, *argv, *SHORT, f"--output={tmp_path / 'run'}"]
        assert_refused(argv, message, capsys)
    assert not (tmp_path / "run").exists()


def test_without_a_label_nothing_is_predicted(tmp_path, capsys):
    kp.presets.save(tiny_multimodal.autoencoder("image", "audio"), tmp_path / "preset")
    argv = ["predict", "a.npz", f"--model={tmp_path / 'preset'}"]
    assert_refused(argv, r"one with one label\. Of its inputs these are: \[\]", capsys)
