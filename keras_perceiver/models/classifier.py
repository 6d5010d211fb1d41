"""What image and text classifiers share: the head, and classes by name."""

import keras
import numpy as np

from keras_perceiver.layers import AttentionSpec, LearnedQueries, PerceiverDecoder
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.model import ConfiguredModel


class Classifier(ConfiguredModel):
    """An encoder and a classification head; subclasses document the arguments."""

    def __init__(
        self,
        encoder,
        num_classes,
        head="decoder",
        query_channels=None,
        cross_attention=AttentionSpec(num_heads=1),  # noqa: B008 (frozen)
        query_residual=True,
        init_scale=0.02,
        preprocessor=None,
        name=None,
    ):
        check_positive("num_classes", num_classes)
        latents = encoder.output  # [B, N, D]
        if head == "decoder":
            queries = LearnedQueries(
                1, query_channels or latents.shape[-1], init_scale, name="query"
            )(latents)
            x = PerceiverDecoder(
                cross_attention, query_residual, init_scale, name="decoder"
            )(queries, latents)  # [B, 1, F]
        elif head == "average":
            x = latents
        else:
            raise ValueError(
                f"`head` must be 'decoder' or 'average'. Received: head={head!r}"
            )
        # One output of the decoder, or the mean over the latents.
        x = keras.layers.GlobalAveragePooling1D(name="pool")(x)  # [B, F]
        logits = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomNormal(0.0, init_scale),
            dtype="float32",
            name="logits",
        )(x)  # [B, E]
        super().__init__(inputs=encoder.input, outputs=logits, name=name)
        self.encoder = encoder
        self.num_classes = num_classes
        self.head = head
        self.query_channels = query_channels
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.init_scale = init_scale
        self.preprocessor = encoder.checked_preprocessor(preprocessor)
        labels = self.preprocessor and self.preprocessor.labels
        if labels is not None and len(labels) != num_classes:
            raise ValueError(
                "`preprocessor.labels` must hold one label per class. Received: "
                f"{len(labels)} labels, num_classes={num_classes}"
            )

    def _classify(self, inputs, top_k, batch_size):
        """The `top_k` likeliest classes of each of the preprocessed inputs."""
        check_top_k(top_k, self.num_classes)
        logits = self.predict(inputs, batch_size=batch_size, verbose=0)
        return likeliest(logits, top_k, self.preprocessor.labels)


def check_top_k(top_k, num_classes):
    """Raise a ValueError unless there are so many classes."""
    if not 1 <= top_k <= num_classes:
        raise ValueError(
            f"`top_k` must lie between 1 and num_classes={num_classes}. "
            f"Received: top_k={top_k}"
        )


def likeliest(logits, top_k, labels=None):
    """For each row of logits `[B, E]` a list of `{"label": str, "score": float}`.

    Args:
        logits: a numpy array.
        top_k: how many classes to return for each, the likeliest first.
        labels: names of the classes; None for their numbers.
    """
    labels = labels or [str(i) for i in range(logits.shape[-1])]
    return [
        [
            {"label": labels[i], "score": float(row[i])}
            for i in np.argsort(-row, kind="stable")[:top_k]
        ]
        for row in softmax(logits)
    ]


def softmax(logits):
    """Probabilities of numpy logits, over the last axis."""
    scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)
