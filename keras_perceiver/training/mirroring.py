"""What Keras' trainer lacks under `tf.distribute`."""

import contextlib
import threading

import keras
from keras import ops

MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


@contextlib.contextmanager
def mended_trainer():
    """Let Keras' trainer take means over all devices, and build from the rows of one.

    It averages the devices' means, each over their own rows or weights, which is another
    number where those are not equally many. And it builds metrics from the mean of their
    rows, which have none where their numbers differ or an input is a boolean. What does
    both is not in the public API of Keras.
    """
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer
    from keras.src.losses import loss as losses

    build = TensorFlowTrainer._maybe_symbolic_build
    reduce, unscale = losses.reduce_values, losses.unscale_loss_for_distribution
    device = threading.local()  # tf.distribute traces each device in a thread of its own

    def build_from_one(model, iterator=None, data_batch=None):
        if model.distribute_strategy.num_replicas_in_sync > 1:
            check_compiled(model)
        for _, _, batches in iterator or ():
            data_batch = keras.tree.map_structure(
                lambda x: model.distribute_strategy.experimental_local_results(x)[0],
                next(batches),
            )
            break
        build(model, data_batch=data_batch)

    def mean_over_all(values, sample_weight=None, reduction="sum_over_batch_size"):
        replica = _replica()
        if replica is None or not values.shape.rank or reduction not in MEANS:
            device.share = None
            return reduce(values, sample_weight, reduction)
        rows = ops.cast(ops.shape(values)[0], values.dtype)
        device.share = ops.divide_no_nan(rows, replica.all_reduce("SUM", rows))
        if reduction == "mean_with_sample_weight" and sample_weight is not None:
            count = ops.cast(ops.sum(sample_weight), values.dtype)
        else:
            count = ops.cast(ops.size(values), values.dtype)
        return ops.divide_no_nan(ops.sum(values), replica.all_reduce("SUM", count))

    def loss_of_own_rows(value):
        """What, weighted by the devices' rows, has the mean over all as its mean."""
        share = getattr(device, "share", None)
        return unscale(value) if share is None else ops.divide_no_nan(value, share)

    TensorFlowTrainer._maybe_symbolic_build = build_from_one
    losses.reduce_values = mean_over_all
    losses.unscale_loss_for_distribution = loss_of_own_rows
    try:
        yield
    finally:
        TensorFlowTrainer._maybe_symbolic_build = build
        losses.reduce_values = reduce
        losses.unscale_loss_for_distribution = unscale


def check_compiled(model):
    """Raise a ValueError if a model was compiled with what Keras cannot distribute."""
    if model.jit_compile:
        raise ValueError(
            "`jit_compile` must be 'auto' or False for several devices on TensorFlow. "
            f"Received: jit_compile={model.jit_compile}"
        )
    steps = model.optimizer and model.optimizer.gradient_accumulation_steps
    if steps:
        raise ValueError(
            "`gradient_accumulation_steps` must be None for several devices on "
            f"TensorFlow. Received: gradient_accumulation_steps={steps}"
        )


def _replica():
    """Where the code of one of several devices runs: its context, else None."""
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    several = replica is not None and replica.num_replicas_in_sync > 1
    return replica if several else None
