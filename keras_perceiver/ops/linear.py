"""Linear maps, by the matrix product that is fast on each backend."""

import functools
import math
import re

import keras
from keras import ops

# Below, converting to oneDNN's layout costs more than its product saves.
_MIN_ROWS = 32


def linear(x, kernel, bias=None):
    """`x kernel + bias` over the last axis.

    On PyTorch by oneDNN where its float32 product runs at twice the speed of MKL's,
    which is PyTorch's own: on AMD processors that compute 512 bits at a time (measured,
    see `benchmarks/results`).

    Args:
        x: `[..., C]`.
        kernel: `[C, E]`.
        bias: `[E]`, or None.

    Returns:
        `[..., E]`.
    """
    if keras.backend.backend() == "torch" and x.dtype == kernel.dtype:
        from torch.nn.functional import linear as torch_linear  # adds while it multiplies

        if _suits_onednn(x):
            return torch_linear(x.to_mkldnn(), kernel.T, bias).to_dense()
        return torch_linear(x, kernel.T, bias)
    x = ops.matmul(x, kernel)
    return x if bias is None else ops.add(x, bias)


def _suits_onednn(x):
    import torch

    return (
        type(x) in (torch.Tensor, torch.nn.Parameter)  # not while torch.export traces
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and math.prod(x.shape[:-1]) >= _MIN_ROWS
        and torch.backends.mkldnn.is_available()
        and mkl_runs_at_half_width()
    )


@functools.cache
def mkl_runs_at_half_width(path="/proc/cpuinfo"):
    """Whether MKL uses half of the width of this processor's vector units.

    MKL computes 256 bits at a time on AMD processors. Zen 5 (family 26) and later have
    units for 512; Zen 4 takes AVX-512 in two halves, so that nothing is lost there.
    """
    try:
        with open(path) as file:
            info = file.read()
    except OSError:  # not Linux
        return False
    family = re.search(r"^cpu family\s*: (\d+)", info, re.MULTILINE)
    amd = "AuthenticAMD" in info and "avx512f" in info
    return amd and family is not None and int(family.group(1)) >= 26
