"""The pixels around each pixel, as channels."""

import itertools

from keras import ops

from keras_perceiver.ops.masks import check_rank


def neighbourhoods(x, radius=1):
    """Give each pixel the pixels around it, of all frames, as channels.

    Patches of stride 1, with zeros beyond the edges. Slices move numbers and compute
    nothing: an identity convolution (`keras.ops.image.extract_patches`) rounds them to
    what a GPU multiplies in.

    Args:
        x: `[B, T, H, W, C]` frames.
        radius: pixels on either side: 1 for patches of 3 x 3.

    Returns:
        `[B, H, W, T*h*w*C]`; channels in the order (T, h, w, C).

    Raises:
        ValueError: wrong rank.
    """
    check_rank("x", x, (5,), "[B, T, H, W, C]")
    frames, height, width = x.shape[1:4]
    edge, shifts = (radius, radius), range(2 * radius + 1)
    x = ops.pad(x, ((0, 0), (0, 0), edge, edge, (0, 0)))
    return ops.concatenate(
        [
            x[:, frame, top : top + height, left : left + width]
            for frame, top, left in itertools.product(range(frames), shifts, shifts)
        ],
        axis=-1,
    )
