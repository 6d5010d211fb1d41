"""Attention masks. True (or non-zero) marks what may be attended to."""

import keras
from keras import ops


def as_bool(mask):
    """A mask of any dtype as bool: non-zero is True."""
    mask = ops.convert_to_tensor(mask)
    return mask if mask.dtype == "bool" else mask != 0


def hides_nothing(mask, shape):
    """Whether a mask is None, or known to be True everywhere and to change no shape.

    Only an eager tensor of PyTorch in main memory can be looked into at little cost: not
    while a program is compiled, and not on a GPU, which one would have to wait for.

    Args:
        mask: bool, int or float, or None.
        shape: of what it masks, whose axes it may have or broadcast to.
    """
    if mask is None:
        return True
    if keras.backend.backend() != "torch":
        return False
    import torch

    if (
        type(mask) is not torch.Tensor  # while torch.export traces
        or mask.device.type != "cpu"
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or len(mask.shape) != len(shape)
        or any(n not in (1, m) for n, m in zip(mask.shape, shape, strict=True))
    ):
        return False
    try:
        return bool(mask.all())
    except RuntimeError:  # under vmap, which maps over masks
        return False


def attention_bias_mask(padding_mask=None, attention_mask=None):
    """Combine a padding mask and an attention mask into one, of rank 4.

    Args:
        padding_mask: `[B, M]`, bool, int or float, True at real keys.
        attention_mask: `[B, N, M]` or `[B, H, N, M]`, True where query `n` may
            attend to key `m`. Axes of size 1 are broadcast.

    Returns:
        A bool mask that broadcasts to `[B, H, N, M]`, or None if both are None.

    Raises:
        ValueError: a mask has another rank.
    """
    combined = None
    if padding_mask is not None:
        check_rank("padding_mask", padding_mask, (2,), "[B, M]")
        combined = as_bool(padding_mask)[:, None, None, :]  # [B, 1, 1, M]
    if attention_mask is not None:
        check_rank("attention_mask", attention_mask, (3, 4), "[B, N, M] or [B, H, N, M]")
        mask = as_bool(attention_mask)
        mask = mask[:, None] if len(mask.shape) == 3 else mask  # [B, H|1, N, M]
        combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def causal_mask(num_queries, num_keys):
    """Right-aligned causal mask `[N, M]`: the last query sees every key.

    Query `n` stands at position `n + M - N` and sees the keys up to its own
    position (own included), as in Perceiver AR's official code. Keras' own
    `is_causal` is left-aligned, which is wrong whenever `N < M`.
    """
    queries = ops.arange(num_queries)[:, None] + (num_keys - num_queries)
    return ops.arange(num_keys)[None, :] <= queries


def zero_masked(x, padding_mask):
    """Put zeros into the masked slots of `x` `[B, M, C]`, whatever they hold.

    A weight of zero does not stop NaN (0 * NaN is NaN), nor does masking the
    logits stop it in the gradient: only taking it out before the first
    arithmetic does.
    """
    if hides_nothing(padding_mask, x.shape[:-1]):
        return x
    keep = as_bool(padding_mask)[..., None]  # [B, M, 1]
    return ops.where(keep, x, ops.zeros((), dtype=x.dtype))


def implicit_mask(x):
    """The mask that `Embedding(mask_zero=True)` or `Masking` left on `x`."""
    # Not in the public API of Keras, whose own way (an argument named after the
    # input with `_mask` appended) would give the same mask a name per layer.
    from keras.src.backend import get_keras_mask

    return get_keras_mask(x)


def check_rank(name, x, ranks, layout):
    """Raise a ValueError that names `name` unless `x` has one of `ranks`."""
    if len(x.shape) not in ranks:
        raise ValueError(
            f"`{name}` must have shape {layout}. Received: {name}.shape={tuple(x.shape)}"
        )
