"""What cross- and self-attention layers share: norms, MLP, residuals, recomputation."""

import keras
from keras import ops

from keras_perceiver.layers.attention import Attention
from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.dense import Dense
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.inner import call_inner
from keras_perceiver.layers.seeds import DropoutSeeds
from keras_perceiver.layers.spec import AttentionSpec, activation
from keras_perceiver.ops.dropout import dropout as drop
from keras_perceiver.ops.dropout import seed_of_part
from keras_perceiver.ops.loops import map_chunks, recompute
from keras_perceiver.ops.norm import EPSILON


def norm(name, policy):
    """The library's LayerNormalization."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, dtype=policy, name=name)


class ResidualAttention(Configured, DropoutSeeds, keras.layers.Layer):
    """Attention, then an MLP, each added to what came in."""

    # Which projections have a bias: all of Perceiver IO, few of Perceiver AR.
    qkv_bias = output_bias = mlp_bias = True
    causal = False

    def __init__(self, attention=AttentionSpec(), init_scale=0.02, **kwargs):  # noqa: B008 (frozen)
        super().__init__(**kwargs)
        self.attention = attention
        self.init_scale = init_scale
        self.supports_masking = True
        self._make_seeds(
            attention.dropout, attention.residual_dropout, attention.residual_dropout
        )

    def _build(self, query_shape, context_shape):
        spec, policy = self.attention, self.dtype_policy
        self.attend = Attention(
            num_heads=spec.num_heads,
            qk_channels=spec.qk_channels,
            v_channels=spec.v_channels,
            qkv_bias=self.qkv_bias,
            output_bias=self.output_bias,
            causal=self.causal,
            # Seeds come from this layer, which also draws those of the residuals.
            dropout=spec.dropout,
            heads_at_once=spec.heads_at_once,
            init_scale=self.init_scale,
            output_gain=spec.residual_gain,
            dtype=policy,
            name="attention",
        )
        self.attend.build(query_shape, context_shape)
        channels = query_shape[-1]
        self.mlp_norm = norm("mlp_norm", policy)
        self.mlp_norm.build(query_shape)
        hidden = spec.widening_factor * channels
        self.mlp_in, self.mlp_out = (
            Dense(
                units,
                use_bias=self.mlp_bias,
                kernel_initializer=normal(scale),
                dtype=policy,
                name=name,
            )
            for name, units, scale in (
                ("mlp_in", hidden, self.init_scale),
                ("mlp_out", channels, self.init_scale * spec.residual_gain),
            )
        )
        self.mlp_in.build(query_shape)
        self.mlp_out.build((*query_shape[:-1], hidden))
        self.activation = activation(spec.activation)

    def _add_mlp(self, x, seed):
        hidden = call_inner(self.mlp_in, call_inner(self.mlp_norm, x))
        out = call_inner(self.mlp_out, self.activation(hidden))
        return x + drop(out, self.attention.residual_dropout, seed)

    def compute_mask(self, *args, **kwargs):
        """None: a mask of the context says nothing about the latents."""


def in_chunks(layer, function, size, remat, queries, args, seeds):
    """`function(queries, *args, *seeds)` for `size` queries at a time.

    Args:
        layer: the one whose weights the function uses.
        function: of queries `[B, O, F]`, giving `[B, O, E]`; each output depends on its
            own query alone.
        size: queries at a time; None for all at once.
        remat: whether to compute the activations of each chunk anew in the backward
            pass, see `recompute`.
        queries: `[B, O, F]`.
        args: tensors or None, the same for each chunk.
        seeds: of dropout, or None; each chunk gets its own, derived from these.

    Returns:
        `[B, O, E]`.
    """
    length = queries.shape[1]
    if size is None or size >= length:
        return function(queries, *args, *seeds)
    # TensorFlow cannot differentiate by variables that are recomputed in a loop: there,
    # the weights must be tensors.
    weights = layer.weights
    values = [ops.copy(w) for w in weights]

    def on_values(chunk, *rest):
        state = list(zip(weights, rest[: len(weights)], strict=True))
        with keras.StatelessScope(state_mapping=state):
            return function(chunk, *rest[len(weights) :])

    def part(start, chunk):
        own = [seed_of_part(seed, start) for seed in seeds]
        return recompute(remat, on_values, chunk, *values, *args, *own)

    return map_chunks(part, size, 1, queries)
