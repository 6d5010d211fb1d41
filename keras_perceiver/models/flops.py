"""Arithmetic of a model, counted from its static shapes."""

import math

import keras

from keras_perceiver.layers import (
    Attention,
    LatentCrossAttention,
    LearnedPositions,
    PerceiverAR,
    PerceiverDecoder,
    PerceiverEncoder,
    PerceiverResampler,
    SelfAttentionBlock,
)
from keras_perceiver.layers.folding import attention_flops, best_folding


def flops(model, executed=False, length=None):
    """Floating-point operations of a forward pass for one example.

    Matrix products only, a multiply-add counted as two: the papers' measure. All scores
    of causal attention count, masked or not, and the whole prefix, dropped out or not.

    Args:
        model: a functional model of this library's layers, `Dense`, `Conv2D` and
            `ReversibleEmbedding`, with inputs of static shape, apart from the batch.
        executed: count what this library executes (folded projections, shared
            keys and values once) instead of the papers' formula. The query side of
            the first cross-attention counts fully, though a batch shares it.
        length: the size to count for axes of unknown size: tokens, in a model of text.

    Returns:
        An integer.

    Raises:
        ValueError: a layer with a kernel that this function cannot count, or an
            input of unknown size.

    Example:
    >>> inputs = keras.Input((100,))
    >>> flops(keras.Model(inputs, keras.layers.Dense(10)(inputs)))
    2000
    """
    return sum(
        _layer_flops(layer, shapes, executed) for layer, shapes, _ in calls(model, length)
    )


def calls(model, length=None):
    """Layers of a model in the order of their calls, and shapes of what goes in and out.

    Args:
        model: as of `flops`.
        length: likewise.

    Returns:
        An iterator of `(layer, inputs, outputs)`, lists of shapes without the batch.
    """

    def sized(tensor, size):
        return tuple(size if n is None else n for n in tensor.shape[1:])

    lengths = {}
    # The calls in this model, inputs first: a layer may serve in others, too.
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            carried = [lengths.get(id(x), length) for x in node.input_tensors]
            shapes = list(map(sized, node.input_tensors, carried))
            if shapes and any(None in shape for shape in shapes):
                raise ValueError(
                    "Inputs must have static shapes, or `length` must be given. "
                    f"Received: {shapes} at {node.operation.name}"
                )
            size = min(carried) if carried and length else length
            if isinstance(node.operation, PerceiverAR) and length:
                size = min(size, node.operation.max_latents)
            lengths.update((id(x), size) for x in node.outputs)
            yield node.operation, shapes, [sized(x, size) for x in node.outputs]


def _layer_flops(layer, shapes, executed):
    if isinstance(layer, PerceiverEncoder):
        return _encoder(layer, shapes, executed)
    if isinstance(layer, PerceiverAR):
        return _autoregressive(layer, shapes[0][0])
    if isinstance(layer, PerceiverDecoder):
        return _cross(layer.cross, shapes[0][0], shapes[1][0], executed)
    if isinstance(layer, LatentCrossAttention):
        return _cross(layer, shapes[0][0], shapes[1][0], executed)
    if isinstance(layer, PerceiverResampler):
        latents, inputs = layer.num_latents, shapes[0][0]
        keys = inputs + latents if layer.latents_as_keys else inputs
        return sum(_cross(x, latents, keys, executed) for x in layer.layers)
    if isinstance(layer, SelfAttentionBlock):
        return _block(layer, shapes[0][0])
    if isinstance(layer, Attention):
        keys = shapes[1][0] if len(shapes) > 1 else shapes[0][0]
        return _attention(layer, shapes[0][0], keys, executed)
    if isinstance(layer, LearnedPositions):
        length = math.prod(shapes[0][:-1])
        return 0 if layer.projection is None else _dense(layer.project, length)
    if isinstance(layer, keras.layers.Dense):
        return _dense(layer, math.prod(shapes[0][:-1]))
    if isinstance(layer, keras.layers.Conv2D):
        outputs = layer.compute_output_shape((None, *shapes[0]))
        return _dense(layer, math.prod(outputs[1:-1]))
    if isinstance(layer, keras.layers.ReversibleEmbedding):
        reverse = len(shapes[0]) == 2  # else a look-up of ids [S]
        return 2 * shapes[0][0] * math.prod(layer.embeddings.shape) if reverse else 0
    if isinstance(layer, keras.Model):
        return flops(layer, executed)
    if not _has_kernel(layer):
        return 0
    raise ValueError(
        f"Cannot count the FLOPs of layer {layer.name} ({type(layer).__name__})."
    )


def _has_kernel(layer):
    return any(w.name == "kernel" for w in getattr(layer, "weights", []))


def _encoder(layer, shapes, executed):
    inputs = shapes[0][0]
    latents = layer.num_latents or shapes[-1][0]
    total, projected = 0, set()
    for cross, block in layer.steps:
        if cross is not None:
            total += _cross(cross, latents, inputs, executed)
            if executed and id(cross) in projected:
                # Keys and values of a shared cross-attention were there already.
                folding = best_folding(cross.attend, latents, inputs)
                total -= attention_flops(cross.attend, 0, inputs, folding)
            projected.add(id(cross))
        total += _block(block, latents)
    return total


def _autoregressive(layer, inputs):
    latents = min(layer.max_latents, inputs)
    return _cross(layer.cross, latents, inputs, executed=False) + _block(layer, latents)


def _block(block, latents):
    return sum(
        _attention(layer.attend, latents, latents, executed=False) + _mlp(layer, latents)
        for layer in block.layers
    )


def _cross(layer, queries, keys, executed):
    return _attention(layer.attend, queries, keys, executed) + _mlp(layer, queries)


def _attention(layer, queries, keys, executed):
    folding = best_folding(layer, queries, keys) if executed else None
    return attention_flops(layer, queries, keys, folding)


def _mlp(layer, positions):
    return _dense(layer.mlp_in, positions) + _dense(layer.mlp_out, positions)


def _dense(layer, positions):
    return 2 * positions * math.prod(layer.kernel.shape)
