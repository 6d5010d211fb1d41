"""Files of optical flow: Middlebury's `.flo`, and PNG as KITTI has it."""

import os
import pathlib

import numpy as np

from keras_perceiver.preprocessing.files import check_regular, read_bytes
from keras_perceiver.preprocessing.images import check_finite

FLO_MAGIC = np.float32(202021.25)  # its bytes read "PIEH"
FLO_HEADER = np.dtype([("magic", "<f4"), ("width", "<i4"), ("height", "<i4")])
# What Middlebury takes for unknown, and what its own tools write there.
FLO_UNKNOWN, FLO_UNKNOWN_VALUE = 1e9, 1e10
# KITTI: (value - 2**15) / 64 pixels, and validity in the third channel.
KITTI_OFFSET, KITTI_SCALE = 2**15, 64


def read_flow(path):
    """Flow of a file, which its suffix tells how to read.

    Args:
        path: of a file `.flo` (Middlebury, Sintel, FlyingChairs), or `.png` of 16 bits
            (KITTI; needs the package `av`).

    Returns:
        Flow in pixels, x to the right and y down, float32 `[H, W, 2]`, 0 where it is not
        known; and where it is, bool `[H, W]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, or a broken file.
    """
    readers = {".flo": _read_flo, ".png": _read_kitti}
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in readers:
        raise ValueError(
            f"`path` must end in one of {', '.join(readers)}. Received: path={path}"
        )
    flow, valid = readers[suffix](path)
    flow = np.where(valid[..., None], flow, 0).astype("float32")
    check_finite(os.fspath(path), flow)
    return flow, valid


def write_flo(path, flow, valid=None):
    """Write flow as a `.flo` file.

    Args:
        path: of the file.
        flow: in pixels, `[H, W, 2]`.
        valid: bool `[H, W]`, False where the flow is not known; None for everywhere.

    Returns:
        `path`.

    Raises:
        ValueError: flow of another shape, or not finite where it is known.

    Example:
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "zero.flo")
    >>> read_flow(write_flo(file, np.zeros((3, 4, 2))))[0].shape
    (3, 4, 2)
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[-1] != 2 or 0 in flow.shape:
        raise ValueError(f"`flow` must be [H, W, 2]. Received: shape={flow.shape}")
    if valid is not None:
        flow = np.where(np.asarray(valid)[..., None], flow, FLO_UNKNOWN_VALUE)
    check_finite("flow", flow)
    height, width = flow.shape[:2]
    header = np.array((FLO_MAGIC, width, height), FLO_HEADER)
    with open(path, "wb") as file:
        file.write(header.tobytes() + flow.astype("<f4").tobytes())
    return path


def _read_flo(path):
    content = read_bytes(path)
    size = FLO_HEADER.itemsize
    header = np.frombuffer(content[:size].ljust(size, b"\0"), FLO_HEADER)[0]
    if header["magic"] != FLO_MAGIC:
        raise ValueError(
            f"{path} must be a .flo file, which begins with {FLO_MAGIC}. "
            f"Received: {header['magic']}"
        )
    width, height = int(header["width"]), int(header["height"])
    expected = size + 8 * width * height
    if min(width, height) < 1 or len(content) != expected:
        raise ValueError(
            f"{path} must hold the {width} x {height} vectors that it says, in {expected} "
            f"bytes. Received: {len(content)} bytes"
        )
    flow = np.frombuffer(content, "<f4", offset=size).reshape(height, width, 2)
    # Not a number is not known either.
    return flow, (np.abs(flow) < FLO_UNKNOWN).all(axis=-1)


def _read_kitti(path):
    import av

    check_regular(path)
    try:
        with av.open(os.fspath(path)) as container:
            frame = next(container.decode(video=0))
            kind, pixels = frame.format.name, frame.to_ndarray()  # [H, W, 3]
    except (av.FFmpegError, StopIteration) as error:
        raise ValueError(f"{path} is not a complete PNG file: {error}") from None
    if pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise ValueError(
            f"{path} must be a PNG file of three channels of 16 bits, as KITTI has it. "
            f"Received: {kind}"
        )
    flow = (pixels[..., :2].astype("float32") - KITTI_OFFSET) / KITTI_SCALE
    return flow, pixels[..., 2] > 0
