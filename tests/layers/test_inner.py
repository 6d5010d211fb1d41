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


def encoder(policy):
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
    return keras.Model(inputs, outputs)


def shake(model):
    """No bias, norm or adapter is where it starts."""
    for weight in model.weights:
        weight.assign(weight + RNG.normal(scale=0.1, size=weight.shape))


def quantize(model):
    shake(model)
    model.quantize("int8")


def add_lora(model):
    kp.training.enable_lora(model, rank=2)
    shake(model)


@pytest.mark.parametrize(
    ("policy", "adapt", "plain"),
    [
        ("float32", shake, True),
        ("bfloat16", shake, True),
        ("mixed_bfloat16", shake, True),
        ("float32", add_lora, True),
        ("float32", quantize, False),
    ],
)
def test_outputs_are_those_of_keras_calls(policy, adapt, plain, monkeypatch):
    model = encoder(policy)
    adapt(model)
    called = record_calls(monkeypatch)
    outputs = ops.convert_to_numpy(model(INPUTS))
    # What is quantized has a call of its own, which only Keras' finds.
    assert ("mlp_in" in called) != plain
    assert "mlp_norm" not in called
    for module in (attention, blocks, residual):
        monkeypatch.setattr(module, "call_inner", lambda layer, x: layer(x))
    expected = ops.convert_to_numpy(model(INPUTS))
    assert {"mlp_in", "mlp_norm"} <= set(called)
    np.testing.assert_array_equal(outputs, expected)


def record_calls(monkeypatch):
    """Names of the layers that Keras calls."""
    called, original = [], keras.layers.Layer.__call__

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return original(layer, *args, **kwargs)

    monkeypatch.setattr(keras.layers.Layer, "__call__", call)
    return called


def test_a_layer_with_a_type_of_its_own_keeps_it(monkeypatch):
    policies = keras.dtype_policies.DTypePolicyMap(default_policy="mixed_bfloat16")
    policies["block/layer_0/mlp_out"] = keras.dtype_policies.DTypePolicy("float32")
    block = kp.layers.SelfAttentionBlock(
        1, kp.layers.AttentionSpec(num_heads=2), dtype=policies, name="block"
    )
    x = ops.cast(INPUTS, "bfloat16")
    block.build(x.shape)
    called = record_calls(monkeypatch)
    block(x)
    assert block.layers[0].mlp_out.compute_dtype == "float32"
    assert "mlp_out" in called and "mlp_in" not in called


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


def test_masks_that_hide_nothing_are_left_out(monkeypatch):
    """And never those that hide something, or that make the result larger."""
    masks = []
    for name in ("attend", "attend_folded", "attend_folded_queries"):
        function = getattr(attention, name)

        def spy(*args, mask, function=function, **options):
            masks.append(mask)
            return function(*args, mask=mask, **options)

        monkeypatch.setattr(attention, name, spy)
    layer = kp.layers.Attention(num_heads=2, qk_channels=8)
    query, context = ops.ones((1, 3, 6)), ops.ones((1, 5, 6))
    layer.build(query.shape, context.shape)
    out = layer(query, context)
    same = layer(query, context, ops.ones((1, 5)))
    np.testing.assert_array_equal(same.detach(), out.detach())
    assert masks == [None, None]
    layer(query, context, ops.convert_to_tensor([[1, 1, 1, 1, 0]]))
    wide = layer(query, context, attention_mask=ops.ones((4, 3, 5)))
    assert masks[2] is not None and masks[3] is not None
    assert tuple(wide.shape) == (4, 3, 6)
    with pytest.raises((ValueError, RuntimeError)):
        layer(query, context, ops.ones((1, 7)))
