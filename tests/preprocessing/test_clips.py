"""Clips of any type to floats; WAV files of any depth; what is refused."""

import os

import numpy as np
import pytest
from scipy.io import wavfile

from keras_perceiver.preprocessing import AudioPreprocessor, read_wav, write_wav

pytestmark = pytest.mark.one_backend


def wave_of(channels=1, samples=400):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (samples, channels)).astype("float32")


def test_arrays_of_all_types_agree():
    clip = wave_of()
    preprocess = AudioPreprocessor(400)
    exact = preprocess(clip)
    assert exact.shape == (1, 400, 1) and exact.dtype == np.float32
    np.testing.assert_array_equal(exact[0], clip)
    for dtype, scale, offset in (
        ("int16", 2**15, 0),
        ("int32", 2**31, 0),
        ("uint8", 128, 128),
    ):
        whole = np.clip(np.rint(clip.astype("float64") * scale), -scale, scale - 1) + offset
        out = preprocess(whole.astype(dtype)[:, 0])
        np.testing.assert_allclose(out, exact, atol=1 / scale + 1e-7)


def test_channels():
    stereo = wave_of(channels=2)
    mono = AudioPreprocessor(400)([stereo, stereo[:, :1], stereo[:, 0]])
    np.testing.assert_allclose(mono[0, :, 0], stereo.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(mono[1], mono[2])
    both = AudioPreprocessor(400, channels=2)(stereo[None])
    np.testing.assert_array_equal(both[0], stereo)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_files_of_all_depths_are_read(tmp_path, dtype):
    clip = wave_of(channels=2)
    stored = clip.astype(dtype)
    if dtype == "uint8":
        stored = (clip * 127 + 128).astype(dtype)
    elif dtype.startswith("int"):
        stored = (clip.astype("float64") * np.iinfo(dtype).max).astype(dtype)
    wavfile.write(tmp_path / "clip.wav", 8000, stored)
    rate, samples = read_wav(tmp_path / "clip.wav")
    assert rate == 8000 and samples.dtype == np.float32
    np.testing.assert_allclose(samples, clip, atol=0.02 if dtype == "uint8" else 1e-4)


def test_what_is_written_is_read(tmp_path):
    clip = wave_of(channels=2)
    rate, samples = read_wav(write_wav(tmp_path / "clip.wav", clip, sample_rate=11_025))
    assert rate == 11_025
    np.testing.assert_allclose(samples, clip, atol=1e-4)


@pytest.mark.parametrize(
    ("clips", "match"),
    [
        ([], "`clips` must hold at least one clip"),
        (np.zeros((2, 3, 4, 5)), "`clips` must be of shape \\[samples\\]"),
        (np.zeros((0,)), "`clips` must be of shape \\[samples\\]"),
        (np.zeros(399), "must have 400 samples and 2 channels.*shape=\\(399, 1\\)"),
        (np.zeros((400, 3)), "must have 400 samples and 2 channels.*shape=\\(400, 3\\)"),
        (np.full((400, 2), np.nan), "`clips` must be finite. Received nan"),
        (np.full((400, 2), 2.0), "must hold values in \\[-1, 1\\].*from 2 to 2"),
        (np.full((400, 2), 300, "int64"), "of another type than int16.*from 300 to 300"),
    ],
)
def test_bad_clips(clips, match):
    with pytest.raises(ValueError, match=match):
        AudioPreprocessor(400, channels=2)(clips)


@pytest.mark.filterwarnings("ignore::scipy.io.wavfile.WavFileWarning")
def test_bad_files(tmp_path):
    """Any damage to a file is a ValueError or another sound, never another error."""
    preprocess = AudioPreprocessor(400, sampling_rate=8000)
    path = write_wav(tmp_path / "clip.wav", wave_of(), sample_rate=8000)
    content = (tmp_path / "clip.wav").read_bytes()
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match="must be WAV files that can be read.*text.wav"):
        preprocess(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError):
        preprocess(tmp_path / "missing.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match="must be a regular file"):
        preprocess(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match="8000 samples a second: resample.*Received: 4000"):
        preprocess(write_wav(path, wave_of(), sample_rate=4000))
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(600):
        damaged = bytearray(content)
        if trial % 2:
            del damaged[rng.integers(len(damaged)) :]
        else:
            damaged[rng.integers(44)] = rng.integers(256)
        (tmp_path / "clip.wav").write_bytes(damaged)
        try:
            out = preprocess(path)
            assert out.shape == (1, 400, 1) and np.isfinite(out).all()
        except ValueError:
            refused += 1
    assert refused > 300


def test_configuration_and_its_refusals():
    preprocess = AudioPreprocessor(400, 2, 8000, labels=[1, 2])
    again = AudioPreprocessor.from_config(preprocess.get_config())
    assert again.get_config() == preprocess.get_config()
    for name in ("samples", "channels", "sampling_rate"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
            AudioPreprocessor(**{"samples": 400, name: 0})
