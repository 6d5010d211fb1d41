"""Flow in colours: which, and in which picture and film."""

import colorsys

import numpy as np
import pytest

from keras_perceiver.preprocessing import read_frames
from keras_perceiver.visualization import flow_image, plot_flow, write_flow_video

pytestmark = pytest.mark.one_backend


def test_colours_are_hue_and_saturation(rng):
    """By the standard library, one vector at a time."""
    flow = rng.normal(size=(5, 6, 2)) * 12
    image = flow_image(flow)
    assert image.shape == (5, 6, 3) and image.dtype == np.uint8
    for vector, colour in zip(flow.reshape(-1, 2), image.reshape(-1, 3), strict=True):
        angle = np.arctan2(vector[1], vector[0]) % (2 * np.pi)
        saturation = min(np.hypot(*vector) * 255 / 24, 255) / 255
        expected = 255 * np.asarray(colorsys.hsv_to_rgb(angle / (2 * np.pi), saturation, 1))
        np.testing.assert_allclose(colour, expected, atol=1)


def test_directions_have_the_colours_that_are_documented():
    right, down, left, up, still = flow_image(
        np.asarray([[[9.0, 0], [0, 9], [-9, 0], [0, -9], [0, 0]]]), max_flow=9
    )[0].tolist()
    assert right == [255, 0, 0] and left == [0, 255, 255] and still == [255, 255, 255]
    assert down == [128, 255, 0] and up == [128, 0, 255]


def test_longer_motion_than_the_longest_is_drawn_as_that():
    flow = np.asarray([[[3.0, 4.0], [30.0, 40.0]]])
    five, fifty = flow_image(flow, max_flow=5)[0].tolist()
    assert five == fifty


@pytest.mark.parametrize(
    ("flow", "options", "message"),
    [
        (np.zeros((3, 4)), {}, r"`flow` must be \[H, W, 2\]"),
        (np.full((3, 4, 2), np.nan), {}, "`flow` must be finite"),
        (np.zeros((3, 4, 2)), {"max_flow": 0}, "`max_flow` must be positive"),
    ],
)
def test_what_is_no_flow_is_refused(flow, options, message):
    with pytest.raises(ValueError, match=message):
        flow_image(flow, **options)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig

    def savefig(figure, *args, **kwargs):
        drawn.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return drawn


def test_a_picture_has_frames_truth_and_estimate(tmp_path, figures, rng):
    pairs = [tuple(rng.integers(0, 256, (2, 16, 24, 3), dtype="uint8")) for _ in range(2)]
    truths = [np.full((16, 24, 2), (3.0, 4.0)), np.zeros((16, 24, 2))]
    flows = [np.full((16, 24, 2), (3.0, 3.0)), np.zeros((16, 24, 2))]
    path = tmp_path / "flow.png"
    assert plot_flow(pairs, flows, path, truths) == path and path.stat().st_size > 5000
    axes = np.reshape(figures[0].axes, (2, 5))
    titles = [axis.get_title() for axis in axes[0]]
    assert titles[:4] == ["first frame", "second frame", "true flow", "estimate"]
    assert "5.0 px" in titles[4]
    np.testing.assert_array_equal(axes[1, 1].images[0].get_array(), pairs[1][1])
    drawn = axes[0, 3].images[0].get_array()
    np.testing.assert_array_equal(drawn, flow_image(flows[0], max_flow=5))
    assert axes[0, 3].get_xlabel() == "error 1.00 px"
    assert axes[0, 2].get_xlabel() == "mean length 5.00 px"
    plot_flow(pairs, flows, path, max_flow=7)
    titles = [axis.get_title() for axis in figures[1].axes[:4]]
    assert titles[2] == "flow" and "7.0 px" in titles[3]
    assert figures[1].axes[2].get_xlabel() == "mean length 4.24 px"


def test_counts_that_differ_are_refused(tmp_path):
    frames, flow = np.zeros((2, 8, 8, 3), "uint8"), np.zeros((8, 8, 2))
    for pairs, flows, truths in (
        ([frames], [], None),
        ([], [], None),
        ([frames], [flow], []),
    ):
        with pytest.raises(ValueError, match="must be equally many, at least one"):
            plot_flow(pairs, flows, tmp_path / "flow.png", truths)
    assert not list(tmp_path.iterdir())


def test_a_film_has_the_flow_beside_each_frame(tmp_path):
    frames = [np.full((16, 32, 3), shade, "uint8") for shade in (50, 200)]
    flows = [np.full((16, 32, 2), vector) for vector in ((24.0, 0), (-24.0, 0))]
    path = tmp_path / "film.mp4"
    estimates = zip(frames, flows, strict=True)
    assert write_flow_video(path, estimates, fps=5) == path
    film = np.stack(list(read_frames(path))).astype(int)
    assert film.shape == (2, 16, 64, 3)
    for i, (shade, colour) in enumerate([(50, [255, 0, 0]), (200, [0, 255, 255])]):
        np.testing.assert_allclose(film[i, :, 4:28], shade, atol=8)
        np.testing.assert_allclose(
            film[i, :, 36:60], np.broadcast_to(colour, (16, 24, 3)), atol=12
        )
