"""Generation in a SavedModel: a prompt, one more token, and the whole loop.

Each endpoint takes one dict of arrays and gives one:

| endpoint | takes | gives |
|---|---|---|
| `prefill` | `token_ids`, `padding_mask` `[B, S]` | `logits` `[B, V]`, and a cache |
| `decode_step` | `token_ids` `[B]`, and a cache | `logits` `[B, V]`, and the next cache |
| `generate` | as `prefill`, with `max_new_tokens`, `seed` | `token_ids` `[B, new]` |

Integers are int32, and padding stands on the left. The cache is that of
`keras_perceiver.generation.forward` with `max_length` slots, its lists spread out:
`self_key_0`, `self_key_1` and so on. `generate` gives the new tokens alone, as many as
the longest row needed, with 0 after a row's end.

`B`, `S` and `max_new_tokens` are free; the latents to begin with, the sampler and the
stop tokens are fixed. XLA compiles an endpoint when it is first called with a number
of rows, and again for prompts of up to 64 tokens, up to 128 and so on.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_perceiver.export.prompts import checked, checked_ids, checked_prompts
from keras_perceiver.generation import forward, loop, samplers
from keras_perceiver.generation.loop import program
from keras_perceiver.generation.prompts import BUCKET

ROWS = 2  # of the prompts that an export is verified with


class Generation:
    """Endpoints of generation.

    Args:
        model: a `CausalSequenceModel`.
        num_latents: latents to begin with, the last tokens of each prompt; a shorter
            prompt has as many as tokens.
        sampler: see `keras_perceiver.generation.samplers.get`; one that draws token by
            token.
        stop_ids: tokens that finish a row.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(self, model, num_latents=1, sampler="top_k", stop_ids=()):
        if not 1 <= num_latents <= model.max_latents:
            raise ValueError(
                f"`num_latents` must lie between 1 and max_latents={model.max_latents}. "
                f"Received: num_latents={num_latents}"
            )
        if not all(0 <= stop < model.vocab_size for stop in stop_ids):
            raise ValueError(
                f"`stop_ids` must be token ids from 0 to {model.vocab_size - 1}. "
                f"Received: stop_ids={stop_ids}"
            )
        found = samplers.get(sampler)
        if isinstance(found, samplers.Search):
            raise ValueError(
                "`sampler` must draw token by token to be exported. "
                f"Received: sampler={sampler!r}"
            )
        self.model = model
        self.sizes = {"num_latents": num_latents, "window": model.max_length}
        self.drawing = {"sampler": found, "stop_ids": tuple(stop_ids)}
        self.seed_dtype = loop.seed_dtype()
        self.prompts = _example(model, num_latents)
        self.logits, self.cache = program(model, forward.prefill, **self.sizes)(
            *map(ops.convert_to_tensor, self.prompts.values())
        )
        paths = [path for path, _ in keras.tree.flatten_with_path(self.cache)]
        self.names = ["_".join(map(str, path)) for path in paths]

    def endpoints(self, weights):
        """TensorFlow functions by name.

        Args:
            weights: pairs of a variable of the model and TensorFlow's of its value.
        """
        import tensorflow as tf

        convert = functools.partial(_converted, self.model, weights)
        cache = keras.tree.map_structure(_symbolic_shape, self.cache)
        num_latents, window = self.sizes.values()
        prefill = convert(
            functools.partial(forward.prefill, **self.sizes),
            *2 * ["(batch, length)"],
            constraints=[f"length >= {num_latents}", f"length <= {window}"],
        )
        step = convert(forward.step, "(batch,)", cache)
        decode = convert(
            functools.partial(loop.decode, **self.drawing, size=BUCKET),
            f"(batch, {self.model.vocab_size})",
            cache,
            "(batch,)",
            *3 * ["()"],
        )

        def read(inputs):
            prompts = [inputs[name] for name in self.prompts]
            logits, cache = prefill(*checked_prompts(*prompts, self.model, num_latents))
            # The length of a ring is known, though not that of what is in it.
            return logits, keras.tree.map_structure(_ensure_shape, cache, self.cache)

        def read_prompts(inputs):
            logits, cache = read(inputs)
            return {"logits": logits, **self._flat(cache)}

        def decode_step(inputs):
            token_ids = checked_ids(inputs["token_ids"], self.model.vocab_size)
            cache = [inputs[name] for name in self.names]
            cache = keras.tree.pack_sequence_as(self.cache, cache)
            logits, cache = step(token_ids, cache)
            return {"logits": logits, **self._flat(cache)}

        def generate(inputs):
            logits, cache = read(inputs)
            most = inputs["max_new_tokens"]
            most = checked(most, most > 0, "`max_new_tokens` must be at least 1")
            # As `seed % 2**31` of an integer of any size.
            seed = tf.bitwise.bitwise_and(inputs["seed"], 2**31 - 1)
            seed = tf.cast(seed, self.seed_dtype)

            def unfinished(ids, finished, *_):
                return (tf.shape(ids)[1] < most) & ~tf.reduce_all(finished)

            def more(ids, finished, logits, cache):
                drawn = tf.shape(ids)[1]
                steps = tf.minimum(most - drawn, BUCKET)
                new, logits, cache, finished, count = decode(
                    logits, cache, finished, seed, drawn, steps
                )
                return tf.concat([ids, new[:, :count]], axis=1), finished, logits, cache

            rows = tf.shape(logits)[0]
            ids, finished = tf.zeros((rows, 0), "int32"), tf.zeros((rows,), "bool")
            start = (ids, finished, logits, cache)
            shapes = keras.tree.map_structure(lambda x: x.shape, start)
            shapes = (tf.TensorShape((None, None)), *shapes[1:])  # `ids` grow
            return {"token_ids": tf.while_loop(unfinished, more, start, shapes)[0]}

        token = {"token_ids": _integers(None)}
        prompts = {name: _integers(None, None) for name in self.prompts}
        numbers = {name: _integers() for name in ("max_new_tokens", "seed")}
        state = {n: (_any_batch(x), x.dtype) for n, x in self._flat(self.cache).items()}
        return {
            "prefill": _traced(read_prompts, prompts),
            "decode_step": _traced(decode_step, token | state),
            "generate": _traced(generate, prompts | numbers),
        }

    def pairs(self, served):
        """What the model gives, and what the endpoints of a SavedModel give."""
        state = served.prefill(self.prompts)
        logits = state.pop("logits")
        yield self.logits, logits
        numbers = {"max_new_tokens": np.int32(1), "seed": np.int32(5)}
        drawn = served.generate(self.prompts | numbers)["token_ids"][:, 0]
        seed = loop.seed_of(ops.convert_to_tensor(5, self.seed_dtype), 0)
        logits = ops.convert_to_tensor(logits.numpy())  # a tie must be the same tie
        finished = ops.zeros((ROWS,), dtype="bool")
        draw = program(self.model, loop.draw, **self.drawing)
        ids, _ = draw(logits, finished, seed)
        yield np.ones(ROWS), drawn.numpy() == ops.convert_to_numpy(ids)
        logits, _ = program(self.model, forward.step)(ids, self.cache)
        yield logits, served.decode_step({"token_ids": drawn, **state})["logits"]

    def _flat(self, cache):
        """A cache as a dict of arrays."""
        return dict(zip(self.names, keras.tree.flatten(cache), strict=True))


def _example(model, num_latents):
    """A long prompt and a short one."""
    length = min(num_latents + 3, model.max_length - model.max_latents + num_latents)
    ids = np.random.default_rng(0).integers(0, model.vocab_size, (ROWS, length))
    mask = np.ones_like(ids)
    mask[1, : length // 2] = 0
    return {"token_ids": ids.astype("int32"), "padding_mask": mask.astype("int32")}


def _converted(model, weights, function, *shapes, constraints=()):
    """A function of a model and tensors as one of TensorFlow's tensors, by XLA.

    Args:
        model: a `CausalSequenceModel`.
        weights: see `Generation.endpoints`.
        function: of the model and tensors.
        *shapes: of the tensors, as JAX writes symbolic ones.
        constraints: what is known of the symbols.
    """
    function = functools.partial(function, model)
    if keras.backend.backend() == "tensorflow":
        return loop.compiled(model, function)
    from jax.experimental import jax2tf

    ours, theirs = map(list, zip(*weights, strict=True))
    converted = jax2tf.convert(
        loop.stateless(ours, function),
        polymorphic_shapes=[None, *shapes],
        polymorphic_constraints=constraints,
        with_gradient=False,  # it is served, not trained
    )
    return lambda *args: converted(theirs, *args)


def _traced(function, specs):
    """A TensorFlow function of a dict: name to shape and type."""
    import tensorflow as tf

    signature = {name: tf.TensorSpec(*spec, name) for name, spec in specs.items()}
    function = tf.function(function, input_signature=[signature], autograph=False)
    function.get_concrete_function()
    return function


def _integers(*shape):
    return shape, "int32"


def _any_batch(array):
    """Shape of an array of a cache, for any number of rows."""
    return (None, *array.shape[1:]) if len(array.shape) else ()


def _symbolic_shape(array):
    """The same as JAX writes it: batch and heads may be one axis."""
    if not len(array.shape):
        return "()"
    per_row, sizes = array.shape[0] // ROWS, array.shape[1:]
    return f"({', '.join([f'{per_row}*batch', *map(str, sizes)])},)"


def _ensure_shape(tensor, example):
    import tensorflow as tf

    return tf.ensure_shape(tensor, _any_batch(example))
