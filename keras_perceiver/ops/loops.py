"""Part of the work at a time, or a second time, for less memory."""

import keras
from keras import ops


def map_chunks(function, size, axis, *arrays):
    """`function(start, *chunks)` for chunks of the arrays, put together again.

    Args:
        function: of an index on the axis and of chunks, giving a tensor with as many
            positions on the axis as they have.
        size: positions at a time.
        axis: which one.
        *arrays: tensors. The first has positions on the axis, a static number; those
            that have none there (None, or an axis of size 1) are the same for each
            chunk.

    Returns:
        A tensor.
    """
    length = arrays[0].shape[axis]
    if size >= length:
        return function(0, *arrays)
    places = [i for i, x in enumerate(arrays) if x is not None and x.shape[axis] == length]
    count, rest = divmod(length, size)

    def call(start, chunks):
        full = list(arrays)
        for place, chunk in zip(places, chunks, strict=True):
            ones = (1,) * (len(arrays[place].shape) - len(chunk.shape))
            full[place] = ops.reshape(chunk, (*ones, *ops.shape(chunk)))
        return function(start, *full)

    def split(x):  # the chunks first
        before, after = ops.shape(x)[:axis], ops.shape(x)[axis + 1 :]
        lone = _are_ones(x.shape[:axis])
        x = _part(x, slice(0, length - rest), axis)
        if lone:  # XLA would copy all of it to move axes of size 1
            return ops.reshape(x, (count, size, *after))
        return ops.moveaxis(ops.reshape(x, (*before, count, size, *after)), axis, 0)

    starts = size * ops.arange(count, dtype="int32")
    chunks = tuple(split(arrays[i]) for i in places)
    out = ops.map(lambda x: call(*x), (starts, chunks))
    before, after = ops.shape(out)[1 : axis + 1], ops.shape(out)[axis + 2 :]
    if not _are_ones(out.shape[1 : axis + 1]):
        out = ops.moveaxis(out, 0, axis)
    out = ops.reshape(out, (*before, length - rest, *after))
    if not rest:
        return out
    last = [_part(arrays[i], slice(length - rest, length), axis) for i in places]
    return ops.concatenate([out, call(length - rest, last)], axis=axis)


def _are_ones(shape):
    # An unknown size is None, or a symbol while JAX exports.
    return all(isinstance(n, int) and n == 1 for n in shape)


def _part(x, part, axis):
    return x[(slice(None),) * axis + (part,)]


def recompute(remat, function, *args):
    """`function(*args)`, its activations recomputed in the backward pass if `remat`.

    `args` are tensors or None. All randomness must come in through them: what the
    function drew itself, it would draw anew (see `keras_perceiver.ops.FixedSeed`).
    """
    if not remat:
        return function(*args)
    # Masks and seeds have no gradient, and TensorFlow fails on asking them for one:
    # they are closed over.
    places = [i for i, x in enumerate(args) if x is not None and _is_float(x)]

    def on_floats(*floats):
        full = list(args)
        for place, tensor in zip(places, floats, strict=True):
            full[place] = tensor
        return function(*full)

    return keras.remat(on_floats)(*(args[i] for i in places))


def _is_float(x):
    return "float" in keras.backend.standardize_dtype(x.dtype)
