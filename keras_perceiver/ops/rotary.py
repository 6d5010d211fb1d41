"""Rotary positions (arXiv 2104.09864): angles, and turning channels by them."""

from keras import ops

from keras_perceiver.ops.plain import plain_ops


def rotary_angles(positions, channels):
    """Cosine and sine of the angle of each pair of channels at each position.

    Pair `i` turns by `position * 10000 ** (-2 i / channels)`. In float32 under every
    dtype policy.

    Args:
        positions: numbers `[B, N]`; only their differences matter to attention.
        channels: channels per head to rotate, an even number R.

    Returns:
        `(cosine, sine)`, `[B, 1, N, R / 2]` each.

    Example:
    >>> cosine, sine = rotary_angles(ops.arange(5)[None], channels=8)
    >>> tuple(cosine.shape)
    (1, 1, 5, 4)
    """
    exponents = ops.arange(0, channels, 2, dtype="float32") / channels  # [R / 2]
    frequencies = ops.power(10000.0, -exponents)
    angles = ops.cast(positions, "float32")[:, None, :, None] * frequencies
    return ops.cos(angles), ops.sin(angles)  # [B, 1, N, R / 2]


def rotate(x, rotation):
    """Rotate the first channels of each head; the others pass through.

    Neighbours are pairs: `(x_0, x_1)` turns, and `(x_2, x_3)`, as in krasserm's and
    Google's code (not the halves of the head, as in GPT-NeoX).

    Args:
        x: `[B, H, N, K]`.
        rotation: of `rotary_angles`, or None for none.

    Returns:
        `[B, H, N, K]`.
    """
    if rotation is None:
        return x
    pairs, own = rotation[0].shape[-1], plain_ops()
    if pairs == 0:
        return x
    if rotation[0].dtype != x.dtype:
        rotation = tuple(ops.cast(part, x.dtype) for part in rotation)
    cosine, sine = rotation
    first, second = x[..., : 2 * pairs : 2], x[..., 1 : 2 * pairs : 2]  # [B, H, N, R / 2]
    turned = own.stack([first * cosine - second * sine, second * cosine + first * sine], -1)
    turned = own.reshape(turned, (*ops.shape(x)[:-1], 2 * pairs))
    return own.concatenate([turned, x[..., 2 * pairs :]], -1)


def shifted_positions(padding_mask):
    """Positions `[B, S]` of tokens, counted from the first real one of each row.

    Padding on the left has position 0, like the first token; it is masked anyway.

    Args:
        padding_mask: `[B, S]`, True at real tokens.
    """
    real = ops.cast(ops.not_equal(ops.convert_to_tensor(padding_mask), 0), "int32")
    return ops.maximum(ops.cumsum(real, axis=1) - 1, 0)
