"""Text encoder and text classifier."""

import keras

from keras_perceiver.layers import LearnedPositions, PerceiverEncoder
from keras_perceiver.layers.dense import token_embedding
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.classifier import Classifier
from keras_perceiver.models.model import EncoderModel
from keras_perceiver.preprocessing import ByteTokenizer, TextPreprocessor

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(TextPreprocessor)


BYTES = ByteTokenizer().vocab_size


@keras.saving.register_keras_serializable("keras_perceiver")
class TextEncoder(EncoderModel):
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
        inputs = token_inputs()
        embedding = token_embedding(vocab_size, input_channels, init_scale)
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
        if preprocessor is None and self.vocab_size == BYTES:
            preprocessor = TextPreprocessor(ByteTokenizer(), self.max_length)
        return checked_text_preprocessor(self, preprocessor)


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
        return self._classify(text_preprocessor(self)(texts), top_k, batch_size)


def text_preprocessor(model):
    """The preprocessor of a text model, or a ValueError if it has none."""
    if model.preprocessor is None:
        raise ValueError(
            "The model has no `preprocessor` to make token ids of strings: construct it "
            "with a TextPreprocessor for its vocabulary of "
            f"{getattr(model, 'encoder', model).vocab_size} tokens."
        )
    return model.preprocessor


def token_inputs():
    """Symbolic inputs of a text model: token ids and padding mask, `[B, S]`."""
    return {
        # Masks are integers, because tf.distribute cannot average booleans.
        key: keras.Input((None,), dtype="int32", name=key)
        for key in ("token_ids", "padding_mask")
    }


def checked_text_preprocessor(model, preprocessor, padding_side="right"):
    """`preprocessor`, which may be None, if it suits the model.

    Args:
        model: with `vocab_size` and `max_length`.
        preprocessor: a `TextPreprocessor`, or None.
        padding_side: where the model wants padding.

    Raises:
        ValueError: another vocabulary, longer texts, or padding on the other side.
    """
    if preprocessor is None:
        return None
    received = preprocessor.vocab_size
    if received != model.vocab_size:
        raise ValueError(
            "`preprocessor.tokenizer` must have the model's vocabulary. Received: "
            f"vocab_size={received}, expected {model.vocab_size}"
        )
    check_max_length(preprocessor, model)
    if preprocessor.padding_side != padding_side:
        raise ValueError(
            f"`preprocessor.padding_side` must be {padding_side!r}. Received: "
            f"{preprocessor.padding_side!r}"
        )
    return preprocessor


def check_max_length(preprocessor, model):
    """Raise a ValueError if the preprocessor makes longer inputs than the model takes."""
    if preprocessor.max_length > model.max_length:
        raise ValueError(
            "`preprocessor.max_length` must not exceed the model's. Received: "
            f"{preprocessor.max_length}, the model has {model.max_length}"
        )
