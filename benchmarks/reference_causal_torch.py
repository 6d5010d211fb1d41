"""Perceiver AR in plain PyTorch, the way it is usually written. See `reference_torch`.

Scores are kept in full. Generation keeps keys and values, rotated, in room made for all
of them: faster here than the usual `torch.cat` of all so far at each token, and than
rotating what is cached again.
"""

# Only the workers of PyTorch arms import this module.
# ruff: noqa: TID253
import torch
from torch import nn

from reference_torch import Array


class Cache:
    """Keys and values of one attention, `[B, H, N, C]`, with room for `size`."""

    def __init__(self, size):
        self.size, self.used, self.rooms = size, 0, None

    def extended(self, *parts):
        """All keys and values so far and these, which are kept."""
        if self.rooms is None:
            self.rooms = [p.new_empty((*p.shape[:2], self.size, p.shape[3])) for p in parts]
        start, self.used = self.used, self.used + parts[0].shape[2]
        for room, part in zip(self.rooms, parts, strict=True):
            room[:, :, start : self.used] = part
        return [room[:, :, : self.used] for room in self.rooms]


class Attention(nn.Module):
    """Right-aligned: the last query sees every key."""

    def __init__(self, channels, num_heads, output_bias):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (channels // num_heads) ** -0.5
        self.query, self.key, self.value = (
            nn.Linear(channels, channels, bias=False) for _ in range(3)
        )
        self.output = nn.Linear(channels, channels, bias=output_bias)

    def forward(self, x, context, angles, mask, cache):
        """`angles` are of the context, or None; `mask` `[B, N, M]` is True at unseen."""
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(context), self.value(context))
        )  # [B, H, ., C]
        if angles is not None:
            q, k = rotate(q, angles[:, -q.shape[2] :]), rotate(k, angles)
        if cache is not None:
            k, v = cache.extended(k, v)
        scores = torch.einsum("bhic,bhjc->bhij", q * self.scale, k)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None], torch.finfo(scores.dtype).min)
        out = torch.einsum("bhij,bhjc->bhic", scores.softmax(dim=-1), v)
        return self.output(out.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, channels, num_heads, widening_factor, output_bias=False):
        super().__init__()
        self.attention = Attention(channels, num_heads, output_bias)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp_in = nn.Linear(channels, widening_factor * channels, bias=False)
        self.mlp_out = nn.Linear(widening_factor * channels, channels, bias=False)

    def read(self, x, queries, context, angles, mask, cache):
        x = x + self.attention(queries, context, angles, mask, cache)
        return x + self.mlp_out(nn.functional.gelu(self.mlp_in(self.mlp_norm(x))))


class PrefixLayer(Layer):
    """Keys of the prefix have a norm of their own, those of latents the queries'."""

    def __init__(self, channels, *sizes):
        super().__init__(channels, *sizes, output_bias=True)
        self.query_norm = nn.LayerNorm(channels)
        self.context_norm = nn.LayerNorm(channels)

    def forward(self, x, prefix, *rest):
        queries = self.query_norm(x)
        context = torch.cat([self.context_norm(prefix), queries], dim=1)
        return self.read(x, queries, context, *rest)


class SelfLayer(Layer):
    def __init__(self, channels, *sizes):
        super().__init__(channels, *sizes)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x, *rest):
        queries = self.norm(x)
        return self.read(x, queries, queries, *rest)


class Stack(nn.Module):
    """The cross-attention rotates some of each head's channels, and so does layer 0."""

    def __init__(self, rotated, channels, num_layers, *sizes):
        super().__init__()
        self.rotated = rotated
        self.cross_attention = PrefixLayer(channels, *sizes)
        for i in range(num_layers):
            self.add_module(f"layer_{i}", SelfLayer(channels, *sizes))

    def forward(self, x, num_latents, positions, unseen, caches):
        """Latents `[B, L, D]` of the last positions; `unseen` `[B, S]` is padding."""
        first, *layers = self.children()
        angles = rotary_angles(positions, self.rotated)
        length, mask, own = x.shape[1], None, None
        prefix, x = x[:, :-num_latents], x[:, -num_latents:]
        if num_latents > 1:
            mask = torch.ones(1, num_latents, length, dtype=torch.bool, device=x.device)
            mask = mask.triu(length - num_latents + 1)
            mask = mask if unseen is None else mask | unseen[:, None]
            own = mask[:, :, -num_latents:]
        x = first(x, prefix, angles, mask, caches[0])
        for i, layer in enumerate(layers):
            turn = angles[:, -num_latents:] if i == 0 else None
            x = layer(x, turn, own, caches[i + 1])
        return x


class CausalLM(nn.Module):
    """Logits `[B, L, V]`; the embedding is also the head."""

    def __init__(
        self,
        vocab_size,
        max_length,
        channels,
        max_latents,
        num_layers,
        num_heads,
        widening_factor,
        learned_positions=True,
        output_norm=False,
        output_bias=True,
    ):
        super().__init__()
        self.max_latents = max_latents
        self.learned_positions, self.output_bias = learned_positions, output_bias
        self.token_embedding = Array("embeddings", vocab_size, channels)
        if learned_positions:
            self.positions = Array("positions", max_length, channels)
        rotated = channels // num_heads // (2 if learned_positions else 1)
        self.stack = Stack(rotated, channels, num_layers, num_heads, widening_factor)
        self.output_norm = nn.LayerNorm(channels) if output_norm else None
        if output_bias:
            self.logits = Array("bias", vocab_size)

    def forward(self, token_ids, padding_mask):
        real = padding_mask != 0
        positions = (real.cumsum(dim=1) - 1).clamp(min=0)
        return self.predict(token_ids, positions, self.max_latents, ~real)

    def predict(self, token_ids, positions, num_latents, unseen=None, caches=None):
        caches = caches or [None] * len(list(self.stack.children()))
        embeddings = self.token_embedding.embeddings
        x = nn.functional.embedding(token_ids, embeddings)
        if self.learned_positions:
            x = x + self.positions.positions[positions]  # [B, S, D]
        x = self.stack(x, num_latents, positions, unseen, caches)
        if self.output_norm is not None:
            x = self.output_norm(x)
        x = x @ embeddings.T
        return x + self.logits.bias if self.output_bias else x


class Generator(CausalLM):
    """Greedy: `new_tokens` ids that follow prompts without padding, from one latent on."""

    def __init__(self, new_tokens, use_cache, **sizes):
        super().__init__(**sizes)
        self.new_tokens, self.use_cache = new_tokens, use_cache

    def forward(self, token_ids, padding_mask):
        start, end = token_ids.shape[1], token_ids.shape[1] + self.new_tokens
        caches = None
        if self.use_cache:
            rooms = [end] + [self.new_tokens] * (len(list(self.stack.children())) - 1)
            caches = [Cache(room) for room in rooms]
        ids, given, num_latents = token_ids, token_ids, 1
        for length in range(start, end):
            positions = torch.arange(length)[None, -given.shape[1] :]
            logits = self.predict(given, positions, num_latents, caches=caches)
            token = logits[:, -1].argmax(dim=-1, keepdim=True)
            ids = torch.cat([ids, token], dim=1)
            given = token if self.use_cache else ids
            num_latents += not self.use_cache
        return ids[:, start:]


def rotary_angles(positions, channels):
    """`[B, N, channels / 2]`."""
    exponents = torch.arange(0, channels, 2, device=positions.device) / channels
    return positions[..., None] * 10000.0**-exponents


def rotate(x, angles):
    """The first channels of `x` `[B, H, N, C]`, in pairs of neighbours."""
    channels = 2 * angles.shape[-1]
    cosine, sine = angles[:, None].cos(), angles[:, None].sin()
    first, second = x[..., :channels:2], x[..., 1:channels:2]
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return torch.cat([torch.stack(turned, dim=-1).flatten(-2), x[..., channels:]], dim=-1)
