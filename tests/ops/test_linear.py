"""Linear maps: the same numbers and gradients by either matrix product."""

import keras
import numpy as np
import pytest

from keras_perceiver.layers.dense import Dense
from keras_perceiver.ops import linear as linear_module
from keras_perceiver.ops.linear import linear, linear_of_few, mkl_runs_at_half_width

SHAPES = [(2, 3), (40,), (3, 40), (2, 3, 40), (0, 40)]


@pytest.fixture
def wide_amd(monkeypatch):
    """As on a processor where PyTorch's products go to oneDNN."""
    monkeypatch.setattr(linear_module, "mkl_runs_at_half_width", lambda: True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_products(rng, shape, bias, wide_amd):
    """Few rows and many, which take different ways on PyTorch."""
    x = rng.normal(size=(*shape, 5)).astype("float32")
    kernel = rng.normal(size=(5, 6)).astype("float32")
    offset = rng.normal(size=6).astype("float32") if bias else None
    tensors = [None if a is None else keras.ops.convert_to_tensor(a) for a in (x, kernel)]
    out = linear(*tensors, None if offset is None else keras.ops.convert_to_tensor(offset))
    expected = x @ kernel + (0 if offset is None else offset)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 9])
@pytest.mark.parametrize("shape", [(256, 512), (255, 512), (64, 48)])
def test_products_of_few_rows(rng, batch, shape):
    """By parts of a large kernel or not: the same numbers."""
    x = rng.normal(size=(batch, 1, shape[0])).astype("float32")
    kernel = rng.normal(size=shape).astype("float32")
    product = linear_of_few(keras.ops.convert_to_tensor(kernel))
    out = product(keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out), x @ kernel, atol=1e-4)


@pytest.mark.parametrize(
    ("batch", "shape", "dtype", "accelerator", "expected"),
    [
        (1, (256, 512), "float32", False, True),
        (2, (256, 512), "float32", False, keras.backend.backend() == "torch"),
        (8, (256, 512), "float32", False, keras.backend.backend() == "torch"),
        (9, (256, 512), "float32", False, False),
        (1, (255, 512), "float32", False, False),
        (1, (64, 48), "float32", False, False),
        (1, (256, 512), "bfloat16", False, False),
        (1, (256, 512), "float32", True, False),
    ],
)
def test_large_kernels_meet_few_rows_in_parts(
    monkeypatch, batch, shape, dtype, accelerator, expected
):
    turned = []

    class Plain:
        reshape = staticmethod(keras.ops.reshape)
        sum = staticmethod(keras.ops.sum)

        @staticmethod
        def swapaxes(*args):
            turned.append(args)
            return keras.ops.swapaxes(*args)

    monkeypatch.setattr(linear_module, "plain_ops", lambda: Plain)
    monkeypatch.setattr(linear_module, "on_accelerator", lambda: accelerator)
    product = linear_of_few(keras.ops.ones(shape, dtype))
    product(keras.ops.ones((batch, 1, shape[0]), dtype))
    assert bool(turned) == expected


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="one way elsewhere")
def test_pytorch_gradients_are_those_of_its_own_product(rng, wide_amd):
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
def test_pytorch_uses_onednn_where_it_pays(rng, wide_amd):
    import torch

    kernel = torch.tensor(rng.normal(size=(5, 6)).astype("float32"))
    for rows, expected in ((31, False), (32, True)):
        x = torch.ones(rows, 5)
        with torch.profiler.profile() as profile:
            linear(x, kernel)
        names = {event.name for event in profile.events()}
        assert ("aten::mkldnn_linear" in names) is expected


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("vendor", "family", "flags", "expected"),
    [
        ("AuthenticAMD", 26, "avx2 avx512f", True),  # Zen 5
        ("AuthenticAMD", 25, "avx2 avx512f", False),  # Zen 4
        ("AuthenticAMD", 26, "avx2", False),
        ("GenuineIntel", 6, "avx2 avx512f", False),
    ],
)
def test_which_processors_have_wider_units_than_mkl_uses(
    tmp_path, vendor, family, flags, expected
):
    info = tmp_path / "cpuinfo"
    info.write_text(f"vendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n")
    assert mkl_runs_at_half_width(info) is expected
    assert mkl_runs_at_half_width(tmp_path / "not_linux") is False


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
