"""Inner layers called without Keras around them compute what Keras' calls compute."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_perceiver as kp
from keras_perceiver.layers import attention, blocks, residual

pytestmark = pytest.mark.one_backend  # of PyTorch: others call through Keras anyhow

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(2, 9, 6)).astype("float32")


def encoder(policy, adapt):
    keras.utils.set_random_seed(0)
    spec = kp.layers.AttentionSpec(num_heads=2)
    inputs = keras.Input((9, 6))
    outputs = kp.layers.PerceiverEncoder(
        num_latents=4,
        latent_channels=8,
        layers_per_block=2,
        num_blocks=1,
        cross_attention=spec,
        self_attention=spec,
        dtype=policy,
    )(inputs)
    model = keras.Model(inputs, outputs)
    for weight in model.weights:  # as trained: no bias, norm or adapter is at its start
        weight.assign(weight + RNG.normal(scale=0.1, size=weight.shape))
    adapt(model)
    return model


def leave(model):
    pass


def quantize(model):
    model.quantize("int8")


def add_lora(model):
    kp.training.enable_lora(model, rank=2)


@pytest.mark.parametrize(
    ("policy", "adapt", "plain"),
    [
        ("float32", leave, True),
        ("bfloat16", leave, True),
        ("mixed_bfloat16", leave, True),
        ("float32", add_lora, True),
        ("float32", quantize, False),
    ],
)
def test_outputs_are_those_of_keras_calls(policy, adapt, plain, monkeypatch):
    model = encoder(policy, adapt)
    called = []
    original = keras.layers.Dense.__call__
    monkeypatch.setattr(
        keras.layers.Dense,
        "__call__",
        lambda self, x: called.append(self.name) or original(self, x),
    )
    outputs = ops.convert_to_numpy(model(INPUTS))
    # What is quantized has a call of its own, which only Keras' finds.
    assert bool(called) != plain
    for module in (attention, blocks, residual):
        monkeypatch.setattr(module, "call_inner", lambda layer, x: layer(x))
    expected = ops.convert_to_numpy(model(INPUTS))
    assert called
    np.testing.assert_array_equal(outputs, expected)


def test_outside_of_a_call_mixed_precision_casts_weights():
    layer = kp.layers.Attention(num_heads=2, dtype="mixed_bfloat16")
    x = ops.cast(INPUTS[..., :4], "bfloat16")
    expected = layer(x)
    out = layer.mix(x, layer.project(x, None))
    assert out.dtype == expected.dtype
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(out, "float32")),
        ops.convert_to_numpy(ops.cast(expected, "float32")),
    )
