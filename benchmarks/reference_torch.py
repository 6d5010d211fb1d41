"""Perceiver IO in plain PyTorch, the way it is usually written.

The maths of the reference systems without any of this library's algebra: latents
repeated for each example, keys and values projected anew by each cross-attention,
scores kept in full. A benchmark copies weights from this library's model and checks
that both compute the same logits, so both do the same job. Modules are named as
this library's layers, so that `load` finds their weights.
"""

# Only the workers of PyTorch arms import this module.
# ruff: noqa: TID253
from collections import OrderedDict

import numpy as np
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads, q_channels, kv_channels, qk_channels, v_channels):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (qk_channels // num_heads) ** -0.5
        self.query = nn.Linear(q_channels, qk_channels)
        self.key = nn.Linear(kv_channels, qk_channels)
        self.value = nn.Linear(kv_channels, v_channels)
        self.output = nn.Linear(v_channels, q_channels)

    def forward(self, x, context, mask=None):
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(context), self.value(context))
        )  # [B, H, ., C]
        scores = torch.einsum("bhic,bhjc->bhij", q * self.scale, k)
        if mask is not None:  # [B, M]
            least = torch.finfo(scores.dtype).min
            scores = scores.masked_fill(mask[:, None, None] == 0, least)
        out = torch.einsum("bhij,bhjc->bhic", scores.softmax(dim=-1), v)
        return self.output(out.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """What cross- and self-attention layers share: attention, and an MLP after it."""

    def __init__(self, num_heads, q_channels, kv_channels, qk_channels, v_channels):
        super().__init__()
        qk_channels = qk_channels or kv_channels
        v_channels = v_channels or qk_channels
        self.attention = Attention(
            num_heads, q_channels, kv_channels, qk_channels, v_channels
        )
        self.mlp_norm = nn.LayerNorm(q_channels)
        self.mlp_in = nn.Linear(q_channels, q_channels)
        self.mlp_out = nn.Linear(q_channels, q_channels)

    def add_mlp(self, x):
        return x + self.mlp_out(nn.functional.gelu(self.mlp_in(self.mlp_norm(x))))


class CrossLayer(Layer):
    def __init__(
        self,
        q_channels,
        kv_channels,
        num_heads=1,
        qk_channels=None,
        v_channels=None,
        residual=True,
    ):
        super().__init__(num_heads, q_channels, kv_channels, qk_channels, v_channels)
        self.residual = residual
        self.query_norm = nn.LayerNorm(q_channels)
        self.context_norm = nn.LayerNorm(kv_channels)

    def forward(self, x, context, mask=None):
        out = self.attention(self.query_norm(x), self.context_norm(context), mask)
        return self.add_mlp(x + out if self.residual else out)


class SelfLayer(Layer):
    def __init__(self, channels, num_heads=8, qk_channels=None, v_channels=None):
        super().__init__(num_heads, channels, channels, qk_channels, v_channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        normed = self.norm(x)
        return self.add_mlp(x + self.attention(normed, normed))


class Encoder(nn.Module):
    """`cross_attention` and `self_attention`: arguments of the two kinds of layer."""

    def __init__(
        self,
        input_channels,
        num_latents,
        latent_channels,
        num_blocks,
        layers_per_block,
        num_cross_attentions=1,
        share_first_block=True,
        cross_attention=None,
        self_attention=None,
    ):
        super().__init__()
        self.num_cross_attentions, self.num_blocks = num_cross_attentions, num_blocks
        self.share_first_block = share_first_block
        self.latents = nn.Parameter(torch.empty(num_latents, latent_channels))

        def cross():
            return CrossLayer(latent_channels, input_channels, **cross_attention or {})

        def block():
            layers = OrderedDict(
                (f"layer_{i}", SelfLayer(latent_channels, **self_attention or {}))
                for i in range(layers_per_block)
            )
            return nn.Sequential(layers)

        self.first_cross_attention = cross()
        self.first_block = block()
        if num_cross_attentions > 1:
            self.later_cross_attentions = cross()
        if not share_first_block:
            self.later_blocks = block()

    def forward(self, inputs, mask=None):
        x = self.latents.expand(inputs.shape[0], -1, -1)  # [B, N, D]
        x = self.first_block(self.first_cross_attention(x, inputs, mask))
        later = self.first_block if self.share_first_block else self.later_blocks
        for step in range(1, self.num_blocks):
            if step < self.num_cross_attentions:
                x = self.later_cross_attentions(x, inputs, mask)
            x = later(x)
        return x


class Decoder(nn.Module):
    """One query for each output."""

    def __init__(self, channels, latent_channels, **attention):
        super().__init__()
        self.cross_attention = CrossLayer(channels, latent_channels, **attention)

    def forward(self, queries, latents):
        return self.cross_attention(queries.expand(latents.shape[0], -1, -1), latents)


class Array(nn.Module):
    """Learned numbers under a name of their own."""

    def __init__(self, name, *shape):
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


class ImageClassifier(nn.Module):
    """`sizes` are arguments of `Encoder`."""

    def __init__(self, image_shape, num_bands, num_classes, **sizes):
        super().__init__()
        positions = fourier_features(image_shape[:2], num_bands)
        self.register_buffer("positions", positions)
        self.encoder = Encoder(image_shape[2] + positions.shape[1], **sizes)
        channels = sizes["latent_channels"]
        self.query = Array("queries", 1, channels)
        self.decoder = Decoder(channels, channels)
        self.logits = nn.Linear(channels, num_classes)

    def forward(self, images):
        positions = self.positions.expand(images.shape[0], -1, -1)
        inputs = torch.cat([images.flatten(1, 2), positions], dim=-1)  # [B, M, C]
        x = self.decoder(self.query.queries, self.encoder(inputs))
        return self.logits(x[:, 0])


class MaskedLM(nn.Module):
    """The embedding is also the head. `sizes` are arguments of `Encoder`."""

    def __init__(self, vocab_size, length, input_channels, decoder, **sizes):
        super().__init__()
        self.token_embedding = Array("embeddings", vocab_size, input_channels)
        self.positions = Array("positions", length, input_channels)
        self.encoder = Encoder(input_channels, **sizes)
        self.queries = Array("queries", length, input_channels)
        self.decoder = Decoder(input_channels, sizes["latent_channels"], **decoder)
        self.logits = Array("bias", vocab_size)

    def forward(self, token_ids, padding_mask):
        length = token_ids.shape[1]
        embeddings = self.token_embedding.embeddings
        inputs = nn.functional.embedding(token_ids, embeddings)
        inputs = inputs + self.positions.positions[:length]  # [B, S, C]
        latents = self.encoder(inputs, padding_mask)
        x = self.decoder(self.queries.queries[:length], latents)  # [B, S, C]
        return x @ embeddings.T + self.logits.bias


def fourier_features(grid, num_bands):
    """`[positions, axes * (2 * num_bands + 1)]`."""
    axes = [torch.linspace(-1.0, 1.0, size) for size in grid]
    coordinates = torch.meshgrid(*axes, indexing="ij")
    angles = [
        torch.pi * x[..., None] * torch.linspace(1.0, size / 2, num_bands)
        for x, size in zip(coordinates, grid, strict=True)
    ]
    parts = [x[..., None] for x in coordinates]
    parts += [a.sin() for a in angles] + [a.cos() for a in angles]
    return torch.cat(parts, dim=-1).flatten(0, -2)


def initialize(model, scale):
    """Normal random matrices, as this library's."""
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=scale)
    return model


# What this library calls the parameters of a module.
NAMES = {
    nn.Linear: {"weight": "kernel"},
    nn.LayerNorm: {"weight": "gamma", "bias": "beta"},
}


def load(model, weights):
    """Copy weights `{path: array}` of this library's model; nothing may be left over."""
    left = dict(weights)
    with torch.no_grad():
        for path, module in model.named_modules():
            names = NAMES.get(type(module), {})
            for name, parameter in module.named_parameters(recurse=False):
                source = left.pop("/".join([*path.split("."), names.get(name, name)]))
                source = source.T if names.get(name) == "kernel" else source
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(source)))
    if left:
        raise ValueError(f"Weights without a place: {sorted(left)}")
