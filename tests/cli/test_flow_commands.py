"""The command line for optical flow: trained, judged, and asked."""

import re

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from command_line import EVERY_RUN, assert_refused, files, run
from keras_perceiver.preprocessing import read_flow, read_frames, write_video

TINY = [
    "fit",
    "optical-flow",
    "--data.size=[12,16]",
    "--data.train_count=8",
    "--data.test_count=4",
    "--model.preprocessor.min_overlap=4",
    "--model.rescale_factor=1",
    "--model.encoder.patch_channels=8",
    "--model.encoder.num_bands=2",
    "--model.encoder.num_latents=2",
    "--model.encoder.latent_channels=8",
    "--model.encoder.layers_per_block=1",
    "--epochs=1",
    "--batch_size=4",
    "--verbose=0",
]
IS_TORCH = keras.backend.backend() == "torch"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder, and what was printed."""
    folder = tmp_path_factory.mktemp("flow") / "run"
    return folder, run([*TINY, f"--output={folder}"])


@pytest.fixture(scope="module")
def frames():
    """Three frames larger than a tile."""
    return np.random.default_rng(0).integers(0, 256, (3, 14, 20, 3), dtype="uint8")


def test_a_run_folder_holds_everything(trained):
    folder, printed = trained
    expected = EVERY_RUN | {"flow.png"}
    assert files(folder) == expected | (set() if IS_TORCH else {"saved_model"})
    model = kp.presets.load(folder / "preset")
    assert isinstance(model, kp.models.OpticalFlow)
    assert model.encoder.image_shape == (12, 16)  # the data's
    assert (model.rescale_factor, model.preprocessor.min_overlap) == (1, 4)
    assert "on 8 pairs of frames, 4 held out" in printed
    found = re.search(r"held-out end-point error: ([\d.]+) pixels on 4 pairs", printed)
    still = re.search(r"what no motion at all would give: ([\d.]+) pixels", printed)
    data = kp.data.moved_photographs(size=(12, 16), test_count=4).test
    errors, lengths = [], []
    for frame1, frame2, truth, _ in data:
        flow = model.estimate((frame1, frame2), verbose=0)
        errors.append(np.linalg.norm(flow - truth, axis=-1))
        lengths.append(np.linalg.norm(truth, axis=-1))
    assert float(found[1]) == pytest.approx(np.mean(errors), abs=1e-3)
    assert float(still[1]) == pytest.approx(np.mean(lengths), abs=1e-3)


@pytest.mark.one_backend
def test_evaluate_finds_what_fit_printed(trained):
    folder, printed = trained
    again = run(["evaluate", str(folder)])
    assert again.startswith("held-out end-point error") and again in printed


@pytest.mark.one_backend
def test_the_flow_of_two_images(trained, frames, tmp_path, capsys):
    from PIL import Image

    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path, frame in zip(paths, frames, strict=False):
        Image.fromarray(frame).save(path)
    vectors, colours = tmp_path / "flow.flo", tmp_path / "flow.png"
    command = ["flow", str(trained[0]), "--frames", *paths]
    assert "vectors" in run([*command, f"--output={vectors}"])
    flow = kp.presets.load(trained[0] / "preset").estimate(frames[:2], verbose=0)
    np.testing.assert_allclose(read_flow(vectors)[0], flow, atol=1e-5)
    run([*command, f"--output={colours}", "--max_flow=2"])
    with Image.open(colours) as image:
        drawn = np.asarray(image)
    expected = kp.visualization.flow_image(flow, max_flow=2)
    np.testing.assert_allclose(drawn.astype(int), expected, atol=1)
    assert_refused([*command, f"--output={colours}"], "--overwrite=true.*flow.png", capsys)
    run([*command, f"--output={colours}", "--overwrite=true"])
    with Image.open(colours) as image:
        assert not np.array_equal(np.asarray(image), drawn)  # another scale


@pytest.mark.one_backend
def test_the_flow_of_a_video(trained, frames, tmp_path):
    film = write_video(tmp_path / "in.mp4", frames, fps=5)
    output = tmp_path / "out.mp4"
    run(["flow", str(trained[0]), f"--video={film}", f"--output={output}"])
    shapes = [frame.shape for frame in read_frames(output)]
    assert shapes == [(14, 40, 3)] * 2  # from each frame to the next
    assert kp.preprocessing.frame_rate(output) == 5


@pytest.mark.one_backend
def test_what_is_wrong_is_named(trained, frames, tmp_path, capsys):
    model, output = str(trained[0]), f"--output={tmp_path / 'flow.png'}"
    video = write_video(tmp_path / "in.mp4", frames[:, :10, :10], fps=5)
    pair = ["--frames", "/nope.png", "/nope.png"]
    film = f"--video={video}"
    for argv, message in (
        (["flow", model, output], "either --frames or --video. Received"),
        (["flow", model, output, *pair, film], "either --frames or --video. Received"),
        (["flow", model, output, *pair], "/nope.png"),
        (["flow", model, *pair], "required: --output"),
        (["flow", "digits", output, *pair], "MODEL must be an optical flow model"),
        (["flow", model, output, film], "smaller than a tile"),
        (["predict", "/nope.png", f"--model={model}"], "for optical flow: flow"),
        ([*TINY, "--data=sintel", "--data.path=/nope"], "path=/nope"),
    ):
        assert_refused(argv, message, capsys)
    assert not (tmp_path / "flow.png").exists()
