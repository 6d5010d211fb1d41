"""The end-point error of optical flow, as a loss and as a metric."""

import keras
from keras import ops


def end_point_error(y_true, y_pred):
    """Euclidean distances of vectors `[..., 2]`, in float32.

    Their gradient is 0 where they are equal, and not NaN.

    Example:
    >>> float(end_point_error(ops.array([[3.0, 4.0]]), ops.zeros((1, 2)))[0])
    5.0
    """
    difference = ops.cast(y_pred, "float32") - ops.cast(y_true, "float32")
    squared = ops.sum(ops.square(difference), axis=-1)
    # The root of 0 has no gradient, and a mask behind it would make NaN of it.
    equal = squared == 0
    return ops.where(equal, 0.0, ops.sqrt(ops.where(equal, 1.0, squared)))


@keras.saving.register_keras_serializable("keras_perceiver")
class EndPointError(keras.losses.Loss):
    """Distance of flow `[B, H, W, 2]` from the true one.

    Args:
        flow_scale: pixels in one unit of the flow: that of the model's preprocessor, for
            a loss in pixels.
        reduction: see `keras.losses.Loss`. The default is the mean over the pixels that
            count, by the sample weights of `keras_perceiver.data.flow_batches`.
        name: of the loss.

    Example:
    >>> loss = EndPointError(flow_scale=20)
    >>> round(float(loss(ops.zeros((1, 1, 1, 2)), ops.array([[[[0.3, 0.4]]]]))), 4)
    10.0

    Reference:
        arXiv 2107.14795, appendix H.
    """

    def __init__(
        self, flow_scale=1.0, reduction="mean_with_sample_weight", name="end_point_error"
    ):
        super().__init__(name=name, reduction=reduction)
        self.flow_scale = flow_scale

    def call(self, y_true, y_pred):
        """Distance at each pixel, `[B, H, W]`."""
        return self.flow_scale * end_point_error(y_true, y_pred)

    def get_config(self):
        """Arguments of the constructor."""
        return {
            "flow_scale": self.flow_scale,
            "reduction": self.reduction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("keras_perceiver")
class MeanEndPointError(keras.metrics.Mean):
    """Mean distance of flow from the true one, over all pixels that count.

    `weighted_metrics` of `compile` gives it the sample weights, `metrics` does not.

    Args:
        flow_scale: pixels in one unit of the flow: that of the model's preprocessor.
        name: of the metric.

    Example:
    >>> metric = MeanEndPointError(flow_scale=20)
    >>> metric.update_state(ops.zeros((1, 1, 1, 2)), ops.array([[[[0.3, 0.4]]]]))
    >>> round(float(metric.result()), 4)
    10.0
    """

    def __init__(self, flow_scale=1.0, name="epe"):
        super().__init__(name=name)
        self.flow_scale = flow_scale

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the pixels of a batch."""
        distances = self.flow_scale * end_point_error(y_true, y_pred)  # [B, H, W]
        super().update_state(distances, sample_weight)

    def get_config(self):
        """Arguments of the constructor."""
        return {"flow_scale": self.flow_scale, "name": self.name}
