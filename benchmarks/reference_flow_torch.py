"""Perceiver IO's optical flow in plain PyTorch. See `reference_torch`."""

# Only the workers of PyTorch arms import this module.
# ruff: noqa: TID253
import itertools

import torch
from torch import nn

from reference_torch import Decoder, Encoder, fourier_features


class OpticalFlow(nn.Module):
    """`sizes` are arguments of `Encoder`."""

    def __init__(self, image_shape, patch_channels, num_bands, **sizes):
        super().__init__()
        self.image_shape = image_shape
        positions = fourier_features(image_shape, num_bands)
        self.register_buffer("positions", positions)
        self.patch_projection = nn.Linear(54, patch_channels)
        channels = patch_channels + positions.shape[1]
        self.encoder = Encoder(channels, **sizes)
        self.decoder = Decoder(channels, sizes["latent_channels"], residual=False)
        self.head = nn.Linear(channels, 2)

    def forward(self, frames):
        x = self.patch_projection(patches(frames)).flatten(1, 2)
        positions = self.positions.expand(x.shape[0], -1, -1)
        inputs = torch.cat([x, positions], dim=-1)  # [B, M, C]
        flow = self.head(self.decoder(inputs, self.encoder(inputs))) / 100
        return flow.unflatten(1, self.image_shape)


def patches(frames):
    """3 x 3 pixels around each, zeros beyond: `[B, 2, H, W, 3] -> [B, H, W, 2 * 27]`."""
    height, width = frames.shape[2:4]
    padded = nn.functional.pad(frames, (0, 0, 1, 1, 1, 1))
    return torch.cat(
        [
            padded[:, frame, top : top + height, left : left + width]
            for frame, top, left in itertools.product(range(2), range(3), range(3))
        ],
        dim=-1,
    )
