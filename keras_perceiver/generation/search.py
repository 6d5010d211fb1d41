"""Beam and contrastive search, by keras-nlp's own loops over this library's caches."""

import keras
from keras import ops

from keras_perceiver.generation import forward

RINGS = ("cross_key", "cross_value", "self_key", "self_value")
SLOTS = ("cross_slot", "self_slot")


def search(
    model, token_ids, padding_mask, *, sampler, stop_ids, count, num_latents, window
):
    """Tokens that follow prompts, by a sampler that weighs several continuations.

    Contrastive search compares candidates with the prompt's last token and with what
    came after it: there are no hidden states of the prefix.

    Args:
        model: a `CausalSequenceModel`.
        token_ids: `[B, S]`, padded on the left.
        padding_mask: `[B, S]`.
        sampler: a `BeamSampler` or `ContrastiveSampler` of keras-nlp.
        stop_ids: ids that finish a row.
        count: how many tokens to generate.
        num_latents: see `forward.prefill`.
        window: see `forward.prefill`.

    Returns:
        int32 `[B, count]`; what follows a stop token in a row means nothing.
    """
    _, cache = forward.prefill(model, token_ids, padding_mask, num_latents, window)
    # The loop reads a token, then draws the next: it reads the prompt's last one again,
    # into the same slots.
    batch = ops.shape(token_ids)[0]
    back = {"cross_slot": window, "self_slot": model.max_latents}
    cache |= {name: (cache[name] - 1) % size for name, size in back.items()}
    cache["position"] = cache["position"] - 1

    num_heads = model.get_layer("stack").attention.num_heads

    def read(prompt, cache, index):
        token = ops.take(prompt, index - 1, axis=1)
        x, cache = forward.read_token(model, token, _one_axis(cache))
        cache = _batch_first(cache, ops.shape(token)[0], num_heads)
        return forward.logits_of(model, x)[:, 0], x[:, 0], cache

    cache = _batch_first(cache, batch, num_heads)
    zeros = ops.zeros((batch, count), dtype="int32")
    prompt = ops.concatenate([token_ids[:, -1:], zeros], axis=1)
    given = ops.arange(1 + count)[None] < 1  # not a stop token that was drawn
    _, hidden, _ = read(prompt, cache, 1)
    tokens = sampler(
        next=read,
        prompt=prompt,
        cache=cache,
        index=1,
        mask=ops.broadcast_to(given, (batch, 1 + count)),
        stop_token_ids=stop_ids or None,
        hidden_states=ops.pad(hidden[:, None], [[0, 0], [0, count], [0, 0]]),
    )
    return tokens[:, 1:]


def _batch_first(cache, rows, num_heads):
    """The cache as the sampler wants it, which repeats and selects rows of every array."""

    def split(ring):
        return ops.reshape(ring, (-1, num_heads, *ring.shape[1:]))

    rings = keras.tree.map_structure(split, {name: cache[name] for name in RINGS})
    slots = {name: ops.broadcast_to(cache[name], (rows,)) for name in SLOTS}
    return {**cache, **rings, **slots}


def _one_axis(cache):
    """The inverse of `_batch_first`."""
    if keras.backend.backend() == "torch":
        # A sampler that repeats a single row makes views of it, which cannot be written to.
        cache = keras.tree.map_structure(lambda x: x.contiguous(), cache)

    def join(ring):
        return ops.reshape(ring, (-1, *ring.shape[2:]))

    rings = keras.tree.map_structure(join, {name: cache[name] for name in RINGS})
    return {**cache, **rings, **{name: cache[name][0] for name in SLOTS}}
