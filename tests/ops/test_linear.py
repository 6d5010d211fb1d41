"""Linear maps: the same numbers and gradients by either matrix product."""

import keras
import numpy as np
import pytest

from keras_perceiver.layers.dense import Dense
from keras_perceiver.ops.linear import linear

SHAPES = [(2, 3), (40,), (3, 40), (2, 3, 40), (0, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_products(rng, shape, bias):
    """Few rows and many, which take different ways on PyTorch."""
    x = rng.normal(size=(*shape, 5)).astype("float32")
    kernel = rng.normal(size=(5, 6)).astype("float32")
    offset = rng.normal(size=6).astype("float32") if bias else None
    tensors = [None if a is None else keras.ops.convert_to_tensor(a) for a in (x, kernel)]
    out = linear(*tensors, None if offset is None else keras.ops.convert_to_tensor(offset))
    expected = x @ kernel + (0 if offset is None else offset)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out), expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="one way elsewhere")
def test_pytorch_gradients_are_those_of_its_own_product(rng):
    import torch

    values = [rng.normal(size=s).astype("float32") for s in ((3, 40, 5), (5, 6), (6,))]
    gradients = []
    for function in (linear, lambda x, kernel, bias: x @ kernel + bias):
        tensors = [torch.tensor(v, requires_grad=True) for v in values]
        (function(*tensors) ** 2).sum().backward()
        gradients.append([t.grad.numpy() for t in tensors])
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="one way elsewhere")
def test_pytorch_uses_onednn_where_it_pays(rng):
    import torch

    kernel = torch.tensor(rng.normal(size=(5, 6)).astype("float32"))
    for rows, expected in ((31, False), (32, True)):
        x = torch.ones(rows, 5)
        with torch.profiler.profile() as profile:
            linear(x, kernel)
        names = {event.name for event in profile.events()}
        assert ("aten::mkldnn_linear" in names) is expected


def test_a_projection_still_quantizes_and_adapts(rng):
    layer = Dense(6)
    x = rng.normal(size=(40, 5)).astype("float32")
    before = keras.ops.convert_to_numpy(layer(x))
    layer.enable_lora(2)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), before, atol=1e-5)
    quantized = Dense(6)
    quantized(x)
    quantized.set_weights([layer._kernel.numpy(), layer.bias.numpy()])
    quantized.quantize("int8")
    assert quantized.quantization_mode == "int8"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(quantized(x)), before, atol=0.1)
