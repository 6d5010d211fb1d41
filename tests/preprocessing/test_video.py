"""Videos: what is written is what is read, frame by frame."""

import types

import numpy as np
import pytest

from keras_perceiver.preprocessing import frame_rate, read_frames, write_video

pytestmark = pytest.mark.one_backend


def film(count, height=32, width=48):
    """A bright square that moves to the right, two pixels a frame."""
    frames = np.full((count, height, width, 3), 40, "uint8")
    for i, frame in enumerate(frames):
        frame[8:20, 4 + 2 * i : 16 + 2 * i] = (230, 120, 60)
    return frames


def test_frames_come_back(tmp_path):
    frames = film(7)
    path = write_video(tmp_path / "film.mp4", frames, fps=12.5)
    assert frame_rate(path) == 12.5
    again = list(read_frames(path))
    assert {frame.dtype for frame in again} == {np.dtype("uint8")}
    # H.264 is lossy, and has one colour for four pixels.
    error = np.abs(np.stack(again).astype(int) - frames)
    assert error.mean() < 3
    # In order: each frame is nearer to itself than to the others.
    distances = [[np.abs(a.astype(int) - b).mean() for b in frames] for a in again]
    np.testing.assert_array_equal(np.argmin(distances, axis=1), range(7))


def test_frames_are_read_and_written_as_they_come(tmp_path):
    """A film need not fit the memory."""
    path = write_video(tmp_path / "film.mkv", iter(film(30)), fps=25)
    frames = read_frames(path)
    assert isinstance(frames, types.GeneratorType)
    assert next(frames).shape == (32, 48, 3)
    assert sum(1 for _ in frames) == 29


def test_odd_sizes_are_filled_up(tmp_path):
    path = write_video(tmp_path / "film.mp4", film(2, 33, 47), fps=10)
    assert next(read_frames(path)).shape == (34, 48, 3)


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        ([], 10, "`frames` must hold at least one frame"),
        (film(1), 0, "`fps` must be positive. Received: fps=0"),
        (film(1)[..., 0], 10, r"`frames` must be uint8 \[H, W, 3\].*shape=\(32, 48\)"),
        (film(1) / 255, 10, "dtype=float64"),
        ([film(1)[0], film(1)[0, :20]], 10, r"shape=\(20, 48, 3\).*after \(32, 48, 3\)"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path, frames, fps, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "film.mp4", frames, fps)


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("no film")
    for read in (lambda path: next(read_frames(path)), frame_rate):
        with pytest.raises(ValueError, match=r"film\.mp4 is not a complete video"):
            read(path)
        with pytest.raises(FileNotFoundError, match=r"other\.mp4"):
            read(tmp_path / "other.mp4")
    with pytest.raises(ValueError, match=r"`path` must end in .* path=.*film\.nope"):
        write_video(tmp_path / "film.nope", film(1), 10)


def test_sound_is_no_video(tmp_path):
    from keras_perceiver.preprocessing import write_wav

    path = write_wav(str(tmp_path / "tone.wav"), np.zeros(1000, "float32"))
    with pytest.raises(ValueError, match=r"tone\.wav must have a video"):
        frame_rate(path)
