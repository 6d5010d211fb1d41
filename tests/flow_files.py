"""Optical flow as its data sets have it, for tests: what the library only reads."""

import numpy as np


def write_kitti(path, flow, valid):
    """A PNG of 16 bits: flow in 64ths of a pixel around 2**15, and the mask."""
    import av

    pixels = np.zeros((*valid.shape, 3), "uint16")
    pixels[..., :2] = np.rint(64 * flow + 2**15)
    pixels[..., 2] = valid
    height, width = valid.shape
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb48be"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48be")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_image(path, seed, size):
    """Random colours."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)
    return pixels
