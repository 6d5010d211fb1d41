"""Linear maps, by the matrix product that is fast on each backend."""

import math

import keras
from keras import ops

# Below, converting to oneDNN's layout costs more than its product saves.
_MIN_ROWS = 32


def linear(x, kernel, bias=None):
    """`x kernel + bias` over the last axis.

    On PyTorch and a CPU by oneDNN, whose float32 product runs at up to twice the speed
    of MKL's, which is PyTorch's own (measured on AMD, see `benchmarks/results`).

    Args:
        x: `[..., C]`.
        kernel: `[C, E]`.
        bias: `[E]`, or None.

    Returns:
        `[..., E]`.
    """
    if keras.backend.backend() == "torch" and _suits_onednn(x, kernel):
        from torch.nn.functional import linear as torch_linear

        return torch_linear(x.to_mkldnn(), kernel.T, bias).to_dense()
    x = ops.matmul(x, kernel)
    return x if bias is None else ops.add(x, bias)


def _suits_onednn(x, kernel):
    import torch

    return (
        type(x) in (torch.Tensor, torch.nn.Parameter)  # not while torch.export traces
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == kernel.dtype == torch.float32
        and math.prod(x.shape[:-1]) >= _MIN_ROWS
        and torch.backends.mkldnn.is_available()
    )
