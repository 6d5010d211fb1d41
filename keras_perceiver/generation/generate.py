"""Generation: tokens after prompts, by one of three policies for the cache."""

import numpy as np
from keras import ops

from keras_perceiver.generation import forward, loop, samplers, search
from keras_perceiver.generation.loop import program
from keras_perceiver.generation.prompts import bucket, check, doubled_bucket, pad_left


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
    freed = freed_latents
    if freed is None:
        freed = max(1, model.max_latents // 4)
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
    sampler = samplers.get(sampler)
    run = Run(model, sampler, tuple(stop_ids), seed, chunk, freed)
    policy = policies[use_cache]
    if isinstance(sampler, samplers.Search):
        if use_cache is not True:
            raise ValueError(
                "`use_cache` must be True with a sampler that weighs several "
                f"continuations. Received: use_cache={use_cache!r}"
            )
        policy = _searched
    yield from policy(run, token_ids, padding_mask, max_new_tokens, num_latents)


class Run:
    """What stays the same during one call of `generate`."""

    def __init__(self, model, sampler, stop_ids, seed, chunk, freed):
        self.model = model
        self.drawing = {"sampler": sampler, "stop_ids": stop_ids}
        self.seed = ops.convert_to_tensor(seed % 2**31, loop.seed_dtype())
        self.chunk = chunk
        self.freed = freed

    def padded(self, token_ids, padding_mask, more):
        """A prompt as tensors of a common size, and a window with room for `more`."""
        size = bucket(token_ids.shape[1])
        window = min(size + bucket(more), self.model.max_length)
        size = min(size, window)
        return *(_tensor(pad_left(x, size)) for x in (token_ids, padding_mask)), window

    def prefill(self, token_ids, padding_mask, num_latents, more):
        """Logits and cache after a prompt, with room for `more` tokens."""
        *prompt, window = self.padded(token_ids, padding_mask, more)
        latent_window = min(bucket(num_latents + more), self.model.max_latents)
        sizes = {
            "num_latents": num_latents,
            "window": window,
            "latent_window": latent_window,
        }
        return program(self.model, forward.prefill, **sizes)(*prompt)

    def decode(self, logits, cache, finished, drawn, steps):
        """Parts of the next `steps` tokens, and the state after each."""
        while steps > 0:
            count = min(steps, self.chunk or steps)
            size = self.chunk or bucket(count)
            run = program(self.model, loop.decode, **self.drawing, size=size)
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
        run = program(self.model, loop.draw, **self.drawing)
        ids, finished = run(logits, finished, loop.seed_of(self.seed, drawn))
        return ops.convert_to_numpy(ids), finished


def _rolling(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Caches roll: the oldest position makes room for the newest."""
    logits, cache = run.prefill(token_ids, padding_mask, num_latents, max_new_tokens)
    finished = ops.zeros((len(token_ids),), dtype="bool")
    for ids, _ in run.decode(logits, cache, finished, 0, max_new_tokens):
        yield ids


def _searched(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Beam or contrastive search on rolling caches: all tokens at once."""
    token_ids, padding_mask, window = run.padded(token_ids, padding_mask, max_new_tokens)
    stop_ids = run.drawing["stop_ids"]
    searched = program(
        run.model,
        search.search,
        sampler=run.drawing["sampler"].sampler,
        stop_ids=stop_ids,
        count=max_new_tokens,
        num_latents=num_latents,
        window=window,
    )
    ids = ops.convert_to_numpy(searched(token_ids, padding_mask))
    ended = np.cumsum(np.isin(ids, stop_ids), axis=1)  # [B, new]
    after = np.pad(ended, ((0, 0), (1, 0)))[:, :-1] > 0
    yield np.where(after, 0, ids)[:, ~after.all(axis=0)]


def _recomputed(run, token_ids, padding_mask, max_new_tokens, num_latents):
    """Every token from the whole window: latents grow, then the prefix, then it slides."""
    model = run.model
    finished = ops.zeros((len(token_ids),), dtype="bool")
    for drawn in range(max_new_tokens):
        window = [x[:, -model.max_length :] for x in (token_ids, padding_mask)]
        size = min(bucket(window[0].shape[1]), model.max_length)
        latents = min(num_latents + drawn, model.max_latents)
        latent_window = min(doubled_bucket(latents), model.max_latents)
        recompute = program(model, forward.recompute, latent_window=latent_window)
        logits = recompute(*(_tensor(pad_left(x, size)) for x in window), _int(latents))
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
        # Room for what is decoded before the next time, so that nothing slides out; and
        # for no more than that, so that nothing is cut that fits.
        room = min(model.max_latents - num_latents, max_new_tokens - drawn)
        keep = model.max_length - room
        token_ids, padding_mask = token_ids[:, -keep:], padding_mask[:, -keep:]
        logits, cache = run.prefill(token_ids, padding_mask, num_latents, room)
        state = (logits, cache, finished)
        for part in run.decode(*state, drawn, room):
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


def all_finished(finished):
    """Whether every row has drawn a stop token."""
    return bool(ops.convert_to_numpy(ops.all(finished)))


def _tensor(x):
    return ops.convert_to_tensor(x)


def _int(value):
    return ops.convert_to_tensor(value, "int32")
