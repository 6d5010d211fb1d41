"""What is done on a GPU alone, as far as it can be tried without one."""

import types

import keras
import numpy as np
import pytest
from keras import ops

import numpy_reference as reference
from gradients import gradient
from keras_perceiver.layers import dense
from keras_perceiver.ops import attend, devices, kernels
from tolerances import BFLOAT16, FLOAT32

jax_alone, torch_alone = (
    pytest.mark.skipif(keras.backend.backend() != name, reason=f"a kernel for {name}")
    for name in ("jax", "torch")
)
N, M = 6, 10


@pytest.fixture
def calls(monkeypatch):
    """What is asked of cuDNN, in whose place XLA computes if there is no GPU."""
    import jax

    seen, dot_product_attention = [], jax.nn.dot_product_attention
    there = jax.default_backend() == "gpu"

    def spy(*args, implementation, **options):
        seen.append(implementation)
        instead = implementation if there else "xla"
        return dot_product_attention(*args, implementation=instead, **options)

    monkeypatch.setattr(kernels, "has_flash_attention", lambda: True)
    monkeypatch.setattr(dense, "on_accelerator", lambda: True)
    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    return seen


def in_bfloat16(*arrays, **options):
    arrays = (ops.cast(x, "bfloat16") for x in arrays)
    return ops.cast(attend(*arrays, **options), "float32")


@jax_alone
def test_half_precision_goes_through_cudnn(calls):
    rng = np.random.default_rng(0)
    query, key, value = (
        rng.normal(size=(2, 2, length, 8)).astype("float32") for length in (N, M, M)
    )
    padding = rng.random((2, M)) < 0.7
    padding[0] = False  # nothing to attend to
    causal = np.arange(M) <= np.arange(N)[:, None] + M - N
    expected = reference.attend(query, key, value, padding[:, None, None] & causal)
    out = in_bfloat16(query, key, value, mask=padding, causal=True)
    np.testing.assert_allclose(out, expected, atol=BFLOAT16)
    assert not np.any(out[0])
    assert calls == ["cudnn"]
    options = {"mask": padding, "causal": True}
    actual = gradient(lambda *x: in_bfloat16(*x, **options), query, key, value)
    plain = gradient(lambda *x: attend(*x, **options), query, key, value)
    for x, y in zip(actual, plain, strict=True):
        np.testing.assert_allclose(x, y, atol=BFLOAT16 * np.abs(y).max())


@jax_alone
@pytest.mark.parametrize("length", [N, N - 1])
def test_what_cudnn_cannot_do_goes_elsewhere(calls, length):
    """Other channels of values, an odd length, and float32."""
    query, key = np.ones((1, 1, length, 8), "float32"), np.ones((1, 1, M, 8), "float32")
    in_bfloat16(query, key, np.ones((1, 1, M, 8 if length % 2 else 16), "float32"))
    attend(query, key, key)
    assert calls == []


@jax_alone
def test_few_token_vectors_are_chosen_by_a_product(calls):
    layer = dense.token_embedding(7, 4, init_scale=1.0)
    layer.dtype_policy = "mixed_bfloat16"
    layer.build()
    ids = np.array([[0, 6, 3, 3]])
    table = ops.cast(layer.embeddings, "bfloat16")
    assert layer._suits_product()
    np.testing.assert_array_equal(layer(ids), ops.take(table, ids, axis=0))


@torch_alone
@pytest.mark.parametrize("channels", [8, 16])
def test_values_of_other_channels_are_mixed_plainly_on_a_gpu(monkeypatch, rng, channels):
    """There PyTorch's kernel fails with them."""
    calls, sdpa = [], kernels._attend_sdpa
    query, key, value = (
        rng.normal(size=(1, 2, length, size)).astype("float32")
        for length, size in ((N, 8), (M, 8), (M, channels))
    )
    monkeypatch.setattr(kernels, "on_accelerator", lambda: True)
    monkeypatch.setattr(kernels, "_attend_sdpa", lambda *x: calls.append(x) or sdpa(*x))
    out = ops.convert_to_numpy(attend(query, key, value))
    np.testing.assert_allclose(out, reference.attend(query, key, value), atol=FLOAT32)
    assert len(calls) == (channels == 8)


@jax_alone
@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ({"platform": "cpu"}, (False, False)),
        ({"platform": "tpu"}, (True, False)),
        ({"platform": "gpu", "compute_capability": "9.0"}, (True, True)),
        ({"platform": "gpu", "compute_capability": "7.5"}, (True, False)),
        ({"platform": "gpu", "compute_capability": "gfx90a"}, (True, False)),
    ],
)
def test_what_a_device_has(monkeypatch, device, expected):
    device = types.SimpleNamespace(**device)
    monkeypatch.setattr(devices, "_jax_device", lambda: device)
    assert (devices.on_accelerator(), devices.has_flash_attention()) == expected


@jax_alone
def test_a_chosen_device_counts():
    with keras.device("cpu:0"):
        assert not devices.on_accelerator()
    assert devices._jax_device().platform == "cpu"
