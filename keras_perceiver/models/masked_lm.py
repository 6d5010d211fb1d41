"""Masked language model."""

import keras
import numpy as np

from keras_perceiver.layers import AttentionSpec, LearnedQueries, PerceiverDecoder
from keras_perceiver.layers.bias import Bias
from keras_perceiver.layers.dense import Dense
from keras_perceiver.models.classifier import softmax
from keras_perceiver.models.model import ConfiguredModel
from keras_perceiver.models.text import text_preprocessor


@keras.saving.register_keras_serializable("keras_perceiver")
class MaskedLM(ConfiguredModel):
    """A text encoder and a decoder that predicts the token at each position.

    Args:
        encoder: a `TextEncoder`. Its layers become part of this model's graph.
        query_channels: channels of the learned output queries, F. None for the
            embedding's: the head then is the transposed embedding and a bias (tied),
            else a `Dense`.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the queries to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        preprocessor: a `TextPreprocessor` that makes model inputs of strings; None
            for one of bytes, if the encoder has their vocabulary.
        name: of the model.

    Call arguments:
        inputs: a dict of `token_ids` and `padding_mask`, `[B, S]` each, and, to be
            answered at K positions of each text only, `mask_positions` `[B, K]`,
            integers from 0 to S - 1.

    Returns:
        Logits `[B, S, V]`, or `[B, K, V]`: the same numbers, for less. In float32 under
        every dtype policy. Those at padding mean nothing.

    Raises:
        ValueError: a preprocessor with another vocabulary.

    Example:
    >>> from keras_perceiver.models import TextEncoder
    >>> encoder = TextEncoder(262, 32, 8, num_latents=4, latent_channels=16)
    >>> MaskedLM(encoder).output_shape
    (None, None, 262)

    Reference:
        arXiv 2107.14795, section 4.1 and appendix F.
    """

    def __init__(
        self,
        encoder,
        query_channels=None,
        cross_attention=AttentionSpec(),  # noqa: B008 (frozen)
        query_residual=False,
        init_scale=0.02,
        preprocessor=None,
        name=None,
    ):
        queries = LearnedQueries(
            encoder.max_length,
            query_channels or encoder.input_channels,
            init_scale,
            name="queries",
        )
        decoder = PerceiverDecoder(
            cross_attention, query_residual, init_scale, name="decoder"
        )
        head = Bias(dtype="float32", name="logits")
        if query_channels is not None:
            head = Dense(
                encoder.vocab_size,
                kernel_initializer=keras.initializers.RandomNormal(0.0, init_scale),
                dtype="float32",
                name="logits",
            )
        layers = {x.name: x for x in (*encoder.layers, queries, decoder, head)}
        tied = query_channels is None
        logits = _answers(
            layers.get, tied, encoder.output, encoder.input["token_ids"]
        )  # [B, S, V]
        super().__init__(inputs=encoder.input, outputs=logits, name=name)
        self.encoder = encoder
        self.query_channels = query_channels
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.preprocessor = encoder.checked_preprocessor(preprocessor)

    def call(self, inputs, training=None, mask=None):
        """See the class docstring; `mask` is Keras' own and not used."""
        if not isinstance(inputs, dict) or "mask_positions" not in inputs:
            return super().call(inputs, training=training)
        inputs = dict(inputs)
        positions = inputs.pop("mask_positions")
        # JAX's training does not come by way of `__call__`: layers must be told.
        latents = self.encoder(inputs, training=training)
        tied, token_ids = self.query_channels is None, inputs["token_ids"]
        return _answers(self.get_layer, tied, latents, token_ids, positions, training)

    def fill_mask(self, texts, top_k=5, batch_size=32):
        """Texts with their masks filled in.

        Each mask is filled on its own: the first filling has the likeliest token
        at each mask, the second the second likeliest, and so on. Special tokens are
        no candidates.

        Args:
            texts: a string, or a list of strings, with one or more `[MASK]` each: one
                for every token (every byte, if the tokenizer's tokens are bytes).
            top_k: number of fillings.
            batch_size: texts per forward pass.

        Returns:
            For each text a list of `{"text": str, "tokens": list of str, "score":
            float}`: the filled text, what was filled in, and the mean probability
            of that.

        Raises:
            ValueError: a text without a mask or too long, or `top_k` out of range.
        """
        tokenizer = text_preprocessor(self).tokenizer
        special = list(tokenizer.special_ids.values())
        candidates = self.encoder.vocab_size - len(special)
        if not 1 <= top_k <= candidates:
            raise ValueError(
                f"`top_k` must lie between 1 and {candidates}, the number of tokens that "
                f"are not special. Received: top_k={top_k}"
            )
        inputs = self.preprocessor(texts)
        masked = inputs["token_ids"] == tokenizer.mask_id
        for index in np.flatnonzero(~masked.any(axis=1)):
            text = texts if isinstance(texts, str) else texts[index]
            raise ValueError(
                "`texts` must each contain [MASK]. Received text "
                f"{index} without: {text[:80]!r}"
            )
        logits = self.predict(inputs, batch_size=batch_size, verbose=0)
        logits[..., special] = -np.inf
        return [
            _fillings(tokenizer, ids[keep], here[keep], softmax(row[here]), top_k)
            for ids, keep, here, row in zip(
                inputs["token_ids"],
                inputs["padding_mask"].astype(bool),
                masked,
                logits,
                strict=True,
            )
        ]


def _answers(layer, tied, latents, token_ids, mask_positions=None, training=None):
    """Logits `[B, S, V]` or `[B, K, V]` by the layers of some names."""
    # [B, S, F] or [B, K, F]
    x = layer("queries")(latents, token_ids, points=mask_positions)
    x = layer("decoder")(x, latents, training=training)
    if tied:
        x = layer("token_embedding")(x, reverse=True)
    return layer("logits")(x)


def _fillings(tokenizer, ids, masked, scores, top_k):
    """The `top_k` fillings of one text: ids `[S]`, masked `[S]`, scores `[masks, V]`."""
    order = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]  # [masks, top_k]
    fillings = []
    for tokens in order.T:
        filled = ids.copy()
        filled[masked] = tokens
        fillings.append(
            {
                "text": tokenizer.decode(filled),
                "tokens": [tokenizer.decode([token]) for token in tokens],
                "score": float(np.take_along_axis(scores, tokens[:, None], 1).mean()),
            }
        )
    return fillings
