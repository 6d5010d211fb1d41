"""The end-point error: its value, its gradient, and a model that learns by it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_perceiver as kp
from gradients import weight_gradients
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.training import EndPointError, MeanEndPointError


def test_it_is_the_mean_distance_in_pixels(rng):
    truth, flow = rng.normal(size=(2, 3, 4, 5, 2)).astype("float32")
    weights = rng.integers(0, 2, (3, 4, 5)).astype("float32")
    distances = 20 * np.sqrt(((truth - flow) ** 2).sum(-1))
    loss = EndPointError(flow_scale=20)
    assert float(loss(truth, flow)) == pytest.approx(distances.mean(), rel=1e-5)
    masked = (distances * weights).sum() / weights.sum()
    assert float(loss(truth, flow, weights)) == pytest.approx(masked, rel=1e-5)
    assert float(EndPointError()(truth, flow)) == pytest.approx(distances.mean() / 20)


def test_the_metric_is_exact_over_batches_with_masks(rng):
    truth, flow = rng.normal(size=(2, 5, 3, 4, 2)).astype("float32")
    weights = (np.arange(60) < 17).reshape(5, 3, 4).astype("float32")
    metric = MeanEndPointError(flow_scale=20)
    for part in (slice(2), slice(2, 5)):
        metric.update_state(truth[part], flow[part], weights[part])
    distances = 20 * np.linalg.norm(truth - flow, axis=-1)
    expected = (distances * weights).sum() / 17
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    metric.update_state(truth, flow)
    assert float(metric.result()) == pytest.approx(distances.mean(), rel=1e-5)


def test_its_gradient_is_finite_where_flow_is_right():
    class Guess(keras.layers.Layer):
        def build(self, shape=None):
            self.flow = self.add_weight(shape=(2, 2), initializer="zeros", name="flow")

    guess, truth = Guess(), np.asarray([[0, 0], [3, 4]], "float32")
    guess.build()
    value, gradients = weight_gradients(guess, lambda: EndPointError()(truth, guess.flow))
    assert value == 2.5
    (gradient,) = gradients.values()
    np.testing.assert_allclose(gradient, [[0, 0], [-0.3, -0.4]], atol=1e-6)


@pytest.mark.parametrize("cls", [EndPointError, MeanEndPointError])
def test_they_come_back_from_their_config(cls):
    ours = cls(flow_scale=3.0, name="mine")
    module = keras.losses if cls is EndPointError else keras.metrics
    again = module.deserialize(module.serialize(ours))
    assert (type(again), again.flow_scale, again.name) == (cls, 3.0, "mine")


def test_a_small_precision_does_not_reach_the_distance():
    flow = ops.cast(ops.full((1, 2), 300.0), "float16")  # whose square is infinite
    assert float(kp.training.flow.end_point_error(ops.zeros((1, 2)), flow)[0]) == (
        pytest.approx(300 * 2**0.5)
    )


def test_a_model_learns_one_batch_by_heart():
    """T1, with a part of the pixels unknown and their flow absurd."""
    spec = AttentionSpec(num_heads=2, qk_channels=16)
    encoder = kp.models.OpticalFlowEncoder(
        (8, 12),
        patch_channels=16,
        num_bands=4,
        init_scale=0.1,
        num_latents=8,
        latent_channels=32,
        cross_attention=spec,
        self_attention=spec,
        layers_per_block=1,
    )
    model = kp.models.OpticalFlow(encoder, spec, init_scale=0.1, rescale_factor=10.0)
    data = kp.data.moved_photographs(size=encoder.image_shape)
    frames, flow, weights = kp.data.flow_batches(data.train, model, 2)[0]
    weights = weights * (np.arange(12) > 2)
    flow = np.where(weights[..., None] > 0, flow, 1e3).astype("float32")
    scale = model.preprocessor.flow_scale
    model.compile(
        keras.optimizers.Adam(5e-3, global_clipnorm=1.0),
        EndPointError(scale),
        weighted_metrics=[MeanEndPointError(scale)],
    )
    batch = {"x": frames, "y": flow, "sample_weight": weights, "batch_size": 2}
    model.fit(**batch, epochs=150, shuffle=False, verbose=0)
    after = model.evaluate(**batch, verbose=0, return_dict=True)
    still = scale * (np.linalg.norm(flow, axis=-1) * weights).sum() / weights.sum()
    assert after["epe"] < 0.3 * still
    assert after["loss"] == pytest.approx(after["epe"], rel=1e-4)
