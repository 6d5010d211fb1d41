"""Low-rank adaptation of a trained model."""

import keras


def enable_lora(model, rank):
    """Freeze a model's weights and add trainable low-rank factors to its Dense layers.

    Works with the folded attention of this library: it reads the adapted kernels.

    Args:
        model: a built model or layer.
        rank: rank of the factors; each kernel `[I, O]` gets `rank * (I + O)`
            trainable numbers.

    Returns:
        The number of layers that were adapted.

    Raises:
        ValueError: nothing to adapt, or adapted already (by Keras).

    Reference:
        arXiv 2106.09685.
    """
    for layer in model._flatten_layers():
        for variable in layer._trainable_variables:
            variable.trainable = False
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    if not dense:
        raise ValueError(f"`model` has no Dense layer to adapt. Received: {model.name}")
    for layer in dense:
        layer.enable_lora(rank)
        if layer.bias is not None:
            layer.bias.trainable = False
    return len(dense)
