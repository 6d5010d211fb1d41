"""The hyperparameters of one attention, as one value."""

import dataclasses

import keras


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """Base of records of hyperparameters: saved as their fields."""

    def get_config(self):
        """Field values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionSpec(Spec):
    """Hyperparameters of an attention layer and of the MLP that follows it.

    Encoder and decoder take one for their cross-attention and one for their
    self-attention, instead of ten prefixed arguments.

    Args:
        num_heads: number of heads, H.
        qk_channels: query and key channels over all heads; None for the channels
            of the keys' side, as in the official models (in an image encoder: the
            pixel channels with their Fourier features).
        v_channels: value channels over all heads; None for `qk_channels`.
        widening_factor: hidden over outer channels of the MLP. The papers use 1.
        dropout: rate on the attention weights.
        residual_dropout: rate on what attention and MLP add to their input.
        activation: of the MLP. `"gelu"` is the exact form (transformers, krasserm);
            `"gelu_tanh"` the approximation that DeepMind's weights were trained with;
            or any Keras activation by name.
        residual_gain: factor on the initial kernels of what attention and MLP add to
            their input. Below 1, many layers start close to the identity: a small
            model of 18 layers of self-attention did not start to learn without 0.1.
        heads_at_once: process heads in groups of this many to bound the memory
            of the scores; None for all at once.

    Raises:
        ValueError: a number out of its range, or channels that the heads do not
            divide.

    Example:
    >>> spec = AttentionSpec(num_heads=8, qk_channels=256, v_channels=1280)
    >>> spec.widening_factor
    1
    """

    num_heads: int = 8
    qk_channels: int | None = None
    v_channels: int | None = None
    widening_factor: int = 1
    dropout: float = 0.0
    residual_dropout: float = 0.0
    activation: str = "gelu"
    residual_gain: float = 1.0
    heads_at_once: int | None = None

    def __post_init__(self):
        for name in ("num_heads", "widening_factor"):
            check_positive(name, getattr(self, name))
        for name in ("qk_channels", "v_channels", "heads_at_once"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not 0 < self.residual_gain <= 1:
            raise ValueError(
                "`residual_gain` must lie in (0, 1]. "
                f"Received: residual_gain={self.residual_gain}"
            )
        for name in ("dropout", "residual_dropout"):
            check_rate(name, getattr(self, name))
        for name in ("qk_channels", "v_channels"):
            if getattr(self, name) is not None:
                check_heads(name, getattr(self, name), self.num_heads)
        activation(self.activation)


def activation(name):
    """The function named `name`: `gelu` exact, `gelu_tanh`, or a Keras activation.

    Raises:
        ValueError: no activation has that name.
    """
    if name in ("gelu", "gelu_tanh"):
        return lambda x: keras.ops.gelu(x, approximate=name == "gelu_tanh")
    try:
        return keras.activations.get(name)
    except ValueError:
        raise ValueError(
            "`activation` must be 'gelu', 'gelu_tanh' or the name of a Keras "
            f"activation. Received: activation={name!r}"
        ) from None


def check_positive(name, value):
    """Raise a ValueError unless `value` is an integer above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_rate(name, value):
    """Raise a ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")


def check_heads(name, channels, num_heads):
    """Raise a ValueError unless `num_heads` divides `channels`."""
    if channels % num_heads:
        raise ValueError(
            f"`{name}` must be divisible by `num_heads`. Received: "
            f"{name}={channels}, num_heads={num_heads}"
        )
