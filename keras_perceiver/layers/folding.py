"""Kernels of an attention layer in the form that `ops.attend_folded` takes."""

from keras import ops


def folded_kernels(attention, scale=None, offset=None):
    """Key kernel, value kernel and value bias by head, a norm folded in.

    With a context `c * scale + offset`, the scale goes into both kernels. The offset
    adds one number to all scores of a query, which cancels in the softmax, and
    `offset Wv` to the value bias.

    Args:
        attention: a built `Attention` layer.
        scale: `[C]`, or None for a context without a norm.
        offset: `[C]`, or None.

    Returns:
        `[C, H, K]`, `[C, H, V]`, and `[H, V]` or None.
    """

    def cast(weight):
        return ops.cast(weight, attention.compute_dtype)

    def by_head(x, heads=attention.num_heads):
        return ops.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads))

    key_kernel = cast(attention.key_dense.kernel)  # [C, H*K]
    value_kernel = cast(attention.value_dense.kernel)  # [C, H*V]
    bias = None
    if attention.qkv_bias:
        # The key bias cancels in the softmax. Its gradient is then zero, and must
        # not be missing: optimizers warn about weights without one.
        absent = 0 * ops.sum(cast(attention.key_dense.bias))
        bias = cast(attention.value_dense.bias) + absent  # [H*V]
    if scale is not None:
        shift = ops.matmul(cast(offset)[None], value_kernel)[0]  # [H*V]
        bias = shift if bias is None else bias + shift
        scale = cast(scale)[:, None]
        key_kernel, value_kernel = key_kernel * scale, value_kernel * scale
    bias = None if bias is None else by_head(bias)
    return by_head(key_kernel), by_head(value_kernel), bias
