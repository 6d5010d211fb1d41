"""Video files, one frame after the other. Needs the package `av`."""

import contextlib
import fractions
import itertools
import os

import numpy as np

from keras_perceiver.preprocessing.files import check_regular

# H.264 in half as many colours as brightnesses plays everywhere.
CODEC, PIXELS, QUALITY = "h264", "yuv420p", "18"


def read_frames(path):
    """Frames of a video, as they are asked for: it need not fit the memory.

    Args:
        path: of a file that FFmpeg reads.

    Yields:
        uint8 `[H, W, 3]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no video, or a broken one.
    """
    with _opened(path) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def frame_rate(path):
    """Frames a second of a video, a `fractions.Fraction`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no video, or a broken one.
    """
    with _opened(path) as container:
        return container.streams.video[0].average_rate


def write_video(path, frames, fps):
    """Write frames as a video in H.264.

    Args:
        path: of the file; its suffix tells the format: `.mp4`, `.mkv`.
        frames: one or more, of one size, uint8 `[H, W, 3]`; any iterable. An odd height
            or width is filled up by a row or column, which H.264 needs even.
        fps: frames a second.

    Returns:
        `path`.

    Raises:
        ValueError: no frame, frames of different sizes, a rate that is not positive, or a
            suffix of no format.

    Example:
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "black.mp4")
    >>> frames = read_frames(write_video(file, np.zeros((3, 16, 24, 3), "uint8"), fps=25))
    >>> [frame.shape for frame in frames]
    [(16, 24, 3), (16, 24, 3), (16, 24, 3)]
    """
    import av

    if not 0 < fps < np.inf:
        raise ValueError(f"`fps` must be positive. Received: fps={fps}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame. Received none.")
    shape = np.shape(first)
    try:
        container = av.open(os.fspath(path), "w")
    except ValueError:
        raise ValueError(
            f"`path` must end in the suffix of a video format. Received: path={path}"
        ) from None
    with _naming_errors(path), container:
        rate = fractions.Fraction(fps).limit_denominator(10_000)
        stream = container.add_stream(CODEC, rate, options={"crf": QUALITY})
        stream.height, stream.width = (n + n % 2 for n in shape[:2])
        stream.pix_fmt = PIXELS
        for frame in itertools.chain([first], frames):
            picture = av.VideoFrame.from_ndarray(_even(frame, shape), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())  # what the encoder has kept back
    return path


def _even(frame, shape):
    frame = np.asarray(frame)
    if frame.shape != shape or frame.shape[2:] != (3,) or frame.dtype != np.uint8:
        raise ValueError(
            "`frames` must be uint8 [H, W, 3] and of one size. Received: "
            f"shape={frame.shape}, dtype={frame.dtype} after {shape}"
        )
    return np.pad(frame, [(0, n % 2) for n in shape[:2]] + [(0, 0)], mode="edge")


@contextlib.contextmanager
def _opened(path):
    import av

    check_regular(path)
    with _naming_errors(path), av.open(os.fspath(path)) as container:
        if not container.streams.video:
            raise ValueError(f"{path} must have a video. Received: a file without one")
        yield container


@contextlib.contextmanager
def _naming_errors(path):
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise ValueError(f"{path} is not a complete video: {error}") from None
