"""Low-rank adaptation of a trained model."""

import keras

from keras_perceiver.layers.adaptation import freeze


def enable_lora(model, rank, alpha=None):
    """Freeze a model's weights and add trainable low-rank factors to its Dense layers.

    Works with the folded attention of this library: it reads the adapted kernels. A
    quantized model can be adapted too, and is trained by nothing else: its kernels have
    no gradient. Compile the model afterwards. Its preset holds the factors beside the
    weights they adapt, so that training can go on.

    Args:
        model: a built model or layer.
        rank: rank of the factors; each kernel `[I, O]` gets `rank * (I + O)`
            trainable numbers.
        alpha: the product of the factors is scaled by `alpha / rank`; None for `rank`.

    Returns:
        The number of layers that were adapted.

    Raises:
        ValueError: nothing to adapt, or adapted already (by Keras).

    Reference:
        arXiv 2106.09685.
    """
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    if not dense:
        raise ValueError(f"`model` has no Dense layer to adapt. Received: {model.name}")
    freeze(model)
    for layer in dense:
        layer.enable_lora(rank, lora_alpha=alpha)
    if isinstance(model, keras.Model):  # what was compiled knows nothing of factors
        model.train_function = model.test_function = model.predict_function = None
    return len(dense)
