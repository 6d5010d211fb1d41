"""Pairs of frames to tiles, and flows of tiles blended: every size, every kind."""

import itertools
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_perceiver.preprocessing import FlowPreprocessor
from tiny_flow import photographs

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "optical_flow_processor"
pytestmark = pytest.mark.one_backend


def test_it_is_krasserms_processor():
    golden = np.load(GOLDEN / "golden.npz")
    preprocess = FlowPreprocessor(
        golden["patch_size"].tolist(),
        int(golden["patch_min_overlap"]),
        float(golden["flow_scale_factor"]),
    )
    size = golden["frame1"].shape[:2]
    assert preprocess.grid(size) == [tuple(corner) for corner in golden["grid"].tolist()]
    tiles = preprocess((golden["frame1"], golden["frame2"]))
    # Of the 27 channels of a patch, the middle three are the pixel itself.
    pixels = golden["features"][:, :, 12:15].transpose(0, 1, 3, 4, 2)
    np.testing.assert_allclose(tiles, pixels, atol=1e-6)
    flow = preprocess.blend(golden["patch_flow"], size)
    np.testing.assert_allclose(flow, golden["flow"][0], atol=1e-4)


sizes = st.integers(1, 9)


@given(st.data(), sizes, sizes)
def test_every_size_is_tiled(data, height, width):
    """D4: inside the frame, everywhere, overlapping, none twice; constants stay."""
    overlap = data.draw(st.integers(0, min(height, width) - 1))
    size = (
        height + data.draw(st.integers(0, 30)),
        width + data.draw(st.integers(0, 30)),
    )
    preprocess = FlowPreprocessor((height, width), overlap, flow_scale=1.0)
    grid = preprocess.grid(size)
    assert len(set(grid)) == len(grid)
    for axis, tile in enumerate((height, width)):
        starts = sorted({corner[axis] for corner in grid})
        assert starts[0] == 0
        assert starts[-1] + tile == size[axis]
        assert all(b - a <= tile - overlap for a, b in itertools.pairwise(starts))
    constant = np.broadcast_to(np.float32([3, -0.5]), (len(grid), height, width, 2))
    np.testing.assert_allclose(
        preprocess.blend(constant, size), np.broadcast_to([3, -0.5], (*size, 2)), rtol=1e-5
    )


def test_weights_add_up_to_one(rng):
    """D4: what a tile says counts by its distance to the edge, over all that say."""
    preprocess = FlowPreprocessor((3, 4), 1, flow_scale=1.0)
    size = (5, 4)
    shares = []
    for tile in range(2):
        flows = np.zeros((2, 3, 4, 2))
        flows[tile] = 1
        shares.append(preprocess.blend(flows, size)[..., 0])
    np.testing.assert_allclose(shares[0] + shares[1], 1, rtol=1e-6)
    # The third row is the last of one and the first of the other; the others are one's.
    np.testing.assert_allclose(shares[0].T, [[1, 1, 0.5, 0, 0]] * 4)


def test_tiles_are_cut_from_the_frames():
    first, second = photographs(2, (9, 7))
    preprocess = FlowPreprocessor((6, 7), min_overlap=2)
    tiles = preprocess((first, second))
    assert tiles.shape == (2, 2, 6, 7, 3)
    assert tiles.dtype == np.float32
    expected = np.stack([first, second]).astype("float64") / 127.5 - 1
    np.testing.assert_allclose(tiles[0], expected[:, :6], atol=1e-6)
    np.testing.assert_allclose(tiles[1], expected[:, 3:], atol=1e-6)
    assert FlowPreprocessor((9, 7))((first, second)).shape == (1, 2, 9, 7, 3)


def test_frames_of_every_kind_are_the_same(tmp_path):
    from PIL import Image

    first, second = photographs(2, (5, 6))
    images = [Image.fromarray(x) for x in (first, second)]
    paths = [tmp_path / "first.png", str(tmp_path / "second.png")]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    preprocess = FlowPreprocessor((5, 6))
    expected = preprocess((first, second))
    for pair in (
        np.stack([first, second]),
        [first / 255, second / 255],
        images,
        (images[0], second),
        paths,
        (image for image in images),
    ):
        np.testing.assert_allclose(preprocess(pair), expected, atol=1e-6)
    grey = first[..., 0]
    np.testing.assert_array_equal(
        preprocess((grey, grey[..., None])), preprocess([Image.fromarray(grey)] * 2)
    )


def test_what_is_a_pair_a_list_and_a_video():
    video = photographs(4, (5, 6))
    preprocess = FlowPreprocessor((5, 6))
    tiles = preprocess(video)
    assert tiles.shape == (3, 2, 5, 6, 3)
    np.testing.assert_array_equal(tiles[:-1, 1], tiles[1:, 0])
    pairs = [(video[i], video[i + 1]) for i in range(3)]
    for same in (list(video), pairs, iter(pairs), np.stack([np.stack(p) for p in pairs])):
        np.testing.assert_array_equal(preprocess(same), tiles)
    for given_, count, single in (
        (video, 3, False),
        (video[:2], 1, True),
        (tuple(video[:2]), 1, True),
        ([video[:2]], 1, False),
        ([video[:2], video[2:]], 2, False),
        (video[:2][None], 1, False),
    ):
        read, alone = preprocess.read(given_)
        assert (len(read), alone) == (count, single)


FRAME = np.zeros((5, 6, 3))


@pytest.mark.parametrize(
    ("frame_pairs", "match"),
    [
        ([], "a pair of frames, a sequence of pairs, or a video"),
        (FRAME, "a pair of frames.*Received: 0 of ndarray"),
        ([FRAME], "a pair of frames.*Received: 1 of ndarray"),
        ([(FRAME, FRAME), FRAME], "a pair of frames.*Received: 2 of ndarray, tuple"),
        ([(FRAME, FRAME, FRAME)], "a pair of frames.*Received: 1 of tuple"),
        (np.zeros((2, 3, 5, 6, 3)), "a pair of frames"),
        ("first.png", "a pair of frames.*Received: 0 of str"),
        ([1, 2], "a pair of frames.*Received: 2 of int"),
        (
            [(FRAME, FRAME), (FRAME, FRAME[:, :5])],
            r"one size in each pair. Received: \(5, 6\) and \(5, 5\) in pair 1",
        ),
        ((FRAME, np.full((5, 6, 3), np.nan)), "`frame_pairs` must be finite"),
        ((FRAME, 2 + FRAME), r"`frame_pairs` of a float type must hold values in \[0, 1\]"),
        (np.zeros((2, 5, 6, 4)), "frames of 1 or 3 channels"),
        (
            np.zeros((2, 4, 9, 3)),
            r"not be smaller than a tile, \(5, 6\): resize.*Received: \(4, 9\)",
        ),
    ],
)
def test_what_is_no_pair_is_refused(frame_pairs, match):
    with pytest.raises(ValueError, match=match):
        FlowPreprocessor((5, 6))(frame_pairs)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"image_shape": (5, 6, 3)}, "`image_shape` must be"),
        ({"image_shape": (5, 6), "min_overlap": 5}, "`min_overlap`.*Received"),
        ({"image_shape": (5, 6), "min_overlap": -1}, "`min_overlap`.*Received"),
        ({"image_shape": (5, 6), "flow_scale": 0}, "`flow_scale` must be positive"),
    ],
)
def test_settings_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        FlowPreprocessor(**arguments)


def test_the_overlap_is_the_official_one():
    assert FlowPreprocessor((368, 496)).min_overlap == 20
    assert FlowPreprocessor((368, 496)).grid((436, 1024)) == [
        (y, x) for y in (0, 68) for x in (0, 476, 528)
    ]
    assert FlowPreprocessor((9, 12)).min_overlap == 4
