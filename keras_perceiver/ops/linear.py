"""Linear maps, by the matrix product that is fast on each backend."""

import functools
import math
import re

import keras
from keras import ops

from keras_perceiver.ops.devices import on_accelerator
from keras_perceiver.ops.plain import plain_ops

# Below, converting to oneDNN's layout costs more than its product saves.
_MIN_ROWS = 32
# Parts of a kernel that few rows meet apart; from how many numbers in it on, up to how
# many rows (measured, see `benchmarks/results`).
_PARTS = 4
_LARGE = 2**16
_FEW_ROWS = {"torch": 8, "jax": 1, "tensorflow": 1}


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


def linear_of_few(kernel):
    """`x -> x kernel`, for one position of each of a few examples on a CPU.

    Such a product takes as long as reading the kernel, of which libraries leave cores
    idle. As a batch of products by parts of the kernel's rows it takes 0.5 to 0.9 of the
    time, on two cores. In float32 only: in half precision sums of parts would be rounded.

    Args:
        kernel: `[C, E]`.

    Returns:
        A function, `[B, 1, C] -> [B, 1, E]`.
    """
    few = _FEW_ROWS[keras.backend.backend()]
    channels, units = kernel.shape
    if (
        channels % _PARTS
        or channels * units < _LARGE
        or keras.backend.standardize_dtype(kernel.dtype) != "float32"
        or on_accelerator()
    ):
        return lambda x: x @ kernel
    plain = plain_ops()
    parts = plain.reshape(kernel, (_PARTS, channels // _PARTS, units))

    def product(x):
        batch = x.shape[0]
        if not isinstance(batch, int) or batch > few:
            return x @ kernel
        x = plain.reshape(x, (batch, _PARTS, channels // _PARTS))
        return plain.sum(plain.swapaxes(x, 0, 1) @ parts, 0)[:, None]

    return product


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
