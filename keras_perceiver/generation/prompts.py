"""Prompts: checked, and padded to few sizes."""

import keras
import numpy as np

# Prompts are padded to multiples of this, so that few sizes are compiled.
BUCKET = 64


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


def is_compiled():
    """Whether what generates is compiled for each size; on PyTorch it runs as it is."""
    return keras.backend.backend() != "torch"


def bucket(length):
    """The size that `length` tokens are padded to, so that few are compiled."""
    return -(-length // BUCKET) * BUCKET if is_compiled() else length


def doubled_bucket(length):
    """As `bucket`, of fewer sizes: twice as large each, and at most half of one idle."""
    return max(BUCKET, 1 << (length - 1).bit_length()) if is_compiled() else length


def pad_left(x, size):
    """`x` `[B, n]` with zeros before it, `[B, size]`."""
    return np.pad(x, ((0, 0), (size - x.shape[1], 0)))
