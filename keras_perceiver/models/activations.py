"""What a training step keeps of its forward pass, estimated from static shapes."""

import math

import keras
import ml_dtypes  # noqa: F401 (numpy knows bfloat16)
import numpy as np

from keras_perceiver.layers import (
    LatentCrossAttention,
    PerceiverAR,
    PerceiverDecoder,
    PerceiverEncoder,
    PerceiverResampler,
    SelfAttentionBlock,
)
from keras_perceiver.layers.folding import best_folding
from keras_perceiver.models.flops import calls
from keras_perceiver.ops.chunks import scores_fit

PRODUCTS = (
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.ReversibleEmbedding,
)
# Arrays that an attention and its MLP leave for the backward pass in JAX before XLA fuses
# any, counted in such a layer: of the size of the queries (with dropout or not), of the
# hidden layer, and of the scores (masked or not, dropped or not). A boolean is a fourth.
QUERIES, HIDDEN = {False: 5, True: 7.5}, 4
SCORES = {
    (False, False): 1,
    (True, False): 2.25,
    (False, True): 3.25,
    (True, True): 5.75,
}


def activation_bytes(model, batch_size, length=None):
    """About how many bytes of activations are kept for the backward pass.

    It is what automatic differentiation asks for in JAX, within a factor of 2. XLA fuses
    some of it away, and PyTorch's fused attention and activations keep less: of the
    estimate, 0.4 to 1.2. Not measured on TensorFlow.

    Args:
        model: a functional model of this library's layers.
        batch_size: examples a step.
        length: the size to count for axes of unknown size: tokens, in a model of text.

    Returns:
        An integer.
    """
    elements = _elements(model, batch_size, length)
    return round(elements * batch_size * np.dtype(model.compute_dtype).itemsize)


def _elements(model, batch, length):
    """Those of an example, with the last output, which the loss needs."""
    total = 0
    for layer, inputs, outputs in calls(model, length):
        total += _kept(layer, inputs, outputs[0], batch)
    return total + math.prod(outputs[0])


def _kept(layer, inputs, output, batch):
    """Elements that the call of a layer keeps of an example."""
    size = math.prod(inputs[0]) if inputs else 0
    if isinstance(layer, keras.Model):
        return _elements(layer, batch, None)
    if isinstance(layer, PerceiverEncoder):
        total, projected = size, set()
        for cross, block in layer.steps:
            if cross is not None:
                total += _read(
                    cross,
                    output[0],
                    inputs[0][0],
                    batch,
                    masked=len(inputs) > 1,
                    remat=layer.remat,
                    fresh=cross.name not in projected,
                )
                projected.add(cross.name)
            total += _block(block, output[0], batch)
        return total
    if isinstance(layer, PerceiverAR):
        latents, length = output[0], inputs[0][0]
        length -= int((length - latents) * layer.prefix_dropout)
        cross = _read(layer.cross, latents, length, batch, True, layer.remat)
        return cross + length * inputs[0][1] + _block(layer, latents, batch, True)
    if isinstance(layer, SelfAttentionBlock):
        return _block(layer, output[0], batch)
    if isinstance(layer, (PerceiverDecoder, LatentCrossAttention)):
        cross = getattr(layer, "cross", layer)
        return _read(cross, output[0], inputs[1][0], batch)
    if isinstance(layer, PerceiverResampler):
        length = inputs[0][0] + (output[0] if layer.latents_as_keys else 0)
        masked = len(inputs) > 1
        reads = (
            _read(x, output[0], length, batch, masked, layer.remat) for x in layer.layers
        )
        return size + sum(reads)
    # What a product with weights needs for their gradient.
    return size if isinstance(layer, PRODUCTS) else 0


def _block(block, latents, batch, masked=False):
    return sum(_read(x, latents, latents, batch, masked, block.remat) for x in block.layers)


def _read(layer, queries, keys, batch, masked=False, remat=False, fresh=True):
    """Those of attention and MLP; `fresh` keys and values are of this call."""
    attend, spec = layer.attend, layer.attention
    channels = layer.mlp_in.kernel.shape[0]
    context, qk_channels = attend.key_dense.kernel.shape
    v_channels, heads = attend.value_dense.units, attend.num_heads
    folding = best_folding(attend, queries, keys)
    projected, own = keys * (qk_channels + v_channels), qk_channels + 2 * v_channels
    if folding == "context":
        projected, own = 0, own + 2 * heads * context
    if folding == "queries":
        inputs = attend.query_dense.kernel.shape[0]
        projected, own = projected + keys * heads * (inputs + channels), channels
    projected *= fresh
    if remat:
        return queries * channels + projected
    own += QUERIES[spec.residual_dropout > 0] * channels + HIDDEN * layer.mlp_in.units
    scores = heads * queries * keys
    if not scores_fit(batch, scores):
        scores = 0  # in chunks, and computed anew
    return projected + queries * own + scores * SCORES[masked, spec.dropout > 0]
