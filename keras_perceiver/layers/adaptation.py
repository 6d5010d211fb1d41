"""LoRA and quantization as data: what a model's layers have, and the same for another.

By the path of a layer, for example `{"logits": {"quantization": "int8", "activations":
True, "lora_rank": 4, "lora_alpha": 4}}`:

| key | meaning |
|---|---|
| `quantization` | `"int8"` or `"int4"` kernels |
| `activations` | with it: inputs are quantized too, to int8, as they come |
| `block_size` | with int4: inputs that share a scale; None for all of them |
| `lora_rank`, `lora_alpha` | of low-rank factors |
"""

import math

import keras

# Layers whose kernel or table Keras quantizes, and adds low-rank factors to.
ADAPTABLE = (keras.layers.Dense, keras.layers.Embedding)
LORA = {"lora_rank", "lora_alpha"}
QUANTIZATION = {
    "int8": {"quantization", "activations"},
    "int4": {"quantization", "activations", "block_size"},
}


def adaptation(model, lora=True):
    """What the layers of a model have, by path.

    Args:
        model: a built model or layer.
        lora: False for quantization alone.

    Returns:
        A dict, empty for a model that is neither quantized nor adapted.

    Raises:
        ValueError: quantization that is not one of those above.
    """
    states = {}
    for layer in model._flatten_layers():
        if isinstance(layer, ADAPTABLE):
            state = _quantization(layer)
            if lora and layer.lora_enabled:
                state |= {"lora_rank": layer.lora_rank, "lora_alpha": layer.lora_alpha}
            if state:
                states[layer.path] = state
    return states


def adapt(model, states):
    """Give the layers of a model what `adaptation` says of another's, without values.

    Layers that are quantized already stay as they are. With low-rank factors, all other
    weights are frozen.

    Args:
        model: a built model with neither, or one that was made by its configuration.
        states: result of `adaptation`, from a file that nobody vouches for.

    Raises:
        ValueError: `states` is not of that form, or names a layer that is not there.
    """
    layers = [x for x in model._flatten_layers() if isinstance(x, ADAPTABLE)]
    layers = {layer.path: layer for layer in layers}
    check_adaptation(states)
    unknown = sorted(set(states) - set(layers))
    if unknown:
        raise ValueError(
            f"`adaptation` must name Dense or Embedding layers of {type(model).__name__}. "
            f"Received: {unknown[:3]}"
        )
    for path, state in states.items():
        if "quantization" in state and layers[path].quantization_mode is None:
            _quantize(layers[path], state)
    for layer in model._flatten_layers():
        if hasattr(layer, "_torch_params"):  # on PyTorch, where values are there
            layer._track_variables()  # else its parameters were still the old ones
    factors = {path: state for path, state in states.items() if "lora_rank" in state}
    if factors:
        freeze(model)
    for path, state in factors.items():
        layers[path].enable_lora(state["lora_rank"], lora_alpha=state["lora_alpha"])


def freeze(model):
    """Make all weights of a model untrainable that there are; later ones are not."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # else its statistics move all the same
        for variable in layer._trainable_variables:
            variable.trainable = False


def check_adaptation(states):
    """Raise a ValueError if `states` is not of the form that `adaptation` gives."""
    if not isinstance(states, dict):
        raise ValueError(f"`adaptation` must be a dict by path. Received: {states!r}")
    for path, state in states.items():
        if not (isinstance(state, dict) and _is_valid(state)):
            raise ValueError(
                "`adaptation` must hold, of each layer, quantization to int8 or int4, a "
                f"rank and a scale of LoRA, or both. Received: {path!r}: {state!r}"
            )


def _is_valid(state):
    if set(state) & LORA:
        rank, alpha = state.get("lora_rank"), state.get("lora_alpha")
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if not (_is_count(rank) and number and math.isfinite(alpha)):
            return False
    rest = set(state) - LORA
    if not rest:
        return bool(state)
    mode = state.get("quantization")
    block_size = state.get("block_size")
    return (
        isinstance(mode, str)
        and rest == QUANTIZATION.get(mode)
        and isinstance(state["activations"], bool)
        and (block_size is None or (_is_count(block_size) and not state["activations"]))
    )


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _quantization(layer):
    mode, config = layer.quantization_mode, layer.quantization_config
    if mode is None:
        return {}
    activations = getattr(config, "activation_quantizer", None)
    if mode not in QUANTIZATION or config is None or not _is_default(activations):
        raise ValueError(
            f"Only quantization by `quantize`, to {sorted(QUANTIZATION)}, with Keras' "
            f"quantizer of activations or none, can be saved. Received: {mode} of layer "
            f"{layer.path}"
        )
    state = {"quantization": mode, "activations": activations is not None}
    if mode == "int4":
        size = config.block_size
        state["block_size"] = None if size == -1 else size
    return state


def _is_default(quantizer):
    default = keras.quantizers.AbsMaxQuantizer()
    if quantizer is None:
        return True
    if type(quantizer) is not type(default) or quantizer.axis not in (None, (-1,)):
        return False
    names = ("value_range", "epsilon", "output_dtype")
    return all(getattr(quantizer, name) == getattr(default, name) for name in names)


def _quantize(layer, state):
    """As `layer.quantize`, but without values: it reads none, and there need be none."""
    mode = state["quantization"]
    quantizer = keras.quantizers.AbsMaxQuantizer() if state["activations"] else None
    if mode == "int8":
        config, policy = keras.quantizers.Int8QuantizationConfig(None, quantizer), mode
    else:
        size = state["block_size"]
        config = keras.quantizers.Int4QuantizationConfig(None, quantizer, size)
        policy = f"{mode}/{size or -1}"
    name = "_kernel" if isinstance(layer, keras.layers.Dense) else "_embeddings"
    weight = getattr(layer, name)
    layer._tracker.unlock()
    layer._untrack_variable(weight)
    layer.quantization_config = config
    layer.quantized_build(weight.shape, mode, config)
    layer._tracker.lock()
    layer.dtype_policy = keras.dtype_policies.get(
        f"{policy}_from_{layer.dtype_policy.name}"
    )
