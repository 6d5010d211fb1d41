"""What a training step's forward pass keeps for its backward pass, with `remat` or without.

    KERAS_BACKEND=jax python benchmarks/residuals.py

Bytes beside the weights: on JAX those that automatic differentiation asks for, before
XLA fuses any away; on PyTorch those of the tensors that it saves.
"""

import math

import keras
import numpy as np

# Presets, batch and length in tokens.
MODELS = (
    ("perceiver_io_language_small", 8, 512),
    ("perceiver_ar_bytes_small", 1, 4096),
)


def residual_bytes(model, inputs, remat):
    """Bytes that a forward pass in training keeps.

    Args:
        model: a Keras model of this library's layers.
        inputs: of the model, numpy arrays.
        remat: whether its layers recompute their activations.
    """
    for layer in model._flatten_layers():
        if hasattr(layer, "remat"):
            layer.remat = remat
    backend = keras.backend.backend()
    if backend not in ("jax", "torch"):
        raise ValueError(f"The backend must be jax or torch. Received: {backend}")
    return (_jax_bytes if backend == "jax" else _torch_bytes)(model, inputs)


def _jax_bytes(model, inputs):
    import jax

    def residuals(weights, others):
        def forward(weights):
            return model.stateless_call(weights, others, inputs, training=True)[0]

        return jax.tree.leaves(jax.vjp(forward, weights)[1])

    variables = [w.value for w in model.trainable_variables]
    others = [w.value for w in model.non_trainable_variables]
    jaxpr = jax.make_jaxpr(residuals)(variables, others).jaxpr
    given = {id(var) for var in (*jaxpr.invars, *jaxpr.constvars)}
    kept = {id(var): var.aval for var in jaxpr.outvars if id(var) not in given}
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in kept.values())


def _torch_bytes(model, inputs):
    import torch
    from torch.utils import checkpoint as module

    weights = {w.value.untyped_storage().data_ptr() for w in model.variables}
    kept = {}  # tensors that are alive until the backward pass, by where they are

    def note(tensor):
        if isinstance(tensor, torch.Tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    checkpoint = module.checkpoint

    def noting(function, *args, **options):
        for x in args:  # kept by PyTorch's checkpoints without being "saved"
            note(x)
        return checkpoint(function, *args, **options)

    module.checkpoint = noting
    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            outputs = model(inputs, training=True)
        total = sum(kept.values())
        del outputs  # what was kept lived as long
        return total
    finally:
        module.checkpoint = checkpoint


def main():
    """Print a row for each model."""
    import keras_perceiver as kp

    for name, batch, length in MODELS:
        model = kp.presets.load(name, load_weights=False)
        rng = np.random.default_rng(0)
        inputs = {
            "token_ids": rng.integers(6, 262, (batch, length)),
            "padding_mask": np.ones((batch, length), "int32"),
        }
        kept, recomputed = (residual_bytes(model, inputs, x) for x in (False, True))
        print(
            f"| {name} | {batch} x {length} | {keras.backend.backend()} | "
            f"{kept / 1e6:.1f} | {recomputed / 1e6:.1f} | {kept / recomputed:.1f} |"
        )


if __name__ == "__main__":
    main()
