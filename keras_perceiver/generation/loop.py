"""Compiled programs of a model: prefill, and a loop of steps, on each backend."""

import functools

import keras
from keras import ops

from keras_perceiver.generation import forward, token
from keras_perceiver.generation.prompts import is_compiled
from keras_perceiver.threads import weights_in_place


def program(model, function, **static):
    """A function of a model, compiled once for its static arguments where that is done.

    Args:
        model: a `CausalSequenceModel`.
        function: of the model, tensors and `static`.
        **static: arguments that are not tensors, hashable.

    Returns:
        A function of its tensor arguments.
    """
    if not is_compiled():
        return compiled(model, functools.partial(function, model, **static))
    programs = model.__dict__.setdefault("_generation_programs", {})
    # TensorFlow traces variables in: LoRA and quantization change which there are.
    key = (function, tuple(static.items()), tuple(map(id, model.variables)))
    if key not in programs:
        programs[key] = compiled(model, functools.partial(function, model, **static))
    return programs[key]


def compiled(model, function):
    """A function of tensors that reads a model's weights, compiled where that is done.

    Args:
        model: whose weights `function` reads as they are at each call.
        function: of tensors.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jitted = jax.jit(stateless(model.variables, function))

        def with_weights(*args):
            with weights_in_place():
                values = [v.value for v in model.variables]
            return jitted(values, *args)

        return with_weights
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True, reduce_retracing=False)
    import torch

    return torch.no_grad()(function)


def stateless(variables, function):
    """`function` with the values of variables as a list before its own arguments."""

    def with_values(values, *args):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(*args)

    return with_values


def draw(model, logits, finished, seed, *, sampler, stop_ids):
    """The next token of each row; arguments as of `decode`.

    Returns:
        `(ids [B], finished [B])`: a row that is finished gives padding, and one that
        draws a stop token is finished after it.
    """
    ids = sampler(logits, seed)
    if not stop_ids:  # no row ever is
        return ids, finished
    ids = ops.where(finished, ops.zeros_like(ids), ids)
    for stop in stop_ids:
        finished = ops.logical_or(finished, ids == stop)
    return ids, finished


def seed_of(seed, drawn):
    """Seed tensor of the draw after `drawn` others."""
    return ops.stack([seed, ops.cast(drawn, seed.dtype)])


def seed_dtype():
    """The type that the backend's random functions want a seed in."""
    return keras.random.SeedGenerator(0).state.dtype


def decode(model, logits, cache, finished, seed, first, steps, *, sampler, stop_ids, size):
    """Draw tokens and read each, until all rows are finished or `steps` are done.

    Args:
        model: a `CausalSequenceModel`.
        logits: `[B, V]` of the first token to draw.
        cache: of `forward.prefill`.
        finished: bool `[B]`.
        seed: integer tensor; each draw has a seed of its own.
        first: number of tokens drawn before, int32.
        steps: how many to draw, at most `size`; int32.
        sampler: of `samplers.get`.
        stop_ids: ids that finish a row.
        size: largest number of steps: of the result.

    Returns:
        `(ids [B, size], logits, cache, finished, count)`; ids after the first `count`
        mean nothing.
    """
    ids = ops.zeros((ops.shape(logits)[0], size), dtype="int32")
    layers = token.layers(model)

    def unfinished(i, ids, logits, cache, finished):
        more = i < steps
        return ops.logical_and(more, ~ops.all(finished)) if stop_ids else more

    def body(i, ids, logits, cache, finished):
        here = seed_of(seed, first + i)
        drawn, finished = draw(
            model, logits, finished, here, sampler=sampler, stop_ids=stop_ids
        )
        ids = forward.write(ids, drawn[:, None], i)
        logits, cache = forward.step(model, drawn, cache, layers)
        return i + 1, ids, logits, cache, finished

    start = ops.convert_to_tensor(0, "int32")
    count, ids, logits, cache, finished = ops.while_loop(
        unfinished, body, (start, ids, logits, cache, finished)
    )
    return ids, logits, cache, finished, count
