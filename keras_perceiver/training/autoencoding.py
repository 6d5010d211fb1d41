"""What a multimodal autoencoder is trained by."""

import keras

from keras_perceiver.models import (
    AudioModality,
    ImageModality,
    LabelModality,
    TextModality,
    VideoModality,
)
from keras_perceiver.training.losses import TokenCrossentropy

# Of arXiv 2107.14795, section 4.3; images as videos, texts as labels.
WEIGHTS = {
    AudioModality: 1.0,
    ImageModality: 0.03,
    LabelModality: 1e-4,
    TextModality: 1e-4,
    VideoModality: 0.03,
}


def autoencoding_losses(model, weights=None):
    """Losses of a `MultimodalAutoencoder` and their weights, as arguments of `compile`.

    The mean absolute difference for sounds, images and videos, cross-entropy for labels
    and texts.

    Args:
        model: a `MultimodalAutoencoder`.
        weights: weights by name instead of the paper's, which are 1 for sounds, 0.03
            for images and videos, and 0.0001 for labels and texts.

    Returns:
        A dict of `loss` and `loss_weights`, which are dicts by name.

    Raises:
        ValueError: a weight for what the model does not give back.

    Example:
    >>> from keras_perceiver import models
    >>> kinds = {"image": models.ImageModality(8, 8), "label": models.LabelModality(10)}
    >>> encoder = models.MultimodalEncoder(kinds, num_latents=4, latent_channels=16)
    >>> model = models.MultimodalAutoencoder(encoder)
    >>> losses = autoencoding_losses(model, {"label": 1.0})
    >>> losses["loss_weights"]
    {'image': 0.03, 'label': 1.0}
    >>> model.compile("adamw", **losses)
    """
    unknown = sorted(set(weights or {}) - set(model.kinds))
    if unknown:
        raise ValueError(f"`weights` must be of {sorted(model.kinds)}. Received: {unknown}")
    loss_weights = {name: WEIGHTS[type(kind)] for name, kind in model.kinds.items()}
    losses = {
        name: TokenCrossentropy()
        if kind.dtype == "int32"
        else keras.losses.MeanAbsoluteError()
        for name, kind in model.kinds.items()
    }
    return {"loss": losses, "loss_weights": {**loss_weights, **(weights or {})}}
