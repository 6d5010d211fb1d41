"""Several JAX processes that train one model: whole weights, and one that writes.

One process is the case of every other backend, and of JAX until
`keras.distribution.initialize` was called.
"""

import keras
import numpy as np


def several():
    """Whether this is one of several processes."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.process_count() > 1


def is_first():
    """Whether this is the process that writes."""
    if not several():
        return True
    import jax

    return jax.process_index() == 0


def largest(number):
    """The largest of the processes' numbers, an integer; all must call this."""
    if not several():
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.process_allgather(np.asarray(number)).max())


def whole(tensor):
    """Values of a tensor or variable as a numpy array, wherever they are.

    Where each process has but a part of them, all processes must call this.
    """
    if several():
        import jax
        from jax.experimental import multihost_utils

        value = keras.ops.convert_to_tensor(tensor)
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            return multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(tensor)


def in_the_first(write):
    """Call a function in the first process; the others wait until it has returned.

    Args:
        write: function without arguments.

    Raises:
        OSError: in the others, if it raised in the first.
    """
    if not several():
        write()
        return
    from jax.experimental import multihost_utils

    written = False
    try:
        if is_first():
            write()
        written = True
    finally:  # or the others would wait for ever
        written = bool(multihost_utils.broadcast_one_to_all(np.asarray(written)))
    if not written:
        raise OSError("The first of the processes could not write: see its error.")
