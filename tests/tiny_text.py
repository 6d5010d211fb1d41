"""The smallest text models with every part, on bytes."""

import numpy as np

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

MAX_LENGTH = 40
VOCAB_SIZE = 262


def encoder(**options):
    """A TextEncoder; `options` are its own and those of its PerceiverEncoder."""
    return kp.models.TextEncoder(
        **{
            "max_length": MAX_LENGTH,
            "input_channels": 8,
            "num_latents": 4,
            "latent_channels": 16,
            "cross_attention": AttentionSpec(num_heads=2, qk_channels=8),
            "self_attention": AttentionSpec(num_heads=2, qk_channels=8, v_channels=16),
            "layers_per_block": 1,
            "init_scale": 0.1,
            **options,
        }
    )


def masked_lm(query_channels=None, preprocessor=None, **options):
    """A MaskedLM; `options` are those of its encoder."""
    spec = AttentionSpec(num_heads=2, qk_channels=8)
    return kp.models.MaskedLM(
        encoder(**options),
        query_channels,
        spec,
        init_scale=0.1,
        preprocessor=preprocessor,
    )


def text_classifier(num_classes=3, preprocessor=None, **options):
    """A TextClassifier; `options` are those of its encoder."""
    return kp.models.TextClassifier(
        encoder(**options), num_classes, init_scale=0.1, preprocessor=preprocessor
    )


def batch(count=3, length=20, seed=0):
    """Random tokens, the last rows with padding."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(6, VOCAB_SIZE, size=(count, length)).astype("int32")
    lengths = np.maximum(length - 3 * np.arange(count), 1)
    mask = (np.arange(length) < lengths[:, None]).astype("int32")
    return {"token_ids": ids * mask, "padding_mask": mask}
