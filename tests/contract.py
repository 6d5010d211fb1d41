"""What every public layer and model must keep. `check(case)` runs all of it."""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable

import keras
import numpy as np

from keras_perceiver.layers.configured import argument_names


@dataclasses.dataclass
class Case:
    """One layer or model, how to make it, and inputs to call it with."""

    make: Callable
    inputs: dict  # call arguments: numpy arrays, batch first
    padded: str | None = None  # the input that `padding_mask` masks


def model_of(layer, inputs):
    """A functional model around the layer, batch dynamic."""
    symbolic = {
        name: keras.Input(x.shape[1:], dtype=str(x.dtype), name=name)
        for name, x in inputs.items()
    }
    if isinstance(layer, keras.Model):
        return layer
    return keras.Model(symbolic, layer(**symbolic))


def call(layer, inputs):
    """Outputs; of a model on JAX as one program: each operation would be compiled."""
    if not isinstance(layer, keras.Model):
        return layer(**inputs)
    data = model_data(layer, inputs)
    if keras.backend.backend() != "jax":
        return layer(data)
    import jax

    states = layer.trainable_variables, layer.non_trainable_variables
    values = ([v.value for v in variables] for variables in states)
    return jax.jit(layer.stateless_call)(*values, data)[0]


def model_data(model, inputs):
    """`inputs` as the model takes them: a dict, or the only array."""
    return inputs if isinstance(model.input, dict) else next(iter(inputs.values()))


def as_numpy(x):
    """Numbers of a tensor, or those of a dict of tensors by example, `[B, ...]`."""
    if isinstance(x, dict):
        parts = [as_numpy(x[key]) for key in sorted(x)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def randomize(layer, rng, scale=0.3):
    """Weights that make every part of the layer matter, norms and biases included."""
    for weight in layer.weights:
        if weight.dtype in ("float32", "bfloat16", "float16"):
            value = rng.normal(size=weight.shape) * scale
            around_one = weight.name in ("gamma", "moving_variance")
            weight.assign(np.abs(value + 1) if around_one else value)


def check_documented(cls):
    """Arguments stand in the docstring, in the order of the signature."""
    doc = inspect.getdoc(cls)
    block = re.search(r"Args:\n(.*?)(\n\n\S|\Z)", doc, re.S)
    documented = re.findall(r"^    (\*{0,2}\w+)(?:, [^:\n]+)?:", block.group(1), re.M)
    listed = [
        n
        for d in re.findall(r"^    ([\w, ]+):", block.group(1), re.M)
        for n in d.split(", ")
    ]
    names = argument_names(cls)
    assert [n for n in listed if n in names] == names, (documented, names)


def check_config(layer):
    """Attributes are arguments; the config is JSON and makes an equal layer."""
    config = json.loads(json.dumps(layer.get_config()))
    for name in argument_names(type(layer)):
        assert name in config
        assert hasattr(layer, name)
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    return again


def check_shape(symbolic, eager):
    assert len(symbolic.shape) == len(eager.shape)
    assert symbolic.shape[0] is None
    known = zip(symbolic.shape, eager.shape, strict=True)
    assert all(s == e for s, e in known if s is not None)


def check_call(layer, inputs):
    """Symbolic and eager shapes agree, for another batch size too."""
    model = model_of(layer, inputs)
    outputs = call(layer, inputs)
    eager = as_numpy(outputs)
    keras.tree.map_structure(check_shape, model.output, outputs)
    one = {name: x[:1] for name, x in inputs.items()}
    np.testing.assert_allclose(as_numpy(call(layer, one)), eager[:1], atol=1e-5)
    assert np.isfinite(eager).all()
    return model, eager


def check_round_trip(model, inputs, expected, path):
    """`.keras` and `.weights.h5` give equal outputs."""
    model.save(path / "model.keras")
    again = keras.saving.load_model(path / "model.keras")
    check_equal(predict(again, inputs), expected)
    model.save_weights(path / "model.weights.h5")
    for weight in again.weights:
        weight.assign(weight * 0)
    again.load_weights(path / "model.weights.h5")
    check_equal(predict(again, inputs), expected)


def check_equal(actual, expected):
    assert type(actual) is type(expected)
    np.testing.assert_allclose(as_numpy(actual), as_numpy(expected), atol=1e-6)


def check_trains(model, inputs):
    """One compiled step changes every trainable weight's gradient-carrying part."""
    model.compile(keras.optimizers.SGD(1e-2), "mse")
    target = keras.tree.map_structure(np.ones_like, predict(model, inputs))
    before = [w.numpy() for w in model.trainable_weights]
    loss = model.train_on_batch(model_data(model, inputs), target)
    assert np.isfinite(loss).all()
    if not model.trainable_weights:
        return
    unchanged = [
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(w.numpy(), old)
    ]
    # A key bias cancels in the softmax: its true gradient is zero.
    assert [p for p in unchanged if not p.endswith("key/bias")] == []


def predict(model, inputs):
    return model.predict(model_data(model, inputs), verbose=0)


def check_precision(make, inputs, expected):
    """bfloat16 compute keeps float32 weights and comes close."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = make()
        call(layer, inputs)
        outputs = call(layer, inputs)
    finally:
        keras.config.set_dtype_policy(policy)
    assert all(w.dtype != "bfloat16" for w in layer.weights)
    task = hasattr(layer, "preprocessor") or isinstance(outputs, dict)
    dtype = "float32" if task and isinstance(layer, keras.Model) else "bfloat16"
    for out in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(out.dtype) == dtype
    assert as_numpy(outputs).shape == as_numpy(expected).shape
    assert np.isfinite(as_numpy(outputs)).all()


def check_padding(layer, inputs, padded):
    """Padding of any length and content changes nothing, NaN included (M1, M2)."""
    x = inputs[padded]
    without = as_numpy(call(layer, inputs))
    for content in (0.0, 1e6, np.nan, np.inf):
        fill = np.full((x.shape[0], 3, x.shape[2]), content, "float32")
        longer = {**inputs, padded: np.concatenate([x, fill], axis=1)}
        mask = np.zeros((x.shape[0], x.shape[1] + 3), "int32")
        mask[:, : x.shape[1]] = 1
        out = call(layer, {**longer, "padding_mask": mask})
        np.testing.assert_allclose(as_numpy(out), without, atol=1e-5)
