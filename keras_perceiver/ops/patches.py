"""Space-to-depth: patches of an image or a video as channels."""

import einops

from keras_perceiver.ops.masks import check_rank


def space_to_depth(x, patch_size):
    """Move the pixels of each patch into the channels.

    Args:
        x: `[B, H, W, C]` images, or `[B, T, H, W, C]` videos.
        patch_size: pixels on a side, or a tuple with one size per spatial axis
            (`(height, width)`, or `(time, height, width)`).

    Returns:
        `[B, (T/t), H/h, W/w, (t*)h*w*C]`; channels in the order (t, h, w, C), as
        in DeepMind's preprocessor.

    Raises:
        ValueError: wrong rank, or an axis that its patch size does not divide.
    """
    sizes = _sizes(x, patch_size)
    pattern = (
        "b (h p) (w q) c -> b h w (p q c)"
        if len(sizes) == 2
        else "b (t r) (h p) (w q) c -> b t h w (r p q c)"
    )
    return einops.rearrange(
        x, pattern, **dict(zip("pq" if len(sizes) == 2 else "rpq", sizes, strict=True))
    )


def depth_to_space(x, patch_size):
    """The inverse of `space_to_depth`."""
    sizes = _sizes(x, patch_size, divide=False)
    pattern = (
        "b h w (p q c) -> b (h p) (w q) c"
        if len(sizes) == 2
        else "b t h w (r p q c) -> b (t r) (h p) (w q) c"
    )
    return einops.rearrange(
        x, pattern, **dict(zip("pq" if len(sizes) == 2 else "rpq", sizes, strict=True))
    )


def _sizes(x, patch_size, divide=True):
    check_rank("x", x, (4, 5), "[B, H, W, C] or [B, T, H, W, C]")
    axes = len(x.shape) - 2
    if isinstance(patch_size, int):
        # One number means square patches; frames of a video stay apart.
        sizes = (patch_size, patch_size) if axes == 2 else (1, patch_size, patch_size)
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
