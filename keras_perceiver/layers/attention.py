"""Multi-head attention with projections."""

import keras
from keras import ops

from keras_perceiver.layers.configured import Configured
from keras_perceiver.layers.dense import Dense
from keras_perceiver.layers.folding import best_folding, folded_kernels, folded_queries
from keras_perceiver.layers.initializers import normal
from keras_perceiver.layers.inner import call_inner
from keras_perceiver.layers.seeds import DropoutSeeds
from keras_perceiver.layers.spec import check_heads, check_positive, check_rate
from keras_perceiver.ops.attention import attend, every_query_sees, length, masks_of
from keras_perceiver.ops.folded import attend_folded, attend_folded_queries
from keras_perceiver.ops.masks import (
    attention_bias_mask,
    check_rank,
    hides_nothing,
    implicit_mask,
    zero_masked,
)
from keras_perceiver.ops.rotary import rotate


@keras.saving.register_keras_serializable("keras_perceiver")
class Attention(Configured, DropoutSeeds, keras.layers.Layer):
    """Multi-head attention of queries to a context.

    Unlike `keras.layers.MultiHeadAttention`, channels are totals over heads, query
    and value channels may differ on every backend, masked slots cannot reach an
    output even if they hold NaN, causality is right-aligned, keys and values of a long
    context, or the projections of many queries, are never computed where folding them
    into the other side costs less (`keras_perceiver.ops.attend_folded` and
    `attend_folded_queries`), and scores that would take too much memory are computed
    for some keys at a time.

    Args:
        num_heads: number of heads, H.
        qk_channels: query and key channels over all heads; None for the context's
            channels.
        v_channels: value channels over all heads; None for `qk_channels`.
        output_channels: channels of the result; None for the queries' channels.
        qkv_bias: give query, key and value projections a bias.
        output_bias: give the output projection a bias.
        causal: let a query see the keys up to its own position only, queries being
            the last positions of the context (right-aligned).
        dropout: rate on the attention weights.
        heads_at_once: process heads in groups of this many to bound memory; None
            for all at once.
        init_scale: standard deviation of the kernels' initial values.
        output_gain: factor on that of the output projection.

    Call arguments:
        query: `[B, N, F]`, or `[1, N, F]` if all examples ask the same.
        context: `[B, M, C]`; None to attend to the queries themselves.
        padding_mask: `[B, M]`, bool, int or float, True at real context
            positions. None takes the mask that an upstream Keras layer left on
            `context` (`Embedding(mask_zero=True)`), if any.
        attention_mask: `[B, N, M]` or `[B, H, N, M]`, True where a query may see a
            key; axes of size 1 are broadcast.
        return_attention_scores: also return the attention weights
            `[B, H, N, M]`, before dropout. Never changes the output.

    Returns:
        `[B, N, E]`, E being `output_channels`. Zeros where a query may see nothing.

    Raises:
        ValueError: channels that the heads do not divide, an empty context, or
            inputs of another rank.

    Example:
    >>> attention = Attention(num_heads=2, qk_channels=8, v_channels=12)
    >>> y = attention(keras.ops.ones((1, 3, 16)), keras.ops.ones((1, 5, 10)))
    >>> tuple(y.shape)
    (1, 3, 16)

    Reference:
        arXiv 2107.14795, section 3 and appendix E.
    """

    def __init__(
        self,
        num_heads=8,
        qk_channels=None,
        v_channels=None,
        output_channels=None,
        qkv_bias=True,
        output_bias=True,
        causal=False,
        dropout=0.0,
        heads_at_once=None,
        init_scale=0.02,
        output_gain=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        check_rate("dropout", dropout)
        self.num_heads = num_heads
        self.qk_channels = qk_channels
        self.v_channels = v_channels
        self.output_channels = output_channels
        self.qkv_bias = qkv_bias
        self.output_bias = output_bias
        self.causal = causal
        self.dropout = dropout
        self.heads_at_once = heads_at_once
        self.init_scale = init_scale
        self.output_gain = output_gain
        self.supports_masking = True
        self._make_seeds(dropout)

    def build(self, query_shape, context_shape=None):
        """Create the projections; shapes are `[B, N, F]` and `[B, M, C]`."""
        context_shape = context_shape or query_shape
        for name, shape in (("query", query_shape), ("context", context_shape)):
            if len(shape) != 3:
                raise ValueError(
                    f"`{name}` must have shape [batch, length, channels]. "
                    f"Received: {name}.shape={tuple(shape)}"
                )
        qk_channels = self.qk_channels or context_shape[-1]
        v_channels = self.v_channels or qk_channels
        check_heads("qk_channels", qk_channels, self.num_heads)
        check_heads("v_channels", v_channels, self.num_heads)

        def dense(name, channels, use_bias, input_shape, gain=1.0):
            layer = Dense(
                channels,
                use_bias=use_bias,
                kernel_initializer=normal(self.init_scale * gain),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(input_shape)
            return layer

        self.query_dense = dense("query", qk_channels, self.qkv_bias, query_shape)
        self.key_dense = dense("key", qk_channels, self.qkv_bias, context_shape)
        self.value_dense = dense("value", v_channels, self.qkv_bias, context_shape)
        output_channels = self.output_channels or query_shape[-1]
        # `output` is taken: a read-only property of every Keras layer.
        self.output_dense = dense(
            "output",
            output_channels,
            self.output_bias,
            (*query_shape[:-1], v_channels),
            self.output_gain,
        )
        super().build(query_shape)

    def call(
        self,
        query,
        context=None,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        """See the class docstring."""
        context = query if context is None else context
        check_rank("context", context, (3,), "[B, M, C]")
        if padding_mask is None:
            padding_mask = implicit_mask(context)
        context = zero_masked(context, padding_mask)
        projected = self.project(context, query.shape[1])
        return self.mix(
            query,
            projected,
            attention_bias_mask(padding_mask, attention_mask),
            *self.draw_seeds(training),
            return_attention_scores=return_attention_scores,
        )

    def project(self, context, num_queries, scale=None, offset=None, rotation=None):
        """What `mix` needs of a context, computed once for any number of calls.

        Args:
            context: `[B, M, C]`.
            num_queries: N, or None if unknown; decides whether to fold.
            scale: `[C]`, on the context's channels (of a norm), or None.
            offset: `[C]`, added to them, or None.
            rotation: of the context's positions, see
                `keras_perceiver.ops.rotary_angles`, or None. Rotated keys are never
                folded.

        Returns:
            `(key, value)`, `[B, H, M, K]` and `[B, H, M, V]`; or, if that costs less,
            `(context,)` to fold their projections into the queries' side, or what
            `folded_queries` makes of them, to fold those of the queries into theirs.
        """
        folding = None
        if rotation is None:
            folding = best_folding(self, num_queries, context.shape[1])
        if folding == "context":
            return (context,)
        if scale is not None:
            context = context * ops.cast(scale, context.dtype)
            context = context + ops.cast(offset, context.dtype)
        key = rotate(self._split_heads(call_inner(self.key_dense, context)), rotation)
        value = self._split_heads(call_inner(self.value_dense, context))
        return folded_queries(self, key, value) if folding else (key, value)

    def mix(
        self,
        query,
        projected,
        mask=None,
        seed=None,
        scale=None,
        offset=None,
        return_attention_scores=False,
        rotation=None,
        chunk_size=None,
    ):
        """Attend with queries `[B, N, F]` to a context that `project` prepared.

        Args:
            query: `[B, N, F]` or `[1, N, F]`.
            projected: result of `project`.
            mask: of rank 4, see `keras_perceiver.ops.attention_bias_mask`.
            seed: of dropout, or None.
            scale: the one given to `project`.
            offset: the one given to `project`.
            return_attention_scores: also return the weights.
            rotation: of the queries' positions, or None.
            chunk_size: keys to attend to at a time; None to choose.
        """
        keys = projected[0].shape
        batch = keys[0] if query.shape[0] == 1 else query.shape[0]
        if hides_nothing(mask, (batch, self.num_heads, query.shape[1], keys[-2])):
            mask = None
        given = (mask, self.causal, length(query), length(projected[0]))
        seeing = None if every_query_sees(*given) else masks_of(*given)[-1]
        options = {
            "mask": mask,
            "causal": self.causal,
            "dropout": self.dropout,
            "seed": seed,
            "heads_at_once": self.heads_at_once,
            "return_scores": return_attention_scores,
            "chunk_size": chunk_size,
        }
        folded = len(projected) == 3
        if folded:
            out = attend_folded_queries(query, *projected, **options)
        else:
            query = self._split_heads(call_inner(self.query_dense, query))  # [B, H, N, K]
            query = rotate(query, rotation)
            if len(projected) == 1:
                kernels = folded_kernels(self, scale, offset)
                out = attend_folded(query, projected[0], *kernels, **options)
            else:
                out = attend(query, *projected, **options)
        out, scores = out if return_attention_scores else (out, None)
        if not folded:
            out = call_inner(self.output_dense, self._merge_heads(out))  # [B, N, E]
        else:
            out = out[..., : self.output_dense.units]
            if self.output_bias:
                out = out + ops.cast(self.output_dense.bias, out.dtype)
        if seeing is not None:  # nothing to attend to: zeros, not the output's bias
            out = ops.where(ops.any(seeing, axis=1), out, ops.zeros((), dtype=out.dtype))
        return (out, scores) if return_attention_scores else out

    def _split_heads(self, x):
        if keras.backend.backend() == "torch":  # a sixth of the time that Keras takes
            return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        shape = (*ops.shape(x)[:2], self.num_heads, x.shape[-1] // self.num_heads)
        return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))  # [B, H, N, .]

    def _merge_heads(self, x):
        if keras.backend.backend() == "torch":
            return x.transpose(1, 2).flatten(2)
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, N, H, .]
        return ops.reshape(x, (*ops.shape(x)[:2], x.shape[2] * x.shape[3]))

    def compute_mask(self, *args, **kwargs):
        """None: a mask of the context says nothing about the queries."""

    def compute_output_spec(
        self,
        query,
        context=None,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        """Symbolic result."""
        context = query if context is None else context
        batch = query.shape[0] if context.shape[0] is None else context.shape[0]
        batch = context.shape[0] if query.shape[0] == 1 else batch
        channels = self.output_channels or query.shape[-1]
        out = keras.KerasTensor((batch, query.shape[1], channels), self.compute_dtype)
        if not return_attention_scores:
            return out
        shape = (batch, self.num_heads, query.shape[1], context.shape[1])
        return out, keras.KerasTensor(shape, "float32")
