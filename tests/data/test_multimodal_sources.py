"""Examples of several kinds of inputs."""

import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend


def test_digits_sound_as_often_as_they_say():
    data, digits = kp.data.digit_tones(), kp.data.digits()
    np.testing.assert_array_equal(data.test["label"], digits.test.labels)
    np.testing.assert_allclose((data.test["image"] + 1) / 2, digits.test.images, atol=1e-6)
    waves = np.abs(np.fft.rfft(data.train["audio"][..., 0])).argmax(axis=-1)
    np.testing.assert_array_equal(waves, 2 + 2 * data.train["label"])
    for name, kind in data.modalities.items():
        assert data.train[name].shape[1:] == kind.shape
        assert data.train[name].dtype == kind.dtype


def test_a_file_of_arrays_is_split(tmp_path):
    path = str(tmp_path / "arrays.npz")
    np.savez(path, image=np.arange(10)[:, None] * [1, 1], label=np.arange(10))
    data = kp.data.array_file(path, test_fraction=0.3)
    assert data.modalities is None
    for part, count in ((data.train, 7), (data.test, 3)):
        assert part["label"].shape == (count,)
        np.testing.assert_array_equal(part["image"][:, 1], part["label"])
    together = np.concatenate([data.train["label"], data.test["label"]])
    assert sorted(together) == list(range(10))


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({}, "must hold arrays with an entry for each example"),
        ({"a": 3.0}, r"an entry for each example. Received shapes: \{'a': \(\)\}"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, "Received: {'a': 3, 'b': 4}"),
        ({"a": np.zeros(1)}, "two or more. Received: {'a': 1}"),
        ({"a": np.array([{}])}, "must be a file of numpy.savez"),
        (b"no file of numpy", "must be a file of numpy.savez"),
        (b"PK\x03\x04 and no more", "must be a file of numpy.savez"),
    ],
)
def test_files_that_are_refused(tmp_path, arrays, match):
    path = tmp_path / "arrays.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    else:
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match=match):
        kp.data.array_file(str(path))
