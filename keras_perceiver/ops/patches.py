"""Space-to-depth: patches of a sound, an image or a video as channels."""

import einops

from keras_perceiver.ops.masks import check_rank

# By number of axes: pixels on their axes, and patches with pixels in the channels.
PATTERNS = {
    1: ("b (t q) c", "b t (q c)"),
    2: ("b (h p) (w q) c", "b h w (p q c)"),
    3: ("b (t r) (h p) (w q) c", "b t h w (r p q c)"),
}


def space_to_depth(x, patch_size):
    """Move the pixels, or samples, of each patch into the channels.

    Args:
        x: `[B, T, C]` sounds, `[B, H, W, C]` images, or `[B, T, H, W, C]` videos.
        patch_size: samples, or pixels on a side, or a tuple with one size per axis
            (`(time,)`, `(height, width)`, or `(time, height, width)`).

    Returns:
        `[B, T/t, t*C]`, or `[B, (T/t), H/h, W/w, (t*)h*w*C]`; channels in the order
        (t, h, w, C), as in DeepMind's preprocessor.

    Raises:
        ValueError: wrong rank, or an axis that its patch size does not divide.
    """
    sizes = _sizes(x, patch_size)
    apart, together = PATTERNS[len(sizes)]
    return einops.rearrange(x, f"{apart} -> {together}", **_by_letter(sizes))


def depth_to_space(x, patch_size):
    """The inverse of `space_to_depth`."""
    sizes = _sizes(x, patch_size, divide=False)
    apart, together = PATTERNS[len(sizes)]
    return einops.rearrange(x, f"{together} -> {apart}", **_by_letter(sizes))


def _by_letter(sizes):
    return dict(zip("rpq"[-len(sizes) :], sizes, strict=True))


def _sizes(x, patch_size, divide=True):
    check_rank("x", x, (3, 4, 5), "[B, T, C], [B, H, W, C] or [B, T, H, W, C]")
    axes = len(x.shape) - 2
    if isinstance(patch_size, int):
        # One number means square patches; frames of a video stay apart.
        sizes = (1,) * (axes == 3) + (patch_size,) * min(axes, 2)
    else:
        sizes = tuple(patch_size)
    if len(sizes) != axes or any(size < 1 for size in sizes):
        raise ValueError(
            f"`patch_size` must be a positive integer or {axes} of them for an input "
            f"of rank {axes + 2}. Received: patch_size={patch_size}"
        )
    lengths = tuple(x.shape[1:-1])
    if divide and any(n is not None and n % s for n, s in zip(lengths, sizes, strict=True)):
        raise ValueError(
            "`patch_size` must divide the input's axes. Received: "
            f"patch_size={patch_size}, x.shape={tuple(x.shape)}"
        )
    return sizes
