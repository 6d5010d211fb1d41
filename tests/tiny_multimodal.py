"""The smallest multimodal model with most kinds of inputs, for tests that need any."""

import numpy as np

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

KINDS = {
    "audio": kp.models.AudioModality(8, channels=2, patch_size=4, num_bands=2),
    "image": kp.models.ImageModality(4, 6, 1, patch_size=2, num_bands=2),
    "label": kp.models.LabelModality(3, query_channels=5),
    "places": kp.models.SetModality(3),
    "text": kp.models.TextModality(11, max_length=6, channels=4),
}


def encoder(*names, **options):
    """A MultimodalEncoder of all kinds, or of those named."""
    return kp.models.MultimodalEncoder(
        {name: KINDS[name] for name in names or KINDS},
        num_latents=3,
        latent_channels=8,
        self_attention=AttentionSpec(num_heads=2),
        layers_per_block=1,
        **options,
    )


def autoencoder(*names, init_scale=0.02):
    """A MultimodalAutoencoder, likewise."""
    return kp.models.MultimodalAutoencoder(
        encoder(*names, init_scale=init_scale), output_channels=7, init_scale=init_scale
    )


def batch(count=2, names=None, masks=True, seed=0):
    """Inputs: half of the examples lack half of the kinds."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for i, name in enumerate(names or KINDS):
        kind = KINDS[name]
        shape = [count, *(5 if n is None else n for n in kind.shape)]
        if kind.dtype == "int32":
            inputs[name] = rng.integers(0, 3, shape).astype("int32")
        else:
            inputs[name] = rng.normal(size=shape).astype("float32")
        if masks:
            mask = np.ones(shape[: 1 + len(kind.mask_shape)], "int32")
            mask[i % 2 :: 2] = 0
            inputs[f"{name}_mask"] = mask
    return inputs


def without(inputs, name, how):
    """Inputs without one: `"absent"`, `"None"`, or `"masked"`, with garbage in it."""
    inputs = dict(inputs)
    kind, content = KINDS[name], inputs.pop(name)
    if how == "None":
        return {**inputs, name: None, f"{name}_mask": None}
    if how == "masked":
        garbage = np.full_like(content, np.nan if kind.dtype == "float32" else 10**6)
        mask = np.zeros(content.shape[: 1 + len(kind.mask_shape)], "int32")
        return {**inputs, name: garbage, f"{name}_mask": mask}
    return inputs
