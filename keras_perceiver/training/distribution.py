"""Distribution over devices: what Keras has, and what it lacks or ignores."""

import contextlib

import keras

from keras_perceiver.training import mirroring, sharding

KINDS = {
    "jax": ("data", "fully_sharded", "tensor"),
    "tensorflow": ("mirrored", "tpu"),
    "torch": (),
}


def distribute(kind, devices=None, model_parallel=None):
    """A context in which models are built and trained on several devices.

    Each batch that `fit`, `evaluate` or `predict` gets is split over the devices. What
    they give is what one device gives, up to rounding, also where the devices do not
    divide the rows, as in the last batch of an epoch. On exit, what was there before is
    there again. Kinds, on JAX:

    - `"data"`: all weights on each device.
    - `"fully_sharded"`: each weight, and with it the state of its optimizer, split over
      all devices along its largest axis that they divide (FSDP, ZeRO-3). XLA gathers
      what a layer needs when it needs it.
    - `"tensor"`: the computation of each layer split over `model_parallel` devices:
      attention by heads, MLPs by hidden channels, embeddings by channels. Weights that
      do not divide, and all others, are on each device. The batch is split over the
      rest of the devices.

    On TensorFlow, by `tf.distribute`:

    - `"mirrored"`: all weights on each device of this machine.
    - `"tpu"`: likewise, on a TPU.

    There, `compile` goes without `jit_compile=True` and the optimizer without gradient
    accumulation, which Keras cannot distribute, and batch normalization (of
    `StemSpec(kind="conv")`) is each device's own.

    On PyTorch, Keras trains on one device.

    **Several processes** (hosts), on JAX: call `keras.distribution.initialize` first.
    Each process feeds rows of its own to `fit` and `evaluate`, equally many in each step,
    which together are the batch; `predict` gives those of its own. All must make the same
    calls and steps, or wait for each other for ever; `kp.presets.save` is such a call,
    and the first process writes.

    Args:
        kind: see above.
        devices: their names, as `keras.distribution.list_devices` gives them on JAX, or
            TensorFlow's (`"GPU:0"`); of `"tpu"`, the name or address of the TPU. None for
            all, or the TPU of this machine.
        model_parallel: devices that share a layer, for `"tensor"` only. None for all.

    Returns:
        A context manager, which gives the `keras.distribution.Distribution` or the
        `tf.distribute.Strategy`.

    Raises:
        ValueError: a kind that the backend does not have, devices that `model_parallel`
            does not divide, or no TPU.

    Example:
    >>> import keras
    >>> kind = {"jax": "data", "tensorflow": "mirrored"}.get(keras.backend.backend())
    >>> if kind:
    ...     with distribute(kind):
    ...         model = keras.Sequential([keras.layers.Dense(1)])
    ...         model.compile("adam", "mse")

    Reference:
        arXiv 1910.02054 (ZeRO), arXiv 1909.08053 (tensor parallelism).
    """
    backend = keras.backend.backend()
    if kind not in KINDS.get(backend, ()):
        others = {name: kinds for name, kinds in KINDS.items() if kinds}
        raise ValueError(
            f"`kind` must be one that the backend has: {others}; Keras trains on one "
            f"device under PyTorch. Received: kind={kind!r} with backend {backend}"
        )
    if model_parallel is not None and kind != "tensor":
        raise ValueError(
            "`model_parallel` must be None unless `kind` is 'tensor'. "
            f"Received: model_parallel={model_parallel} with kind={kind!r}"
        )
    if backend == "jax":
        return _on_jax(_jax_distribution(kind, devices, model_parallel))
    return _on_tensorflow((_mirrored if kind == "mirrored" else _tpu)(devices))


@contextlib.contextmanager
def _on_jax(distribution):
    with distribution.scope(), sharding.mended_trainer(distribution):
        yield distribution


@contextlib.contextmanager
def _on_tensorflow(strategy):
    with strategy.scope(), mirroring.mended_trainer():
        yield strategy


def _jax_distribution(kind, devices, model_parallel):
    devices = devices or keras.distribution.list_devices()
    # Each process feeds its own rows. Keras would do that for `tf.data` only.
    options = {"devices": devices, "auto_shard_dataset": False}
    if kind == "data":
        return sharding.DataParallel(**options)
    if kind == "fully_sharded":
        return sharding.FullySharded(**options)
    if model_parallel is None:
        model_parallel = len(devices)
    if model_parallel < 1 or len(devices) % model_parallel:
        raise ValueError(
            "`model_parallel` must divide the number of devices. Received: "
            f"model_parallel={model_parallel} with {len(devices)} devices"
        )
    return sharding.TensorParallel(model_parallel=model_parallel, **options)


def _mirrored(devices):
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _tpu(name):
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name or "")
    except ValueError as error:
        raise ValueError(
            f"`devices` must name a TPU that there is. Received: {name!r} ({error})"
        ) from error
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)
