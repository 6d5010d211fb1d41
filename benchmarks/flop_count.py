"""Arithmetic of a step, as executed: traced by JAX, or counted by PyTorch."""

import math


def count_torch(step):
    """FLOPs of the matrix products that `step` runs, the backward pass included."""
    import torch
    from torch.utils import flop_counter

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    def forward_flops(query, key, value, *args, out_shape=None, **kwargs):
        return flop_counter.sdpa_flop_count(query, key, value)

    def backward_flops(grad, query, key, value, *args, out_shape=None, **kwargs):
        return flop_counter.sdpa_backward_flop_count(grad, query, key, value)

    def linear_flops(x, kernel, *args, out_shape=None, **kwargs):
        return 2 * math.prod(x) * kernel[0]  # kernel is [E, C]

    def linear_backward_flops(x, grad, kernel, wanted, *args, out_shape=None, **kwargs):
        return linear_flops(x, kernel) * sum(wanted[:2])  # of inputs, of the kernel

    # PyTorch counts its fused attention on GPUs only, and nothing of oneDNN's.
    mapping = {
        fused: forward_flops,
        backward: backward_flops,
        torch.ops.aten.mkldnn_linear: linear_flops,
        torch.ops.aten.mkldnn_linear_backward: linear_backward_flops,
    }
    with flop_counter.FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        step()
    return counter.get_total_flops()


def count_jax(model, inputs, labels, weights, training):
    """FLOPs of the matrix products in a traced forward pass or gradient."""
    import jax

    variables = [w.value for w in model.trainable_variables]
    others = [w.value for w in model.non_trainable_variables]

    def forward(variables):
        return model.stateless_call(variables, others, inputs, training=training)[0]

    def gradient(variables):
        return jax.grad(lambda v: model.loss(labels, forward(v), weights))(variables)

    return jaxpr_flops(jax.make_jaxpr(gradient if training else forward)(variables).jaxpr)


def jaxpr_flops(jaxpr):
    """Of a jaxpr and all within it, each run of a loop's body counted."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = math.prod(shape[axis] for axis in contracted)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
            continue
        inner = [
            jaxpr_flops(getattr(part, "jaxpr", part))
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple) else (value,))
            if hasattr(part, "eqns") or hasattr(part, "jaxpr")
        ]
        # One branch of a conditional runs; a scan runs its body `length` times.
        branches = equation.primitive.name == "cond"
        total += equation.params.get("length", 1) * (max if branches else sum)(inner or [0])
    return total
