"""Clips of sound as records."""

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.preprocessing import read_wav, write_wav

pytestmark = pytest.mark.one_backend


def test_notes_sound_as_they_are_called():
    data = kp.data.notes(train_count=30, test_count=5)
    assert (len(data.train), len(data.test), data.sampling_rate) == (30, 5, 4000)
    for clip, label in data.train:
        assert clip.shape == (1000,) and clip.dtype == "float32" and abs(clip).max() <= 1
        # Its loudest tone is the key's, or an octave of it: of 12 half-tones.
        spectrum = np.abs(np.fft.rfft(clip * np.hanning(1000), 2**15))
        frequency = spectrum.argmax() * 4000 / 2**15
        half_tones = 12 * np.log2(frequency / 440) + data.labels.index("A") - label
        distance = half_tones - 12 * np.round(half_tones / 12)
        assert abs(distance) < 0.5
    again = kp.data.notes(train_count=1, test_count=1)
    np.testing.assert_array_equal(again.train[0][0], data.train[0][0])
    assert not np.array_equal(again.test[0][0], data.train[0][0])


def test_folders_of_sounds(tmp_path):
    for name in ("down", "up"):
        (tmp_path / name).mkdir()
        for i in range(5):
            write_wav(tmp_path / name / f"{i}.WAV", np.full(20, i / 10), 8000)
    data = kp.data.audio_folder(str(tmp_path))
    assert (data.labels, data.sampling_rate) == (["down", "up"], 8000)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert sorted(label for _, label in data.test) == [0, 1]
    for path, label in data.train:
        assert f"/{data.labels[label]}/" in path
        assert read_wav(path)[1].shape == (20, 1)
    with pytest.raises(ValueError, match=r"`path` must hold .* \.wav files each.*'up': 0"):
        for path in (tmp_path / "up").iterdir():
            path.unlink()
        kp.data.audio_folder(str(tmp_path))
