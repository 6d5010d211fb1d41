"""Copy tensors of a file into a model by a table: all of them, or none."""

import concurrent.futures

import keras
import numpy as np


def conv_kernel(value):
    """PyTorch's kernel of a convolution `[E, C, H, W]` as Keras' `[H, W, C, E]`."""
    return value.transpose(2, 3, 1, 0)


def pointwise_kernel(value):
    """PyTorch's kernel of a 1 x 1 convolution `[E, C, 1, 1]` as a matrix `[C, E]`."""
    return value[:, :, 0, 0].T


def first_of_two(value):
    """What stands behind two axes of length 1."""
    return value[0, 0]


def first_of_three(value):
    """What stands behind three axes of length 1."""
    return value[0, 0, 0]


# From ours back to theirs, by what makes ours of theirs.
INVERSE = {
    None: np.asarray,
    np.transpose: np.transpose,
    conv_kernel: lambda value: value.transpose(3, 2, 0, 1),
    pointwise_kernel: lambda value: value.T[:, :, None, None],
    first_of_two: lambda value: value[None, None],
    first_of_three: lambda value: value[None, None, None],
}


def weight_shapes(make_model):
    """Shapes of a model's weights by path, without allocating any.

    Args:
        make_model: function without arguments that builds the model.
    """

    def build():
        return {weight.path: tuple(weight.shape) for weight in make_model().weights}

    return unallocated(build)


def unallocated(function):
    """What a function returns; weights that it makes of models are not allocated."""

    def call():
        with keras.StatelessScope(initialize_variables=False):
            return function()

    # In a thread of its own, because Keras keeps a list, per thread, of variables
    # yet to be initialized: the next scope to end would allocate these.
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


def load_weights(make_model, tensors, table=None, ignored=()):
    """A model with the weights of a file.

    All names and shapes are compared before anything is allocated.

    Args:
        make_model: function without arguments that builds the model.
        tensors: a `keras_perceiver.files.TensorFile`.
        table: rows `(our path, their name, transform)`, transform being a key of
            `INVERSE`; None if the names are our paths.
        ignored: functions of a name, true for tensors to leave unused.

    Returns:
        The model.

    Raises:
        ValueError: a weight without a tensor, a tensor without a use, or shapes
            or types that differ.
    """
    rows = check_table(weight_shapes(make_model), tensors, table, ignored)
    model = make_model()
    weights = {weight.path: weight for weight in model.weights}
    for ours, theirs, transform in rows:
        # Files of other libraries have floats alone.
        kind = {"integers": True} if weights[ours].dtype == "int8" else {}
        value = tensors.read(theirs, **kind)
        weights[ours].assign(transform(value) if transform else value)
    return model


def named_tensors(model, table, library):
    """The weights of a model by a library's names, in float32: `load_weights` backwards.

    Args:
        model: whose weights.
        table: rows `(our path, their name, transform)`.
        library: its name, for the error.

    Raises:
        ValueError: a weight that no row names.
    """
    weights = {weight.path: weight for weight in model.weights}
    tensors = {}
    for ours, theirs, transform in table:
        tensors[theirs] = INVERSE[transform](np.asarray(weights.pop(ours), "float32"))
    if weights:
        raise ValueError(f"{library} has no place for the weights {sorted(weights)[:3]}.")
    return tensors


def check_demands(library, demands):
    """Raise a ValueError unless a model has what a library's class takes for granted.

    Args:
        library: its name, for the error.
        demands: `{what: (received, expected)}`.
    """
    for name, (received, expected) in demands.items():
        if received != expected:
            raise ValueError(f"{library} needs {name} = {expected}. Received: {received}")


def check_table(shapes, tensors, table=None, ignored=()):
    """The rows of `table` as a list, checked: arguments as of `load_weights`."""
    rows = [(path, path, None) for path in shapes] if table is None else list(table)
    unset = set(shapes) - {ours for ours, _, _ in rows}
    if unset:
        raise ValueError(f"No tensor is mapped to {_some(unset)} of the model.")
    missing = [(ours, theirs) for ours, theirs, _ in rows if theirs not in tensors.shapes]
    if missing:
        ours, theirs = missing[0]
        raise ValueError(
            f"{tensors.path} lacks tensor `{theirs}` for `{ours}` of shape "
            f"{shapes.get(ours)}, and {len(missing) - 1} more."
        )
    for ours, theirs, transform in rows:
        if ours not in shapes:
            raise ValueError(f"The model has no weight `{ours}` for tensor `{theirs}`.")
        # A view of one number: nothing is allocated.
        expected = INVERSE[transform](np.broadcast_to(0, shapes[ours])).shape
        if tensors.shapes[theirs] != expected:
            raise ValueError(
                f"Tensor `{theirs}` in {tensors.path} does not fit `{ours}` of the model. "
                f"Expected shape {expected}. Received: {tensors.shapes[theirs]}"
            )
    unused = {
        name
        for name in set(tensors.shapes) - {theirs for _, theirs, _ in rows}
        if not any(ignore(name) for ignore in ignored)
    }
    if unused:
        name = min(unused)
        raise ValueError(
            f"The model has no use for {_some(unused)} in {tensors.path}. "
            f"`{name}` has shape {tensors.shapes[name]}."
        )
    return rows


def module_rows(ours, theirs, names=(("", ""),)):
    """Rows of linear layers and layer norms: PyTorch's parameter names and ours.

    Args:
        ours: path of the layer that holds them.
        theirs: name of the module that holds them.
        names: pairs of our and their name of each, relative to those; norms are
            told by a name that ends in `norm`.
    """
    for our_name, their_name in names:
        path, module = _join("/", ours, our_name), _join(".", theirs, their_name)
        if our_name.endswith("norm"):
            yield f"{path}/gamma", f"{module}.weight", None
            yield f"{path}/beta", f"{module}.bias", None
        else:
            yield f"{path}/kernel", f"{module}.weight", np.transpose
            yield f"{path}/bias", f"{module}.bias", None


def _join(separator, *parts):
    return separator.join(part for part in parts if part)


def _some(names):
    names = sorted(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{name}`" for name in names[:3]) + more
