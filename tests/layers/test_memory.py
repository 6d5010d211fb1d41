"""Memory: linear in the inputs, bounded by the chunk for queries (T8), less by `remat`."""

import importlib
import math
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_perceiver as kp
import tiny_ar
import tiny_text
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.models.activations import activation_bytes

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
BACKEND = keras.backend.backend()
SPEC = AttentionSpec(num_heads=2, dropout=0.1)
CHANNELS, FEW, MANY, CHUNK = 8, 256, (8192, 16384), 512


def layer_and_inputs(name, length, size):
    """An encoder of `length` inputs or a decoder of `length` queries, and `FEW` latents."""
    x = np.zeros((1, length, CHANNELS), "float32")
    if name == "encoder":
        layer = kp.layers.PerceiverEncoder(
            FEW, 8, cross_attention=SPEC, self_attention=SPEC, layers_per_block=1,
            chunk_size=size,
        )  # fmt: skip
        return layer, (x,)
    latents = np.zeros((1, FEW, 8), "float32")
    return kp.layers.PerceiverDecoder(SPEC, chunk_size=size), (x, latents)


def bytes_at_most(name, length, size, training):
    """What a forward pass, or a gradient of weights and inputs, allocates at its peak.

    On JAX the temporary memory that the compiler plans; on PyTorch the largest tensor
    that is ever made.
    """
    layer, inputs = layer_and_inputs(name, length, size)
    layer(*(x[:, :8] for x in inputs))

    def loss(*inputs):
        return ops.mean(ops.square(layer(*inputs, training=training)))

    if BACKEND == "jax":
        import jax

        def stateless(weights, inputs):
            state = list(zip(layer.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=state):
                return loss(*inputs)

        function = jax.grad(stateless, argnums=(0, 1)) if training else stateless
        weights = [w.value for w in layer.trainable_variables]
        compiled = jax.jit(function).lower(weights, inputs).compile()
        return compiled.memory_analysis().temp_size_in_bytes
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for x in torch.utils._pytree.tree_leaves(out):
                if isinstance(x, torch.Tensor) and 0 not in x.stride():
                    self.size = max(self.size, x.numel() * x.element_size())
            return out

    inputs = [torch.tensor(x, requires_grad=training) for x in inputs]
    with Largest() as largest, torch.set_grad_enabled(training):
        value = loss(*inputs)
        if training:
            value.backward()
    return largest.size


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow plans no memory to ask for")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_memory_is_linear_and_without_the_scores(name, training):
    scores = [4 * SPEC.num_heads * FEW * length for length in MANY]
    used = [bytes_at_most(name, length, CHUNK, training) for length in MANY]
    # Of what is added, a small multiple of inputs, outputs and their gradients.
    added = 4 * CHANNELS * (MANY[1] - MANY[0])
    assert used[1] - used[0] <= 10 * added < scores[0] / 4
    assert used[1] < scores[1] / 2
    # The test can fail: all at once, dropout keeps the scores of PyTorch's from fusing.
    if training:
        assert bytes_at_most(name, MANY[0], MANY[0], training) >= scores[0]


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow does not say what it keeps")
@pytest.mark.parametrize("name", ["encoder", "stack"])
def test_recomputed_activations_are_not_kept(name, monkeypatch):
    """A layer keeps what came in, in place of all it made of it; about as estimated."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    residual_bytes = importlib.import_module("residuals").residual_bytes
    ids = tiny_ar.ids(2, 24)
    if name == "encoder":
        model = tiny_text.encoder(layers_per_block=6, num_latents=16)
    else:
        model = tiny_ar.causal_lm(num_layers=6, max_latents=16, dropout=0.1)
    found = []
    for remat in (False, True):
        found.append(residual_bytes(model, tiny_ar.inputs(ids), remat))
        outputs = 4 * math.prod(model(tiny_ar.inputs(ids)).shape)  # the loss keeps them
        estimate = activation_bytes(model, *ids.shape)
        low, high = {"jax": (0.5, 2.0), "torch": (0.8, 2.5)}[BACKEND]
        assert low < estimate / (found[-1] + outputs) < high
    kept, recomputed = found
    assert recomputed < kept / 3
    # What must be kept: the input of each of six layers, [B, N, D] in float32.
    assert recomputed >= 6 * 2 * 16 * 16 * 4
