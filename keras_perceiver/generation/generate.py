"""Generation: tokens after prompts, by one of three policies for the cache."""

import keras
import numpy as np
from keras import ops

from keras_perceiver.generation import samplers
from keras_perceiver.generation.loop import program, seed_of

# Prompts are padded to multiples of this, so that few sizes are compiled.
BUCKET = 64


def generate(model, token_ids, padding_mask, max_new_tokens, **options):
    """Tokens that follow prompts.

    Args: see `stream`.

    Returns:
        int32 `[B, new]`, `new <= max_new_tokens`: as many as the longest row needed.
    """
    parts = list(stream(model, token_ids, padding_mask, max_new_tokens, **options))
    return np.concatenate(parts, axis=1)


def stream(
    model,
    token_ids,
    padding_mask,
    max_new_tokens,
    num_latents=1,
    sampler="top_k",
    use_cache=True,
    seed=None,
    stop_ids=(),
    freed_latents=None,
    chunk=None,
):
    """Tokens that follow prompts, some at a time.

    Args:
        model: a `CausalSequenceModel`.
        token_ids: int32 `[B, S]`, padded on the left.
        padding_mask: int32 `[B, S]`.
        max_new_tokens: how many to generate at most.
        num_latents: latents to begin with, from the prompt's last tokens.
        sampler: see `samplers.get`.
        use_cache: True for rolling caches; False to recompute the window for each
            token; "exact" to re-encode the window whenever the latents are full.
        seed: integer; the same seed gives the same tokens. None for a new one.
        stop_ids: tokens that finish a row.
        freed_latents: with "exact", how many latents become prefix when all are in
            use; None for a quarter.
        chunk: tokens of each part, or None for as many as can be made at once.

    Yields:
        int32 `[B, n]`, the next tokens.
    """
    token_ids, padding_mask = check(model, token_ids, padding_mask, num_latents)
    if max_new_tokens < 1:
        raise ValueError(f"`max_new_tokens` must be at least 1. Received: {max_new_tokens}")
    freed = freed_latents or max(1, model.max_latents // 4)
    if not 1 <= freed <= model.max_latents - 1 and use_cache == "exact":
        raise ValueError(
            "`freed_latents` must lie between 1 and max_latents - 1 = "
            f"{model.max_latents - 1}. Received: {freed}"
        )
    policies = {True: _rolling, False: _recomputed, "exact": _exact}
    if use_cache not in list(policies):
        raise ValueError(
            f"`use_cache` must be True, False or 'exact'. Received: {use_cache!r}"
        )
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    run = Run(model, samplers.get(sampler), tuple(stop_ids), seed, chunk, freed)
    policy = policies[use_cache]
    yield from policy(run, token_ids, padding_mask, max_new_tokens, num_latents)


class Run:
    """What stays the same during one call of `generate`."""

    def __init__(self, model, sampler, stop_ids, seed, chunk, freed):
        self.model = model
        self.sampler = sampler
        self.stop_ids = stop_ids
        # Of the type that the backend's random functions want.
        dtype = keras.random.SeedGenerator(0).state.dtype
        self.seed = ops.convert_to_tensor(seed % 2**31, dtype)
        self.chunk = chunk
        self.freed = freed

    def prefill(self, token_ids, padding_mask, num_latents, window):
        """Logits and cache after a prompt, which is padded to a common size."""
        size = min(_bucket(token_ids.shape[1]), window)
        token_ids, padding_mask = (_pad_left(x, size) for x in (token_ids, padding_mask))
        run = program(self.model, "prefill", num_latents, window)
        return run(ops.convert_to_tensor(token_ids), ops.convert_to_tensor(padding_mask))

    def decode(self, logits, cache, finished, drawn, steps):
        """Parts of the next `steps` tokens, and the state after each."""
        while steps > 0:
            count = min(steps, self.chunk or steps)
            size = self.chunk or _bucket(count)
            run = program(self.model, "decode", self.sampler, self.stop_ids, size)
            ids, logits, cache, finished, done = run(
                logits, cache, finished, self.seed, _int(drawn), _int(count)
            )
            done = int(done)
            yield ops.convert_to_numpy(ids)[:, :done], (logits, cache, finished)
            drawn, steps = drawn + done, steps - done
            if done < count or all_finished(finished):
                return

    def draw(self, logits, finished, drawn):
        """One token `[B]`, without reading it."""
        run = program(self.model, "draw", self.sampler, self.stop_ids)
        ids, finished = run(logits, finished, seed_of(self.seed, drawn))
        return ops.convert_to_numpy(ids), finished


def _rolling(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Caches roll: the oldest position makes room for the newest."""
    length = token_ids.shape[1]
    window = min(_bucket(length) + _bucket(max_new_tokens), run.model.max_length)
    logits, cache = run.prefill(token_ids, padding_mask, num_latents, window)
    finished = ops.zeros((len(token_ids),), dtype="bool")
    for ids, _ in run.decode(logits, cache, finished, 0, max_new_tokens):
        yield ids


def _recomputed(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Every token from the whole window: latents grow, then the prefix, then it slides."""
    model = run.model
    finished = ops.zeros((len(token_ids),), dtype="bool")
    recompute = program(model, "recompute")
    for drawn in range(max_new_tokens):
        window = [x[:, -model.max_length :] for x in (token_ids, padding_mask)]
        size = min(_bucket(window[0].shape[1]), model.max_length)
        latents = min(num_latents + drawn, model.max_latents)
        logits = recompute(*(_tensor(_pad_left(x, size)) for x in window), _int(latents))
        ids, finished = run.draw(logits, finished, drawn)
        yield ids[:, None]
        if all_finished(finished):
            return
        token_ids = np.concatenate([token_ids, ids[:, None]], axis=1)
        padding_mask = np.pad(padding_mask, ((0, 0), (0, 1)), constant_values=1)


def _exact(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Rolling caches, filled anew from the tokens before old states could leak."""
    model = run.model
    finished = ops.zeros((len(token_ids),), dtype="bool")
    drawn = 0
    while True:
        # Room for what is decoded before the next time, so that nothing slides out.
        room = model.max_latents - num_latents
        keep = model.max_length - room
        token_ids, padding_mask = token_ids[:, -keep:], padding_mask[:, -keep:]
        window = min(_bucket(token_ids.shape[1]) + _bucket(room), model.max_length)
        logits, cache = run.prefill(token_ids, padding_mask, num_latents, window)
        state = (logits, cache, finished)
        for part in run.decode(*state, drawn, min(room, max_new_tokens - drawn)):
            ids, state = part
            yield ids
            drawn += ids.shape[1]
            token_ids = np.concatenate([token_ids, ids], axis=1)
        logits, _, finished = state
        if drawn == max_new_tokens or all_finished(finished):
            return
        # The latents are full: the next token is read with the whole window.
        ids, finished = run.draw(logits, finished, drawn)
        yield ids[:, None]
        drawn += 1
        if drawn == max_new_tokens or all_finished(finished):
            return
        token_ids = np.concatenate([token_ids, ids[:, None]], axis=1)
        added = token_ids.shape[1] - padding_mask.shape[1]
        padding_mask = np.pad(padding_mask, ((0, 0), (0, added)), constant_values=1)
        num_latents = model.max_latents - run.freed


def check(model, token_ids, padding_mask, num_latents):
    """Prompts as int32 arrays, checked.

    Raises:
        ValueError: an empty prompt or one that is too long, ids out of the
            vocabulary, padding on the right, or `num_latents` out of range.
    """
    token_ids, padding_mask = (np.asarray(x) for x in (token_ids, padding_mask))
    if token_ids.ndim != 2 or token_ids.shape != padding_mask.shape or not token_ids.size:
        raise ValueError(
            "`prompts` must hold at least one token each, `token_ids` and `padding_mask` "
            f"being of shape [B, S]. Received: {token_ids.shape} and {padding_mask.shape}"
        )
    length = token_ids.shape[1]
    if (
        token_ids.dtype.kind not in "iu"
        or token_ids.min() < 0
        or token_ids.max() >= model.vocab_size
    ):
        raise ValueError(
            f"`prompts` must be token ids from 0 to {model.vocab_size - 1}. Received: "
            f"dtype={token_ids.dtype}, from {token_ids.min()} to {token_ids.max()}"
        )
    padding_mask = (padding_mask != 0).astype("int32")
    if (np.diff(padding_mask, axis=1) < 0).any() or not padding_mask[:, -1].all():
        raise ValueError("`prompts` must hold a token each, and be padded on the left.")
    if length > model.max_length:
        raise ValueError(
            f"`prompts` must not be longer than max_length={model.max_length}. "
            f"Received: {length} tokens"
        )
    fewest = max(1, length - (model.max_length - model.max_latents))
    most = min(length, model.max_latents)
    if not fewest <= num_latents <= most:
        raise ValueError(
            f"`num_latents` must lie between {fewest} and {most} for a prompt of {length} "
            f"tokens. Received: num_latents={num_latents}"
        )
    return token_ids.astype("int32"), padding_mask


def all_finished(finished):
    """Whether every row has drawn a stop token."""
    return bool(ops.convert_to_numpy(ops.all(finished)))


def _bucket(length):
    return -(-length // BUCKET) * BUCKET


def _pad_left(x, size):
    return np.pad(x, ((0, 0), (size - x.shape[1], 0)))


def _tensor(x):
    return ops.convert_to_tensor(x)


def _int(value):
    return ops.convert_to_tensor(value, "int32")
