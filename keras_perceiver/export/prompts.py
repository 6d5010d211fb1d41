"""Prompts in a SavedModel: checked in its graph, and padded to few lengths."""

from keras_perceiver.generation.prompts import bucket


def checked_ids(token_ids, vocab_size):
    """Token ids of any shape, refused at run time outside of the vocabulary."""
    last = vocab_size - 1
    known = (token_ids >= 0) & (token_ids <= last)
    return checked(token_ids, known, f"`token_ids` must lie between 0 and {last}")


def checked_prompts(token_ids, padding_mask, model, num_latents):
    """Token ids and mask `[B, S]`, checked, and padded on the left.

    Args:
        token_ids: `[B, S]`.
        padding_mask: `[B, S]`.
        model: a `CausalSequenceModel`.
        num_latents: latents to begin with.

    Returns:
        `(token_ids, padding_mask)`, at least `num_latents` and at most `max_length` long.
    """
    import tensorflow as tf

    token_ids = checked_ids(token_ids, model.vocab_size)
    mask = tf.cast(padding_mask != 0, "int32")
    mask = checked(
        mask,
        tf.shape(mask) == tf.shape(token_ids),
        "`padding_mask` must have the shape of `token_ids`",
        tf.shape(mask),
    )
    counts = tf.reduce_sum(mask, axis=1)
    mask = checked(
        mask,
        tf.reduce_all(mask[:, 1:] >= mask[:, :-1]) & (counts > 0),
        "`padding_mask` must have a token in each row, and padding on the left",
    )
    longest = model.max_length - model.max_latents + num_latents
    mask = checked(
        mask,
        counts <= longest,
        f"`token_ids` must hold at most {longest} tokens a row, which is max_length - "
        "max_latents + num_latents",
        counts,
    )
    length = tf.shape(token_ids)[1]
    most = model.max_length
    length = checked(length, length <= most, f"`token_ids` must be at most {most} long")
    size = tf.clip_by_value(bucket(length), num_latents, most)
    padding = [[0, 0], [size - length, 0]]
    return tf.pad(token_ids, padding), tf.pad(mask, padding)


def checked(x, condition, expected, received=None):
    """`x`, refused at run time unless `condition` holds everywhere.

    Args:
        x: a tensor.
        condition: bool tensor.
        expected: what must hold, for the message.
        received: tensor for the message; None for `x`.
    """
    import tensorflow as tf

    received = x if received is None else received
    message = [f"{expected}. Received:", received]
    check = tf.debugging.Assert(tf.reduce_all(condition), message, summarize=16)
    with tf.control_dependencies([check]):
        return tf.identity(x)
