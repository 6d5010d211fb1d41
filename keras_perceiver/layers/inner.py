"""Layers inside of layers, called without what Keras does around each call."""

import keras


def call_inner(layer, x):
    """`layer(x)`, of a layer that a layer of ours made for itself.

    On PyTorch, which runs it each time anew, what Keras does around a call takes a
    quarter of a millisecond: a tenth of the time of a language model's forward pass on a
    CPU, and much more of it on a GPU. What is left of it inside of a layer's call are
    types and quantization, which are looked at here. Other backends do it once, while
    they compile.

    Args:
        layer: a built layer with weights, of one input and no mask.
        x: a tensor.
    """
    quantized = getattr(layer, "quantization_mode", None) is not None
    if keras.backend.backend() != "torch" or quantized:
        return layer(x)
    same = keras.backend.standardize_dtype(x.dtype) == layer.compute_dtype
    if not isinstance(layer, keras.layers.LayerNormalization):  # it casts by itself
        # In mixed precision weights have this type only inside of a layer's call.
        same = same and layer.weights[0].dtype == layer.compute_dtype
    return layer.call(x) if same else layer(x)
