"""Text encoder, masked language model and text classifier."""

import keras
import numpy as np

from keras_perceiver.layers import (
    AttentionSpec,
    LearnedPositions,
    LearnedQueries,
    PerceiverDecoder,
    PerceiverEncoder,
)
from keras_perceiver.layers.bias import Bias
from keras_perceiver.layers.configured import argument_names
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.classifier import Classifier, softmax
from keras_perceiver.models.model import ConfiguredModel
from keras_perceiver.preprocessing import ByteTokenizer, TextPreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(TextPreprocessor)


BYTES = ByteTokenizer().vocab_size


@keras.saving.register_keras_serializable("keras_perceiver")
class TextEncoder(ConfiguredModel):
    """Tokens with learned positions, read into latents.

    Args:
        vocab_size: number of token ids, V; 262 for UTF-8 bytes.
        max_length: longest text in tokens, S.
        input_channels: channels of token and position embeddings, C.
        init_scale: standard deviation of the embeddings' and of the encoder's
            initial weights.
        name: of the model.
        **encoder_options: other arguments of
            `keras_perceiver.layers.PerceiverEncoder`; `num_latents` and
            `latent_channels` are required.

    Call arguments:
        inputs: a dict of `token_ids` `[B, S]`, integers, and `padding_mask`
            `[B, S]`, integers, 1 at tokens and 0 at padding.

    Returns:
        Latents `[B, N, D]`.

    Raises:
        ValueError: a number that is not positive, or a text longer than
            `max_length`.

    Example:
    >>> encoder = TextEncoder(262, 32, 8, num_latents=4, latent_channels=16)
    >>> encoder.output_shape
    (None, 4, 16)

    Reference:
        arXiv 2107.14795, section 4.1 and appendix F.
    """

    def __init__(
        self,
        vocab_size=BYTES,
        max_length=2048,
        input_channels=768,
        init_scale=0.02,
        name=None,
        **encoder_options,
    ):
        for key, value in (
            ("vocab_size", vocab_size),
            ("max_length", max_length),
            ("input_channels", input_channels),
        ):
            check_positive(key, value)
        inputs = {
            # Masks are integers, because tf.distribute cannot average booleans.
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "padding_mask")
        }
        embedding = keras.layers.ReversibleEmbedding(
            vocab_size,
            input_channels,
            embeddings_initializer=keras.initializers.RandomNormal(0.0, init_scale),
            reverse_dtype="float32",
            name="token_embedding",
        )
        x = embedding(inputs["token_ids"])  # [B, S, C]
        x = LearnedPositions(max_length, init_scale=init_scale, name="positions")(x)
        latents = PerceiverEncoder(
            **encoder_options, init_scale=init_scale, name="encoder"
        )(x, padding_mask=inputs["padding_mask"])  # [B, N, D]
        super().__init__(inputs=inputs, outputs=latents, name=name)
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.input_channels = input_channels
        self.init_scale = init_scale
        self.encoder_options = encoder_options

    def checked_preprocessor(self, preprocessor=None):
        """A `TextPreprocessor` for this encoder: the given one, or one for bytes.

        None if the vocabulary is not that of bytes and none is given: the model
        then takes token ids, but no strings.

        Raises:
            ValueError: another vocabulary, or longer texts.
        """
        if preprocessor is None:
            if self.vocab_size != BYTES:
                return None
            return TextPreprocessor(ByteTokenizer(), self.max_length)
        received = preprocessor.tokenizer.vocab_size
        if received != self.vocab_size:
            raise ValueError(
                "`preprocessor.tokenizer` must have the encoder's vocabulary. Received: "
                f"vocab_size={received}, expected {self.vocab_size}"
            )
        if preprocessor.max_length > self.max_length:
            raise ValueError(
                "`preprocessor.max_length` must not exceed the encoder's. Received: "
                f"{preprocessor.max_length}, the encoder has {self.max_length}"
            )
        return preprocessor

    @classmethod
    def encoder_option_names(cls):
        """Arguments of `PerceiverEncoder` that are passed on."""
        return [n for n in argument_names(PerceiverEncoder) if n != "init_scale"]


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
        inputs: a dict of `token_ids` and `padding_mask`, `[B, S]` each.

    Returns:
        Logits `[B, S, V]`, in float32 under every dtype policy. Those at padding
        mean nothing.

    Raises:
        ValueError: a preprocessor with another vocabulary.

    Example:
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
        )(encoder.output, encoder.input["token_ids"])  # [B, S, F]
        x = PerceiverDecoder(cross_attention, query_residual, init_scale, name="decoder")(
            queries, encoder.output
        )  # [B, S, F]
        if query_channels is None:
            x = encoder.get_layer("token_embedding")(x, reverse=True)
            logits = Bias(dtype="float32", name="logits")(x)
        else:
            logits = keras.layers.Dense(
                encoder.vocab_size,
                kernel_initializer=keras.initializers.RandomNormal(0.0, init_scale),
                dtype="float32",
                name="logits",
            )(x)  # [B, S, V]
        super().__init__(inputs=encoder.input, outputs=logits, name=name)
        self.encoder = encoder
        self.query_channels = query_channels
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.preprocessor = encoder.checked_preprocessor(preprocessor)

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
        tokenizer = _preprocessor(self).tokenizer
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


@keras.saving.register_keras_serializable("keras_perceiver")
class TextClassifier(Classifier):
    """A text encoder and a classification head.

    Args:
        encoder: a `TextEncoder`, for example that of a trained `MaskedLM`. Its layers
            become part of this model's graph: `encoder.trainable = False` freezes
            them here.
        num_classes: number of classes, E.
        head: `"decoder"`, one learned query that reads the latents; or `"average"`,
            the mean over the latents.
        query_channels: channels of the learned query, F; None for the latents'.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the query to what the decoder's attention returns.
        init_scale: standard deviation of the head's initial weights.
        preprocessor: a `TextPreprocessor` that makes model inputs of strings and holds
            the class labels; None for one of bytes, if the encoder has their
            vocabulary.
        name: of the model.

    Call arguments:
        inputs: a dict of `token_ids` and `padding_mask`, `[B, S]` each.

    Returns:
        Logits `[B, E]`, in float32 under every dtype policy.

    Raises:
        ValueError: an unknown `head`, a preprocessor with another vocabulary, or
            labels that are not one per class.

    Example:
    >>> encoder = TextEncoder(262, 32, 8, num_latents=4, latent_channels=16)
    >>> TextClassifier(encoder, num_classes=2).output_shape
    (None, 2)

    Reference:
        arXiv 2107.14795, section 4.1 (GLUE, one query per task).
    """

    def classify(self, texts, top_k=1, batch_size=32):
        """Classes of texts.

        Args:
            texts: a string, or a list of strings.
            top_k: how many classes to return for each, the likeliest first.
            batch_size: texts per forward pass.

        Returns:
            For each text a list of `{"label": str, "score": float}`.

        Raises:
            ValueError: no text, a text that is too long (give the preprocessor
                `truncate=True` to cut it), or `top_k` out of range.
        """
        return self._classify(_preprocessor(self)(texts), top_k, batch_size)


def _preprocessor(model):
    if model.preprocessor is None:
        raise ValueError(
            "The model has no `preprocessor` to make token ids of strings: construct it "
            "with a TextPreprocessor for its vocabulary of "
            f"{model.encoder.vocab_size} tokens."
        )
    return model.preprocessor


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
