"""What Keras' trainer lacks under `tf.distribute`."""

import contextlib

import keras


@contextlib.contextmanager
def mended_trainer():
    """Let Keras' trainer build metrics from the rows of one device.

    It takes the mean of those of all devices, which have no mean where they are not
    equally many or where one of the inputs is a boolean. What does it is not in the
    public API of Keras.
    """
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

    build = TensorFlowTrainer._maybe_symbolic_build

    def build_from_one(model, iterator=None, data_batch=None):
        for _, _, batches in iterator or ():
            data_batch = keras.tree.map_structure(
                lambda x: model.distribute_strategy.experimental_local_results(x)[0],
                next(batches),
            )
            break
        build(model, data_batch=data_batch)

    TensorFlowTrainer._maybe_symbolic_build = build_from_one
    try:
        yield
    finally:
        TensorFlowTrainer._maybe_symbolic_build = build
