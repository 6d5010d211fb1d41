"""The smallest multimodal autoencoder of transformers, and what it answers."""

import numpy as np

from transformers_models import random_model

# Fourier bands, patches of images and their channels are fixed in their class.
BASE = {
    "num_latents": 4,
    "d_latents": 16,
    "num_blocks": 1,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 1,
    "num_labels": 5,
    "num_frames": 2,
    "image_size": 2,
    "audio_samples_per_frame": 6,
    "samples_per_patch": 3,
    "output_shape": [1, 2, 8, 8],
    "output_num_channels": 7,
}


def multimodal_model(**options):
    """A random model."""
    return random_model("PerceiverForMultimodalAutoencoding", {**BASE, **options}, std=0.2)


def inputs_and_points(model, rng):
    """Image and sound for two examples, and some points to ask for."""
    _, *size = model.config.output_shape
    inputs = {
        "image": rng.normal(size=(2, *size, 3)).astype("float32"),
        "audio": rng.normal(size=(2, 12, 1)).astype("float32"),
    }
    points = {"image": np.arange(3, 40, 5), "audio": np.array([0, 3])}
    return inputs, points


def their_outputs(model, inputs, points):
    import torch

    frames = torch.from_numpy(inputs["image"].transpose(0, 1, 4, 2, 3).copy())
    tensors = {
        "image": frames,
        "audio": torch.from_numpy(inputs["audio"]),
        "label": torch.zeros(len(frames), model.config.num_labels),
    }
    chosen = {name: torch.from_numpy(x) for name, x in points.items()}
    with torch.no_grad():
        out = model(
            inputs=tensors, subsampled_output_points={**chosen, "label": None}
        ).logits
    return {name: x.numpy() for name, x in out.items()}
