"""Photographs that move: optical flow whose ground truth is known exactly."""

import math
from collections.abc import Sequence

import numpy as np

from keras_perceiver.data.flow import FlowData

KNOT_DISTANCE = 32  # pixels between the vectors that a warp is drawn by
# How far these differ from what they have in common, as a fraction of it.
ROUGHNESS = 0.5
# Crops that are drawn before it is given up to find one with something to see.
TRIES = 1000
# Of a channel that is recoloured: factors on its contrast, and what is added, at most.
CONTRASTS, BRIGHTNESS = (0.5, 1.5), 50


def moved_photographs(
    size: tuple[int, int] = (64, 64),
    max_flow: float = 4.0,
    min_texture: float = 5.0,
    train_count: int = 10_000,
    test_count: int = 200,
    seed: int = 0,
    recolour: bool = True,
) -> FlowData:
    """Crops of two real photographs, moved by smooth warps.

    The photographs come with scikit-learn. One of them is trained on, the other is held
    out whole. Real pixels, but synthetic motion: nothing is hidden, and all of it moves
    smoothly.

    Args:
        size: `(height, width)` of the frames.
        max_flow: longest motion, in pixels.
        min_texture: how much crops differ at least from one pixel to the next, in grey
            levels, along whichever line they differ least. The motion of plain sky, or of
            an edge along itself, cannot be seen.
        train_count: pairs to train on. They are made when asked for: many cost nothing.
        test_count: pairs held out.
        seed: of crops and motion.
        recolour: whether to train on other colours than those of the one photograph:
            channels in another order, each brighter or darker, with more contrast or
            less, alike in both frames.

    Returns:
        A `FlowData`, whose records have no mask: the flow is known everywhere.

    Raises:
        ValueError: frames that do not fit into a photograph, a motion that is not
            positive, no pair, or more texture than is found.
    """
    from sklearn.datasets import load_sample_image

    train, test = (load_sample_image(f"{name}.jpg") for name in ("china", "flower"))
    # Of another seed: the same warps on both sides would not be held out.
    return FlowData(
        MovedPhotograph(train, size, max_flow, train_count, min_texture, seed, recolour),
        MovedPhotograph(test, size, max_flow, test_count, min_texture, seed + 1),
    )


class MovedPhotograph(Sequence):
    """Crops of a photograph and what they come from, made when asked for.

    The second frame is a crop, turned by a multiple of 90 degrees and mirrored or not.
    The first one is made of it: its pixel at x shows what the second one has at
    `x + flow(x)`, between pixels by cubic splines.

    Args:
        photograph: uint8 `[H, W, 3]`.
        size: `(height, width)` of the frames.
        max_flow: longest motion, in pixels.
        count: number of records. The same index gives the same record.
        min_texture: see `moved_photographs`.
        seed: of crops and motion.
        recolour: see `moved_photographs`.

    Raises:
        ValueError: frames that do not fit into the photograph, a motion that is not
            positive, or no record; when a record is asked for, more texture than is found.

    Example:
    >>> photograph = np.zeros((50, 60, 3), "uint8")
    >>> records = MovedPhotograph(photograph, (16, 24), max_flow=2, count=3)
    >>> frame1, frame2, flow, valid = records[2]
    >>> flow.shape, bool(np.linalg.norm(flow, axis=-1).max() <= 2)
    ((16, 24, 2), True)
    """

    def __init__(
        self,
        photograph,
        size,
        max_flow,
        count,
        min_texture=0.0,
        seed=0,
        recolour=False,
    ):
        from scipy.ndimage import spline_filter

        if not 0 < max_flow < np.inf:
            raise ValueError(f"`max_flow` must be positive. Received: max_flow={max_flow}")
        if count < 1:
            raise ValueError(f"`count` must be 1 or more. Received: count={count}")
        self.margin = math.ceil(max_flow)
        room = min(photograph.shape[:2]) - 2 * self.margin
        if len(size) != 2 or min(size) < 1 or max(size) > room:
            raise ValueError(
                "`size` must be (height, width), each from 1 to the photograph's shorter "
                f"side less the motion, {room}. Received: size={size}"
            )
        self.photograph = photograph
        self.size = tuple(size)
        self.max_flow = max_flow
        self.count = count
        self.min_texture = min_texture
        self.seed = seed
        self.recolour = recolour
        self._splines = [
            spline_filter(plane.astype("float32"), output="float32")
            for plane in np.moveaxis(photograph, -1, 0)
        ]

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        from scipy.ndimage import map_coordinates

        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        flow = smooth_flow(self.size, self.max_flow, rng)  # [h, w, 2]
        grid = np.moveaxis(np.indices(self.size), 0, -1)  # [h, w, 2], rows and columns
        frame2, turn, start = self._crop(grid, rng)
        there = (grid + flow[..., ::-1]) @ turn + start  # [h, w, 2]
        planes = [
            map_coordinates(spline, np.moveaxis(there, -1, 0), prefilter=False)
            for spline in self._splines
        ]
        frames = np.stack([np.stack(planes, axis=-1), frame2])  # [2, h, w, 3]
        if self.recolour:
            frames = _recoloured(frames, rng)
        frame1, frame2 = np.rint(np.clip(frames, 0, 255)).astype("uint8")
        return frame1, frame2, flow, None

    def _crop(self, grid, rng):
        """A crop, and the matrix and vector that lead from its grid to the photograph."""
        for _ in range(TRIES):
            turn = _turn(rng)  # [2, 2]
            seen = grid @ turn  # [h, w, 2]
            low = self.margin - seen.min(axis=(0, 1))
            high = np.subtract(self.photograph.shape[:2], self.margin) - seen.max((0, 1))
            start = rng.integers(low, high)
            rows, columns = np.moveaxis(seen + start, -1, 0)  # [h, w] each
            crop = self.photograph[rows, columns]
            if texture(crop) >= self.min_texture:
                return crop, turn, start
        raise ValueError(
            f"`min_texture` must be less than what the photograph has. Received: "
            f"min_texture={self.min_texture}, which none of {TRIES} crops has"
        )

    def __repr__(self):
        return f"MovedPhotograph({self.count} pairs of {self.size})"


def smooth_flow(size, max_flow, rng):
    """A smooth random flow.

    Vectors with a part in common are drawn at knots, with cubic splines between them, and
    made so long that the longest is drawn between 0 and `max_flow`.

    Args:
        size: `(height, width)`.
        max_flow: in pixels.
        rng: a numpy generator.

    Returns:
        Float32 `[height, width, 2]`.

    Example:
    >>> smooth_flow((8, 9), 1.0, np.random.default_rng(0)).shape
    (8, 9, 2)
    """
    from scipy.ndimage import zoom

    knots = [1 + math.ceil(n / KNOT_DISTANCE) for n in size]
    vectors = rng.normal(size=2) + ROUGHNESS * rng.normal(size=(*knots, 2))
    factors = [n / k for n, k in zip(size, knots, strict=True)]
    flow = zoom(vectors, (*factors, 1), mode="nearest")
    longest = np.linalg.norm(flow, axis=-1).max()
    return (flow * (rng.uniform(0, max_flow) / longest)).astype("float32")


def texture(image):
    """How much an image differs from one pixel to the next, where it does so least.

    The root of the smaller eigenvalue of its structure tensor.

    Args:
        image: uint8 `[H, W, 3]`, at least 2 x 2.

    Returns:
        Grey levels a pixel, a float.

    Example:
    >>> edge = np.zeros((8, 8, 3), "uint8")
    >>> edge[:, 4:] = 255
    >>> float(texture(edge))  # it may have moved along itself
    0.0
    """
    gradients = np.reshape(np.gradient(image.mean(axis=-1)), (2, -1))  # [2, H * W]
    tensor = gradients @ gradients.T / gradients.shape[1]
    return np.sqrt(max(np.linalg.eigvalsh(tensor)[0], 0.0))


def _recoloured(frames, rng):
    """Frames `[..., 3]` with other colours, not yet cut off at black and white."""
    middle = 127.5
    contrast = rng.uniform(*CONTRASTS, size=3)
    brightness = rng.uniform(-BRIGHTNESS, BRIGHTNESS, size=3)
    frames = frames[..., rng.permutation(3)]
    return (frames - middle) * contrast + middle + brightness


def _turn(rng):
    """One of the eight ways to lay a square, a matrix `[2, 2]` of integers."""
    matrix = np.diag(rng.choice([-1, 1], size=2))
    return matrix[::-1] if rng.integers(2) else matrix
