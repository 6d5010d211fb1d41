"""Distribution over devices: what Keras has, and what it lacks or ignores."""

import keras


def fully_sharded(devices=None, **kwargs):
    """Fully sharded data parallelism (FSDP, ZeRO-3) for the JAX backend.

    Like `keras.distribution.DataParallel`, but each weight, and with it its
    optimizer state, is split over the devices along its largest divisible axis
    instead of being copied to all. XLA gathers what a layer needs when it needs it.

    Set it before the model is built: `keras.distribution.set_distribution(...)`.
    Batches must be divisible by the number of devices, in evaluation too.

    Args:
        devices: device names as `keras.distribution.list_devices` gives; None for
            all.
        **kwargs: arguments of `keras.distribution.DataParallel`, for example
            `auto_shard_dataset=False`.

    Raises:
        ValueError: the backend is not JAX. Keras accepts a distribution under
            TensorFlow and ignores it, and knows none under PyTorch.

    Reference:
        arXiv 1910.02054 (ZeRO).
    """
    check_backend("fully_sharded")

    class FullySharded(keras.distribution.DataParallel):
        def get_variable_layout(self, variable):
            count = self.device_mesh.devices.size
            axes = [None] * len(variable.shape)
            divisible = [
                (size, axis)
                for axis, size in enumerate(variable.shape)
                if size and size % count == 0
            ]
            if divisible:
                axes[max(divisible)[1]] = self.batch_dim_name
            return keras.distribution.TensorLayout(axes, self.device_mesh)

    return FullySharded(devices=devices, **kwargs)


def data_parallel(devices=None, **kwargs):
    """`keras.distribution.DataParallel`, refused where Keras would ignore it.

    Args:
        devices: device names; None for all.
        **kwargs: further arguments of `keras.distribution.DataParallel`.

    Raises:
        ValueError: the backend is not JAX. Under TensorFlow build and compile the
            model in `tf.distribute.MirroredStrategy().scope()`.
    """
    check_backend("data_parallel")
    return keras.distribution.DataParallel(devices=devices, **kwargs)


def check_backend(name):
    """Raise a ValueError unless the backend honours `keras.distribution`."""
    ways = {
        "tensorflow": "Build and compile the model in a tf.distribute scope instead.",
        "torch": "Keras trains on one device under PyTorch.",
    }
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            f"`{name}` needs the JAX backend. Received: {backend}. {ways.get(backend, '')}"
        )
