"""Distributions for JAX: those of `keras.distribution`, and what they lack."""

import contextlib

import keras

from keras_perceiver import processes

# How tensor parallelism splits the weights of a layer, by the layer's name: attention by
# heads and the MLP by hidden channels, so that only what a layer adds is summed over the
# devices.
BY_COLUMNS, BY_ROWS = {"kernel": 1, "bias": 0}, {"kernel": 0}
SPLIT = {
    "query": BY_COLUMNS,
    "key": BY_COLUMNS,
    "value": BY_COLUMNS,
    "output": BY_ROWS,
    "mlp_in": BY_COLUMNS,
    "mlp_out": BY_ROWS,
    "token_embedding": {"embeddings": 1},
}


class AnyRows:
    """Of a distribution: batches of any size, and predictions in any process."""

    def get_data_layout(self, data_shape):
        """Rows split over the data axis, or those that do not divide, undivided.

        Then each device computes all rows of its process, and what comes out is what
        one device gives. Keras would raise an error.
        """
        devices = max(self.num_model_replicas // self.num_processes, 1)
        if data_shape[0] % devices == 0:
            return super().get_data_layout(data_shape)
        shape = (self.num_processes, self.device_mesh.devices.size // self.num_processes)
        mesh = keras.distribution.DeviceMesh(
            shape, ("process", "device"), self.device_mesh.devices.flatten()
        )
        axes = ["process"] + [None] * (len(data_shape) - 1)
        return keras.distribution.TensorLayout(axes, mesh)

    def own_rows(self, tensor):
        """Those rows of a batch's output that this process has fed, as a numpy array."""
        rows = processes.whole(tensor)
        size = len(rows) // min(self.num_processes, self.num_model_replicas)
        return rows[self.data_shard_id * size :][:size]


class DataParallel(AnyRows, keras.distribution.DataParallel):
    """All weights on each device."""


class FullySharded(AnyRows, keras.distribution.DataParallel):
    """Each weight split over all devices, along its largest axis that they divide."""

    def get_variable_layout(self, variable):
        """Its gradient's moments have it too."""
        count = self.device_mesh.devices.size
        axes = [None] * len(variable.shape)
        divisible = [
            (size, axis)
            for axis, size in enumerate(variable.shape)
            if size and size % count == 0
        ]
        # Counts of metrics and states of seeds are read by each process.
        if divisible and variable.trainable:
            axes[max(divisible)[1]] = self.batch_dim_name
        return keras.distribution.TensorLayout(axes, self.device_mesh)


class TensorParallel(AnyRows, keras.distribution.ModelParallel):
    """Weights of attention, MLPs and embeddings split as `SPLIT` says.

    A weight that does not divide stays whole.
    """

    def __init__(self, devices, model_parallel, **kwargs):
        mesh = keras.distribution.DeviceMesh(
            (len(devices) // model_parallel, model_parallel), ("batch", "model"), devices
        )
        super().__init__(layout_map=keras.distribution.LayoutMap(mesh), **kwargs)

    def get_variable_layout(self, variable):
        """Its gradient's moments have it too."""
        axes = [None] * len(variable.shape)
        layer, name = ("", *variable.path.split("/"))[-2:]
        axis = SPLIT.get(layer, {}).get(name)
        if axis is not None and variable.shape[axis] % self.device_mesh.shape[1] == 0:
            axes[axis] = "model"
        return keras.distribution.TensorLayout(axes, self.device_mesh)


@contextlib.contextmanager
def mended_trainer(distribution):
    """Let Keras' trainer ask for the layout of each batch, and predict own rows.

    It asks for the layout of an epoch's first batch only, and its `predict` needs all
    outputs in each process. What does both is not in the public API of Keras.
    """
    from keras.src.backend.jax import trainer

    distribute = trainer._distribute_data
    make_predict = trainer.JAXTrainer.make_predict_function

    def make_predict_function(model, force=False):
        if model.predict_function is not None and not force:
            return
        if model.steps_per_execution != 1:
            raise ValueError(
                "`steps_per_execution` must be 1 to predict in several processes. "
                f"Received: {model.steps_per_execution}"
            )
        make_predict(model, force)
        step = model.predict_function

        def own_rows(state, iterator):
            outputs, state = step(state, iterator)
            return keras.tree.map_structure(distribution.own_rows, outputs), state

        model.predict_function = own_rows

    trainer._distribute_data = lambda data, layouts=None: distribute(data)
    if processes.several():
        trainer.JAXTrainer.make_predict_function = make_predict_function
    try:
        yield
    finally:
        trainer._distribute_data = distribute
        trainer.JAXTrainer.make_predict_function = make_predict
