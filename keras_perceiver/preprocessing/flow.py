"""Pairs of frames to tiles for a flow model, and its flows of tiles back to frames."""

import itertools
import os

import numpy as np

from keras_perceiver.preprocessing.images import to_pixels

OVERLAP = 20  # of the official model's tiles


class FlowPreprocessor:
    """Cut frames into overlapping tiles of a model's size, and blend its flows.

    Args:
        image_shape: `(height, width)` of a tile.
        min_overlap: pixels that neighbouring tiles share at least; None for the 20 of
            the official model, or half a tile if that is less.
        flow_scale: pixels per unit of the model's flow.

    Raises:
        ValueError: a shape that is not two numbers, an overlap that is negative or not
            smaller than a tile, or a scale that is not positive.

    Example:
    >>> preprocess = FlowPreprocessor((8, 12))
    >>> preprocess.grid((8, 20))
    [(0, 0), (0, 8)]
    >>> tiles = preprocess((np.zeros((8, 20, 3)), np.ones((8, 20, 3))))
    >>> tiles.shape, tiles[0, :, 0, 0, 0]
    ((2, 2, 8, 12, 3), array([-1.,  1.], dtype=float32))
    >>> preprocess.blend(np.ones((2, 8, 12, 2)), (8, 20))[0, 0]
    array([20., 20.], dtype=float32)

    Reference:
        arXiv 2107.14795, appendix H.
    """

    def __init__(self, image_shape, min_overlap=None, flow_scale=20.0):
        self.image_shape = tuple(image_shape)
        if len(self.image_shape) != 2:
            raise ValueError(
                "`image_shape` must be (height, width). "
                f"Received: image_shape={self.image_shape}"
            )
        if min_overlap is None:
            min_overlap = min(OVERLAP, min(self.image_shape) // 2)
        if not 0 <= min_overlap < min(self.image_shape):
            raise ValueError(
                "`min_overlap` must be at least 0 and smaller than a tile. Received: "
                f"min_overlap={min_overlap}, image_shape={self.image_shape}"
            )
        self.min_overlap = min_overlap
        self.flow_scale = flow_scale
        if not flow_scale > 0:
            raise ValueError(
                f"`flow_scale` must be positive. Received: flow_scale={flow_scale}"
            )

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {
            "image_shape": list(self.image_shape),
            "min_overlap": self.min_overlap,
            "flow_scale": self.flow_scale,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __call__(self, frame_pairs):
        """Model inputs `[tiles, 2, height, width, 3]`: the tiles of pair after pair.

        Args:
            frame_pairs: as for `read`.

        Raises:
            ValueError: as `read` and `grid`.
        """
        pairs, _ = self.read(frame_pairs)
        return np.concatenate([self.tiles(pair) for pair in pairs])

    def read(self, frame_pairs):
        """Pairs of frames as arrays.

        Args:
            frame_pairs: a pair of frames, a sequence of pairs, or a video: three frames
                or more. A frame is a path, a PIL image, or an array `[H, W]`,
                `[H, W, 1]` or `[H, W, 3]`; uint8, or floats in [0, 1].

        Returns:
            `(pairs, single)`: a list of pairs of arrays `[H, W, 3]` in float32, values
            in [-1, 1]; and whether just one pair was given, not in a sequence.

        Raises:
            ValueError: something else, NaN pixels, or frames of a pair that differ in
                size.
        """
        items = [] if _is_frame(frame_pairs) else list(frame_pairs)
        if len(items) > 1 and all(map(_is_frame, items)):
            pairs = list(itertools.pairwise(map(_read, items)))
        elif items and all(map(_is_pair, items)):
            pairs = [(_read(first), _read(second)) for first, second in items]
        else:
            kinds = sorted({type(item).__name__ for item in items or [frame_pairs]})
            raise ValueError(
                "`frame_pairs` must be a pair of frames, a sequence of pairs, or a video "
                f"of three frames or more. Received: {len(items)} of {', '.join(kinds)}"
            )
        for index, (first, second) in enumerate(pairs):
            if first.shape != second.shape:
                raise ValueError(
                    "`frame_pairs` must hold frames of one size in each pair. Received: "
                    f"{first.shape[:2]} and {second.shape[:2]} in pair {index}"
                )
        return pairs, _is_pair(items)

    def grid(self, size):
        """Top left corners `(y, x)` of the tiles that cover a frame.

        Args:
            size: `(height, width)` of the frame.

        Raises:
            ValueError: a frame that is smaller than a tile.
        """
        if any(length < tile for length, tile in zip(size, self.image_shape, strict=True)):
            raise ValueError(
                f"Frames must not be smaller than a tile, {self.image_shape}: resize them "
                f"first. Received: {tuple(size)}"
            )
        # The last tile ends where the frame does, whatever it shares with the others.
        return list(
            itertools.product(
                *(
                    [*range(0, length - tile, tile - self.min_overlap), length - tile]
                    for length, tile in zip(size, self.image_shape, strict=True)
                )
            )
        )

    def tiles(self, pair):
        """Tiles `[tiles, 2, height, width, 3]` of a pair of frames `[H, W, 3]`."""
        windows = map(self._window, self.grid(pair[0].shape[:2]))
        return np.stack([[frame[window] for frame in pair] for window in windows])

    def blend(self, flows, size):
        """Flow in pixels of a whole frame.

        Tiles are weighted by the distance to their edge, where a pixel may have left
        what the model sees.

        Args:
            flows: the model's output for each tile, `[tiles, height, width, 2]`.
            size: `(height, width)` of the frame.

        Returns:
            `[*size, 2]` in float32.
        """
        distances = (
            np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in self.image_shape
        )
        weights = np.minimum.outer(*distances)[..., None].astype("float32")
        flow = np.zeros((*size, 2), "float32")
        total = np.zeros((*size, 1), "float32")
        for corner, tile in zip(self.grid(size), flows, strict=True):
            window = self._window(corner)
            flow[window] += weights * tile
            total[window] += weights
        return flow / total * np.float32(self.flow_scale)

    def _window(self, corner):
        return tuple(
            slice(start, start + tile)
            for start, tile in zip(corner, self.image_shape, strict=True)
        )


def _is_frame(value):
    if isinstance(value, (list, tuple)):
        return False
    # The second is a PIL image.
    return (
        isinstance(value, (str, os.PathLike))
        or hasattr(value, "convert")
        or np.ndim(value) in (2, 3)
    )


def _is_pair(value):
    if not isinstance(value, (list, tuple)) and np.ndim(value) != 4:
        return False
    return len(value) == 2 and all(map(_is_frame, value))


def _read(frame):
    pixels = to_pixels(frame, 3, name="frame_pairs")  # [H, W, C] in [0, 1]
    if pixels.shape[-1] not in (1, 3):
        raise ValueError(
            "`frame_pairs` must hold frames of 1 or 3 channels. "
            f"Received: shape={pixels.shape}"
        )
    return np.broadcast_to(2 * pixels - 1, (*pixels.shape[:2], 3))
