"""The smallest image classifier of transformers, and what it answers."""

import keras

BASE = {
    "num_latents": 4,
    "d_latents": 16,
    "num_blocks": 2,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 1,
    "num_labels": 5,
}


def their_logits(model, images):
    import torch

    with torch.no_grad():
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        return model(inputs=pixels).logits.numpy()


def call(model, images):
    return keras.ops.convert_to_numpy(model(images))
