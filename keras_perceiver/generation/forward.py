"""What a Perceiver AR computes to generate: prefill, one step, a whole window.

Pure functions of a model's layers and of tensors; `loop` compiles them. The cache is
a plain dict of arrays of fixed sizes, batch first:

| key | shape | what it holds |
|---|---|---|
| `cross_key`, `cross_value` | `[B * H, W, .]` | of the last W positions, a ring |
| `cross_mask` | `[B, W]` int32 | 1 where a slot holds a token |
| `self_key`, `self_value` | lists of `[B * H, R, .]` | of the last R latents, a ring |
| `self_mask` | `[B, R]` int32 | 1 where a slot holds a latent of a token |
| `position` | `[B]` int32 | real tokens so far |
| `cross_slot`, `self_slot` | int32 | the next slot to write |

Softmax does not care about the order of keys, and keys are rotated before they are
stored, so a ring never has to be shifted. Batch and heads are one axis, as in the
products that read a cache: XLA would copy caches of another shape at each step.
"""

import keras
from keras import ops

from keras_perceiver.generation import token
from keras_perceiver.ops.masks import attention_bias_mask, zero_masked
from keras_perceiver.ops.plain import rows
from keras_perceiver.ops.rotary import rotary_angles, shifted_positions

NO_SEEDS = (None, None, None)


def prefill(model, token_ids, padding_mask, num_latents, window, latent_window=None):
    """Read a prompt: the cache after it, and logits of the token to come.

    Args:
        model: a `CausalSequenceModel`.
        token_ids: `[B, S]`, padded on the left.
        padding_mask: `[B, S]`.
        num_latents: latents to begin with, at most S.
        window: slots of the cross-attention's cache, W, at least S.
        latent_window: slots of the other caches, R, at least `num_latents`; None for
            the model's `max_latents`. Each step reads all of them, so where fewer tokens
            are to come, fewer slots make it faster.

    Returns:
        `(logits [B, V], cache)`.
    """
    stack = model.get_layer("stack")
    positions = shifted_positions(padding_mask)
    x = zero_masked(embed(model, token_ids, positions), padding_mask)
    prefix, latents = x[:, :-num_latents], x[:, -num_latents:]
    own_mask = padding_mask[:, -num_latents:]
    rotation = rotary_angles(positions, stack.cross.rotary_channels)
    queries = stack.cross.query_norm(latents)
    cross = stack.cross.attend.project(
        stack.cross.keys(queries, prefix), None, rotation=rotation
    )
    mask = attention_bias_mask(padding_mask)
    x = stack.cross.read(latents, queries, cross, mask, rotation, NO_SEEDS)
    own_rotation = tuple(part[:, :, -num_latents:] for part in rotation)
    mask, stored = attention_bias_mask(own_mask), []
    for layer, rotates in stack.rotary_layers:
        turn = own_rotation if rotates else None
        queries = layer.norm(x)
        projected = layer.attend.project(queries, None, rotation=turn)
        stored.append(projected)
        x = layer.read(x, queries, projected, mask, NO_SEEDS, rotation=turn)
    size = latent_window or stack.max_latents
    length = ops.shape(token_ids)[1]
    cache = {
        "cross_key": _ring(cross[0], window),
        "cross_value": _ring(cross[1], window),
        "cross_mask": _fill(ops.cast(padding_mask, "int32"), window),
        "self_key": [_ring(key, size) for key, _ in stored],
        "self_value": [_ring(value, size) for _, value in stored],
        "self_mask": _fill(ops.cast(own_mask, "int32"), size),
        "position": ops.sum(ops.cast(padding_mask, "int32"), axis=1),
        "cross_slot": ops.convert_to_tensor(length % window, "int32"),
        "self_slot": ops.convert_to_tensor(num_latents % size, "int32"),
    }
    return logits_of(model, x[:, -1:])[:, 0], cache


def step(model, token_ids, cache, layers=None):
    """One more token: logits of the one after it, and the cache with it.

    Args:
        model: a `CausalSequenceModel`.
        token_ids: `[B]`.
        cache: of `prefill` or of an earlier step.
        layers: of `token.layers`, to save reading the weights for each token anew.

    Returns:
        `(logits [B, V], cache)`.
    """
    x, cache = read_token(model, token_ids, cache, layers)
    return logits_of(model, x)[:, 0], cache


def read_token(model, token_ids, cache, layers=None):
    """As `step`, but the last layer's output `[B, 1, D]` instead of logits."""
    cache = dict(cache)
    position = cache["position"]
    x = embed(model, token_ids[:, None], position[:, None])  # [B, 1, D]
    channels = model.get_layer("stack").cross.rotary_channels
    rotation = rotary_angles(position[:, None], channels)
    keys = [cache["cross_key"], *cache["self_key"]]
    values = [cache["cross_value"], *cache["self_value"]]
    masks, slots = {}, {}
    for kind in ("cross", "self"):
        slots[kind] = cache[f"{kind}_slot"]
        cache[f"{kind}_mask"] = _mark(cache[f"{kind}_mask"], slots[kind])
        masks[kind] = token.seen(cache[f"{kind}_mask"])
        size = cache[f"{kind}_mask"].shape[1]
        cache[f"{kind}_slot"] = (cache[f"{kind}_slot"] + 1) % size
    for i, (layer, rotates) in enumerate(layers or token.layers(model)):
        kind = "self" if i else "cross"
        query, key, value = layer.project(x, rotation if rotates else None)
        keys[i] = write(keys[i], key, slots[kind])
        values[i] = write(values[i], value, slots[kind])
        x = x + layer.attention(query, keys[i], values[i], masks[kind])
        x = layer.mlp(x)
    cache["cross_key"], *cache["self_key"] = keys
    cache["cross_value"], *cache["self_value"] = values
    cache["position"] = position + 1
    return x, cache


def recompute(model, token_ids, padding_mask, num_latents, latent_window=None):
    """Logits of the token after a window, from the window alone.

    Args:
        model: a `CausalSequenceModel`.
        token_ids: `[B, W]`, padded on the left.
        padding_mask: `[B, W]`.
        num_latents: int32 tensor: how many of the last positions are latents. Sizes
            do not depend on it, so one compilation serves all.
        latent_window: how many positions are computed as if they were latents, at least
            `num_latents`; None for the model's `max_latents`.

    Returns:
        Logits `[B, V]`.
    """
    stack = model.get_layer("stack")
    positions = shifted_positions(padding_mask)
    x = zero_masked(embed(model, token_ids, positions), padding_mask)
    size = min(latent_window or stack.max_latents, token_ids.shape[1])
    prefix, latents = x[:, :-size], x[:, -size:]
    # Of the last positions, those that are no latents yet are prefix.
    is_latent = ops.arange(size) >= size - num_latents  # [L]
    queries = stack.cross.query_norm(latents)
    as_prefix = stack.cross.context_norm(latents)
    own_keys = ops.where(is_latent[None, :, None], queries, as_prefix)
    rotation = rotary_angles(positions, stack.cross.rotary_channels)
    keys = stack.cross.keys(own_keys, prefix)
    projected = stack.cross.attend.project(keys, None, rotation=rotation)
    mask = attention_bias_mask(padding_mask)
    x = stack.cross.read(latents, queries, projected, mask, rotation, NO_SEEDS)
    own_rotation = tuple(part[:, :, -size:] for part in rotation)
    own_mask = ops.cast(padding_mask[:, -size:], "int32")
    mask = attention_bias_mask(own_mask * ops.cast(is_latent, "int32")[None])
    for layer, rotates in stack.rotary_layers:
        turn = own_rotation if rotates else None
        x = layer.update(x, mask, NO_SEEDS, rotation=turn)
    return logits_of(model, x[:, -1:])[:, 0]


def embed(model, token_ids, positions):
    """Embedded tokens `[B, N, D]`, at positions `[B, N]`."""
    x = token.plain_call(model.get_layer("token_embedding"))(token_ids)
    if model.learned_positions:
        table = ops.cast(model.get_layer("positions").positions, x.dtype)
        # Past the longest context the window slides: the last position stays the last.
        last = ops.minimum(positions, model.max_length - 1)
        x = x + rows(table, last)
    return x


def logits_of(model, x):
    """Logits `[B, 1, V]` of one latent of each example, `[B, 1, D]`."""
    if model.output_norm:
        x = model.get_layer("output_norm")(x)
    logits = token.head(model.get_layer("token_embedding"))(x)
    if model.output_bias:
        logits = token.plain_call(model.get_layer("logits"))(logits)
    return logits


def write(ring, x, slot):
    """`ring` `[R, W, ...]` with `x` `[R, 1, ...]` in a slot, an integer or a tensor."""
    if keras.backend.backend() == "torch":
        # In place: a copy of the cache for each token would take longer than the step.
        ring[:, int(slot)] = x[:, 0]
        return ring
    return ops.slice_update(ring, (0, slot, *(0 for _ in ring.shape[2:])), x)


def _mark(mask, slot):
    if keras.backend.backend() == "torch":
        mask[:, int(slot)] = 1
        return mask
    ones = ops.ones((ops.shape(mask)[0], 1), dtype=mask.dtype)
    return write(mask, ones, slot)


def _ring(x, size):
    """`x` `[B, H, N, C]` in a ring `[B * H, size, C]`, zeros after it."""
    return _fill(ops.reshape(x, (-1, *ops.shape(x)[2:])), size)


def _fill(x, size):
    """`x` with zeros after it, up to `size` along the second axis."""
    padding = [[0, 0] for _ in x.shape]
    padding[1][1] = size - ops.shape(x)[1]
    return ops.pad(x, padding)
