"""Layer normalisation without its scale and offset."""

from keras import ops

# One epsilon for every norm of the library, that of all reference systems.
EPSILON = 1e-5


def normalize(x, epsilon=EPSILON):
    """Mean 0 and variance 1 over the last axis, computed in float32.

    The scale and offset of a LayerNormalization are left to the caller: what is
    common to all norms of the same input is computed once, and the scale and
    offset fold into the projections that follow (`attend_folded`).
    """
    wide = ops.cast(x, "float32")
    mean = ops.mean(wide, axis=-1, keepdims=True)
    centred = wide - mean
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return ops.cast(centred * ops.rsqrt(variance + epsilon), x.dtype)
