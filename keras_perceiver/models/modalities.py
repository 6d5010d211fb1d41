"""Kinds of inputs, as values: what a multimodal model must know of each."""

import dataclasses

import keras
from keras import ops

from keras_perceiver.layers import LearnedPositions, LearnedQueries
from keras_perceiver.layers.dense import token_embedding
from keras_perceiver.layers.spec import check_positive


class Modality:
    """What the kinds have in common.

    A kind has `shape` and `dtype` of one example; `mask_shape` of its mask, `()` if an
    example has the whole of it or nothing; and, unless it is only read, `num_points`
    queries of `query_channels`, with answers of `point_channels` each, which together
    have `output_shape`.
    """

    dtype = "float32"
    mask_shape = ()
    num_points = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for size in value if isinstance(value, (tuple, list)) else (value,):
                if size is not None:
                    check_positive(field.name, size)

    def get_config(self):
        """Field values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def adapt(self, content, mask, name, init_scale):
        """Inputs `[B, M, C]` of content `[B, *shape]`, by layers named after `name`."""
        raise NotImplementedError

    def queries(self, name, endpoint, init_scale):
        """The layer that makes output queries of `num_points` points."""
        raise NotImplementedError


def unmasked(ids, mask):
    """Integers with 0 where they are masked: nothing else could be looked up there."""
    return ops.where(mask != 0, ids, 0)


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class LabelModality(Modality):
    """Classes: integers, read as one-hot vectors and answered as logits.

    Args:
        num_classes: number of classes, E.
        query_channels: channels of the learned query that asks for the class.

    Raises:
        ValueError: a number that is not positive.

    Example:
    >>> LabelModality(10).output_shape
    (10,)
    """

    num_classes: int
    query_channels: int = 1024

    dtype = "int32"
    shape = ()
    num_points = 1

    @property
    def point_channels(self):
        """Of an answer."""
        return self.num_classes

    @property
    def output_shape(self):
        """Shape of the logits of one example."""
        return (self.num_classes,)

    def adapt(self, content, mask, name, init_scale):
        """See `Modality`."""
        labels = unmasked(content, mask)[:, None]
        return ops.one_hot(labels, self.num_classes)  # [B, 1, E]

    def queries(self, name, endpoint, init_scale):
        """See `Modality`."""
        return LearnedQueries(1, self.query_channels, init_scale, name=f"{name}_queries")


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class TextModality(Modality):
    """Texts: token ids with learned positions, answered by logits for each position.

    Args:
        vocab_size: number of token ids, V.
        max_length: longest text in tokens, S.
        channels: of embeddings, and of the learned queries that ask for tokens.

    Raises:
        ValueError: a number that is not positive.

    Example:
    >>> TextModality(262, 32, 16).output_shape
    (32, 262)
    """

    vocab_size: int
    max_length: int
    channels: int = 64

    dtype = "int32"
    shape = mask_shape = (None,)

    @property
    def num_points(self):
        """One answer for each position."""
        return self.max_length

    @property
    def query_channels(self):
        """Of a learned query."""
        return self.channels

    @property
    def point_channels(self):
        """Of an answer."""
        return self.vocab_size

    @property
    def output_shape(self):
        """Shape of the logits of one example."""
        return (self.max_length, self.vocab_size)

    def adapt(self, content, mask, name, init_scale):
        """See `Modality`."""
        ids = unmasked(content, mask)
        embedding = token_embedding(
            self.vocab_size, self.channels, init_scale, name=f"{name}_embedding"
        )
        positions = LearnedPositions(
            self.max_length, init_scale=init_scale, name=f"{name}_positions"
        )
        return positions(embedding(ids))  # [B, S, C]

    def queries(self, name, endpoint, init_scale):
        """See `Modality`."""
        return LearnedQueries(
            self.max_length, self.query_channels, init_scale, name=f"{name}_queries"
        )


@keras.saving.register_keras_serializable("keras_perceiver")
@dataclasses.dataclass(frozen=True)
class SetModality(Modality):
    """Sets of vectors, of any size and in any order: read, but not reconstructed.

    Args:
        channels: of a vector, with what says where it stands, if that matters.

    Raises:
        ValueError: a number that is not positive.

    Example:
    >>> SetModality(3).shape
    (None, 3)
    """

    channels: int

    mask_shape = (None,)

    @property
    def shape(self):
        """Of one example."""
        return (None, self.channels)

    def adapt(self, content, mask, name, init_scale):
        """See `Modality`."""
        return content  # [B, M, C]
