"""Optical flow as colours."""

import numpy as np

from keras_perceiver.preprocessing.images import check_finite
from keras_perceiver.preprocessing.video import write_video

# Pixels of motion that are drawn in full colour, as krasserm/perceiver-io does.
FULL_COLOUR = 24.0
WHEEL = 101  # pixels of the picture of the colours


def flow_image(flow, max_flow=FULL_COLOUR):
    """Flow as an image: the direction is the hue, the length the saturation.

    What stays is white. Motion to the right is red, down yellow-green, to the left cyan,
    up violet.

    Args:
        flow: in pixels, x to the right and y down, `[H, W, 2]`.
        max_flow: length that is drawn in full colour; longer ones are too.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: flow of another shape or not finite, or a length that is not positive.

    Example:
    >>> flow_image(np.array([[[0.0, 0.0], [24.0, 0.0]]])).tolist()
    [[[255, 255, 255], [255, 0, 0]]]

    Reference:
        `render_optical_flow` of krasserm/perceiver-io.
    """
    from matplotlib.colors import hsv_to_rgb

    flow = np.asarray(flow, "float32")
    if flow.ndim != 3 or flow.shape[-1] != 2:
        raise ValueError(f"`flow` must be [H, W, 2]. Received: shape={flow.shape}")
    check_finite("flow", flow)
    if not 0 < max_flow < np.inf:
        raise ValueError(f"`max_flow` must be positive. Received: max_flow={max_flow}")
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1  # [H, W]
    saturation = np.minimum(np.linalg.norm(flow, axis=-1) / max_flow, 1)
    colours = hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))
    return np.rint(255 * colours).astype("uint8")


def plot_flow(frame_pairs, flows, path, truths=None, max_flow=None):
    """Draw frames and their flow in colours, into a PNG file.

    Args:
        frame_pairs: a sequence of `(frame1, frame2)`, uint8 `[H, W, 3]`; a row each.
        flows: in pixels, `[H, W, 2]` each, as `OpticalFlow.estimate` gives them.
        path: of the file.
        truths: the true flows, to be drawn beside them; or None.
        max_flow: length in pixels that is drawn in full colour; None for the longest
            that there is.

    Returns:
        `path`.

    Raises:
        ValueError: not as many flows as pairs, or no pair.
    """
    from matplotlib.figure import Figure

    counts = [len(x) for x in (frame_pairs, flows, truths) if x is not None]
    if len(set(counts)) > 1 or counts[0] == 0:
        raise ValueError(
            "`frame_pairs`, `flows` and `truths` must be equally many, at least one. "
            f"Received: {counts}"
        )
    if max_flow is None:
        every = [*flows, *(() if truths is None else truths)]
        max_flow = max(float(np.linalg.norm(flow, axis=-1).max()) for flow in every)
        max_flow = max_flow or 1.0  # of one that is 0 everywhere
    titles = ["first frame", "second frame", "flow"]
    rows = [
        [*pair, flow_image(flow, max_flow)]
        for pair, flow in zip(frame_pairs, flows, strict=True)
    ]
    if truths is not None:
        titles[2:] = ["true flow", "estimate"]
        for row, truth in zip(rows, truths, strict=True):
            row.insert(2, flow_image(truth, max_flow))
    columns = len(titles) + 1  # the last one for the wheel
    figure = Figure(figsize=(2.1 * columns, 2.2 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for i, (row, line) in enumerate(zip(rows, axes, strict=True)):
        for axis, picture, title in zip(line[:-1], row, titles, strict=True):
            axis.imshow(picture)
            axis.set_title(title if i == 0 else "", fontsize=9)
        known = flows[i] if truths is None else truths[i]
        length = np.linalg.norm(known, axis=-1).mean()
        line[2].set_xlabel(f"mean length {length:.2f} px", fontsize=8)
        if truths is not None:
            error = np.linalg.norm(flows[i] - known, axis=-1).mean()
            line[3].set_xlabel(f"error {error:.2f} px", fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[:, -1]:
        axis.set_axis_off()
    _draw_wheel(axes[0, -1], max_flow)
    figure.savefig(path, dpi=120)
    return path


def write_flow_video(path, estimates, fps, max_flow=FULL_COLOUR):
    """Write a video of frames, and beside each its flow in colours.

    Args:
        path: of the file, `.mp4` for example.
        estimates: `(frame, flow)` each: uint8 `[H, W, 3]`, and in pixels `[H, W, 2]`; any
            iterable.
        fps: frames a second.
        max_flow: length in pixels that is drawn in full colour.

    Returns:
        `path`.
    """
    frames = (
        np.concatenate([frame, flow_image(flow, max_flow)], axis=1)  # [H, 2W, 3]
        for frame, flow in estimates
    )
    return write_video(path, frames, fps)


def _draw_wheel(axis, max_flow):
    """Draw which motion has which colour."""
    y, x = np.mgrid[-1 : 1 : WHEEL * 1j, -1 : 1 : WHEEL * 1j]
    wheel = flow_image(max_flow * np.stack([x, y], axis=-1), max_flow)
    wheel[np.hypot(x, y) > 1] = 255
    axis.imshow(wheel, extent=(-1, 1, 1, -1))
    axis.set_xlim(-1.7, 1.7)
    axis.set_ylim(1.7, -1.7)
    axis.text(1.1, 0, "right", ha="left", va="center", fontsize=8)
    axis.text(-1.1, 0, "left", ha="right", va="center", fontsize=8)
    axis.text(0, 1.1, "down", ha="center", va="top", fontsize=8)
    axis.text(0, -1.1, "up", ha="center", va="bottom", fontsize=8)
    axis.set_title(f"colour: motion\n(edge: {max_flow:.1f} px)", fontsize=9)
