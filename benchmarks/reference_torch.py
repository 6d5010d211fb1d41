"""Perceiver IO's image classifier in plain PyTorch, the way it is usually written.

The maths of the reference systems without any of this library's algebra: latents
repeated for each example, keys and values projected anew by each cross-attention,
scores kept in full. The benchmark copies weights from this library's model and
checks that both compute the same logits, so both do the same job.
"""

# Only the workers of PyTorch arms import this module.
# ruff: noqa: TID253
import numpy as np
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads, q_channels, kv_channels, qk_channels):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (qk_channels // num_heads) ** -0.5
        self.query = nn.Linear(q_channels, qk_channels)
        self.key = nn.Linear(kv_channels, qk_channels)
        self.value = nn.Linear(kv_channels, qk_channels)
        self.output = nn.Linear(qk_channels, q_channels)

    def forward(self, x, context):
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(context), self.value(context))
        )  # [B, H, ., C]
        scores = torch.einsum("bhic,bhjc->bhij", q * self.scale, k)
        out = torch.einsum("bhij,bhjc->bhic", scores.softmax(dim=-1), v)
        return self.output(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first = nn.Linear(channels, channels)
        self.second = nn.Linear(channels, channels)

    def forward(self, x):
        return self.second(nn.functional.gelu(self.first(self.norm(x))))


class CrossLayer(nn.Module):
    def __init__(self, num_heads, q_channels, kv_channels):
        super().__init__()
        self.query_norm = nn.LayerNorm(q_channels)
        self.context_norm = nn.LayerNorm(kv_channels)
        self.attention = Attention(num_heads, q_channels, kv_channels, kv_channels)
        self.mlp = MLP(q_channels)

    def forward(self, x, context):
        x = x + self.attention(self.query_norm(x), self.context_norm(context))
        return x + self.mlp(x)


class SelfLayer(nn.Module):
    def __init__(self, num_heads, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(num_heads, channels, channels, channels)
        self.mlp = MLP(channels)

    def forward(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed)
        return x + self.mlp(x)


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


class ImageClassifier(nn.Module):
    """`job` is a `benchmarks.jobs.Job`."""

    def __init__(self, job):
        super().__init__()
        self.job = job
        positions = fourier_features(job.image_shape[:2], job.num_bands)
        self.register_buffer("positions", positions)
        inputs = job.image_shape[2] + positions.shape[1]
        channels = job.latent_channels
        self.latents = nn.Parameter(torch.empty(job.num_latents, channels))

        def block():
            layers = (SelfLayer(8, channels) for _ in range(job.layers_per_block))
            return nn.Sequential(*layers)

        self.first_cross = CrossLayer(1, channels, inputs)
        self.first_block = block()
        if job.num_cross_attentions > 1:
            self.later_cross = CrossLayer(1, channels, inputs)
        if not job.share_first_block:
            self.later_block = block()
        self.query = nn.Parameter(torch.empty(1, channels))
        self.decoder = CrossLayer(1, channels, channels)
        self.logits = nn.Linear(channels, job.num_classes)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=job.init_scale)

    def forward(self, images):
        batch = images.shape[0]
        positions = self.positions.expand(batch, -1, -1)
        inputs = torch.cat([images.flatten(1, 2), positions], dim=-1)  # [B, M, C]
        x = self.latents.expand(batch, -1, -1)
        x = self.first_block(self.first_cross(x, inputs))
        for step in range(1, self.job.num_blocks):
            if step < self.job.num_cross_attentions:
                x = self.later_cross(x, inputs)
            x = (self.first_block if self.job.share_first_block else self.later_block)(x)
        x = self.decoder(self.query.expand(batch, -1, -1), x)
        return self.logits(x[:, 0])


def load(model, weights):
    """Copy weights `{path: array}` of this library's model; nothing may be left over."""
    left = dict(weights)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            source = left.pop(_path(name))
            source = source.T if name.endswith("weight") and source.ndim == 2 else source
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(source)))
    if left:
        raise ValueError(f"Weights without a place: {sorted(left)}")


def _path(name):
    """Our variable's path for a parameter of the model above."""
    parts = name.split(".")
    kind = parts[-1]
    if name == "latents":
        return "encoder/latents"
    if name == "query":
        return "query/queries"
    norms = any(part.endswith("norm") for part in parts)
    leaf = {"weight": "gamma" if norms else "kernel", "bias": "beta" if norms else "bias"}[
        kind
    ]
    module = parts[0]
    if module == "logits":
        return f"logits/{leaf}"
    inner = "/".join(parts[1:-1])
    inner = inner.replace("mlp/norm", "mlp_norm").replace("mlp/first", "mlp_in")
    inner = inner.replace("mlp/second", "mlp_out")
    if module.endswith("cross"):
        layer = {
            "first_cross": "encoder/first_cross_attention",
            "later_cross": "encoder/later_cross_attentions",
        }[module]
    elif module == "decoder":
        layer = "decoder/cross_attention"
    else:
        index, _, inner = inner.partition("/")
        block = {"first_block": "first_block", "later_block": "later_blocks"}[module]
        layer = f"encoder/{block}/layer_{index}"
    return f"{layer}/{inner}/{leaf}"
