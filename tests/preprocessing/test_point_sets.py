"""Sets of points of any sizes to one array and a mask."""

import numpy as np
import pytest

from keras_perceiver.preprocessing import PointPreprocessor

pytestmark = pytest.mark.one_backend


def test_sets_are_filled_up():
    sets = [np.full((2, 3), 0.5), [[0.1, -0.2, 7.0]], np.zeros((0, 3))]
    inputs = PointPreprocessor(2, 1)(sets)
    assert inputs["points"].dtype == np.float32
    assert inputs["padding_mask"].dtype == np.int32
    expected = [[[0.5] * 3] * 2, [[0.1, -0.2, 7], [0] * 3], [[0] * 3] * 2]
    np.testing.assert_allclose(inputs["points"], expected)
    np.testing.assert_array_equal(inputs["padding_mask"], [[1, 1], [1, 0], [0, 0]])
    longer = PointPreprocessor(2, 1)(sets, pad_to=5)
    np.testing.assert_array_equal(longer["points"][:, :2], inputs["points"])
    np.testing.assert_array_equal(longer["padding_mask"].sum(axis=1), [2, 1, 0])
    assert longer["points"].shape == (3, 5, 3)


def test_one_set_or_an_array_of_them():
    points = np.random.default_rng(0).uniform(-1, 1, (3, 4, 2))
    preprocess = PointPreprocessor(2)
    np.testing.assert_array_equal(
        preprocess(points)["points"], preprocess(list(points))["points"]
    )
    np.testing.assert_array_equal(
        preprocess(points[0])["points"], preprocess(points[:1])["points"]
    )


def test_only_empty_sets_have_one_slot_of_padding():
    inputs = PointPreprocessor(2)([np.zeros((0, 2))])
    assert inputs["points"].shape == (1, 1, 2)
    assert not inputs["padding_mask"].any()


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        ([], "`sets` must hold at least one set"),
        ([np.zeros((4, 2))], "arrays \\[points, 3\\], 2 coordinates first.*\\(4, 2\\)"),
        ([np.zeros(3)], "arrays \\[points, 3\\].*Received: shape=\\(3,\\)"),
        ([np.array([[0, np.nan, 0]])], "`sets` must be finite. Received nan at index"),
        ([np.array([[0, 0, np.inf]])], "`sets` must be finite"),
        ([np.array([[0, -1.5, 9]])], "coordinates from -1 to 1.*Received one of size 1.5"),
        ([np.zeros((9, 3))], "at most pad_to=8 points each. Received: 9"),
    ],
)
def test_bad_sets(sets, match):
    with pytest.raises(ValueError, match=match):
        PointPreprocessor(2, 1)(sets, pad_to=8)


def test_configuration_and_its_refusals():
    preprocess = PointPreprocessor(3, 2, labels=[1, 2])
    assert preprocess.labels == ["1", "2"]
    again = PointPreprocessor.from_config(preprocess.get_config())
    assert again.get_config() == preprocess.get_config()
    with pytest.raises(ValueError, match="`num_axes` must be an integer from 1"):
        PointPreprocessor(0)
    with pytest.raises(ValueError, match="`content_channels` must be an integer from 0"):
        PointPreprocessor(2, 0.5)


def test_files_are_sets_too(tmp_path):
    points = np.linspace(-1, 1, 12).reshape(4, 3)
    np.save(tmp_path / "set.npy", points)
    np.save(tmp_path / "empty.npy", points[:0])
    path = str(tmp_path / "set.npy")
    one, several = PointPreprocessor(2, 1)(path), [path, tmp_path / "empty.npy", points]
    np.testing.assert_allclose(one["points"][0], points, atol=1e-6)
    masks = PointPreprocessor(2, 1)(several)["padding_mask"]
    assert masks.sum(axis=1).tolist() == [4, 0, 4]


@pytest.mark.parametrize(
    "array", [np.array([{}]), np.array(["a"]), np.zeros(3), b"", b"no"]
)
def test_broken_files(array, tmp_path):
    path = tmp_path / "set.npy"
    path.write_bytes(array) if isinstance(array, bytes) else np.save(path, array)
    with pytest.raises(ValueError, match="set.npy"):
        PointPreprocessor(3)(path)
    with pytest.raises(FileNotFoundError):
        PointPreprocessor(3)(tmp_path / "other.npy")


def test_a_file_that_promises_too_much_allocates_nothing(tmp_path):
    path = tmp_path / "set.npy"
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(24))
    with pytest.raises(ValueError, match="set.npy"):
        PointPreprocessor(3)(path)
