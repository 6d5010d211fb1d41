"""Choosing input positions, to serve as latents in place of a learned array."""

from keras import ops

from keras_perceiver.ops.masks import as_bool, check_rank


def last_positions(x, num_positions, padding_mask=None):
    """The last `num_positions` real positions of each row, in order.

    Args:
        x: inputs `[B, M, C]`.
        num_positions: how many to take, N.
        padding_mask: `[B, M]`, True at real positions; anything goes between
            left and right padding. A row with fewer than N real positions
            repeats its first one.

    Returns:
        `[B, N, C]`, for example as the `latents` of a `PerceiverEncoder`.
    """
    length = _check(x, num_positions)
    if padding_mask is None:
        return x[:, length - num_positions :]
    counts, order = _real_first(padding_mask)
    ranks = counts - num_positions + ops.arange(num_positions)[None]  # [B, N]
    return _take(x, order, ops.maximum(ranks, 0))


def spaced_positions(x, num_positions, padding_mask=None):
    """`num_positions` evenly spaced real positions of each row, in order.

    Arguments and result are those of `last_positions`. The first real position
    is always among them; with fewer than N real ones, some are repeated.
    """
    length = _check(x, num_positions)
    steps = ops.arange(num_positions)[None]  # [1, N]
    if padding_mask is None:
        return ops.take(x, steps[0] * length // num_positions, axis=1)
    counts, order = _real_first(padding_mask)
    return _take(x, order, steps * counts // num_positions)


def _check(x, num_positions):
    check_rank("x", x, (3,), "[B, M, C]")
    length = x.shape[1]
    if num_positions < 1 or (length is not None and length < num_positions):
        raise ValueError(
            "`num_positions` must lie between 1 and the input length. Received: "
            f"num_positions={num_positions}, x.shape={tuple(x.shape)}"
        )
    return ops.shape(x)[1] if length is None else length


def _real_first(padding_mask):
    """How many real positions a row has [B, 1], and their indices first [B, M]."""
    real = ops.cast(as_bool(padding_mask), "int32")  # [B, M]
    # A stable sort by (padding, index): real positions first, in their order.
    length = ops.shape(real)[1]
    keys = (1 - real) * length + ops.arange(length, dtype="int32")[None]
    return ops.sum(real, axis=1, keepdims=True), ops.argsort(keys, axis=1)


def _take(x, order, ranks):
    indices = ops.take_along_axis(order, ops.cast(ranks, order.dtype), axis=1)  # [B, N]
    return ops.take_along_axis(x, indices[..., None], axis=1)  # [B, N, C]
