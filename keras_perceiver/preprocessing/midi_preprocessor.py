"""Performances to rows of ids of one length."""

from keras_perceiver.preprocessing.midi import (
    MIDI_PAD_ID,
    MIDI_VOCAB_SIZE,
    encode_midi,
)
from keras_perceiver.preprocessing.text import model_inputs


class MidiPreprocessor:
    """Encode and pad performances, for a model to continue.

    Args:
        max_length: largest number of ids of a performance.
        truncate: whether longer performances lose their end; otherwise they are
            refused.

    Attributes:
        vocab_size: number of ids, padding included.
        pad_id: id of padding.
        padding_side: always "left": a model continues at the right.

    Raises:
        ValueError: arguments out of range.

    Example:
    >>> from keras_perceiver.preprocessing import decode_midi
    >>> inputs = MidiPreprocessor(8)(decode_midi([376, 60, 305, 188]), pad_to=6)
    >>> inputs["token_ids"].tolist(), inputs["padding_mask"].tolist()
    ([[388, 388, 376, 60, 305, 188]], [[0, 0, 1, 1, 1, 1]])
    """

    vocab_size = MIDI_VOCAB_SIZE
    pad_id = MIDI_PAD_ID
    padding_side = "left"

    def __init__(self, max_length, truncate=False):
        self.max_length = max_length
        self.truncate = truncate
        if not isinstance(max_length, int) or max_length < 1:
            raise ValueError(
                "`max_length` must be an integer greater than 0. Received: "
                f"max_length={max_length!r}"
            )

    def get_config(self):
        """Arguments of the constructor, as JSON values."""
        return {"max_length": self.max_length, "truncate": self.truncate}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __call__(self, midi, pad_to=None):
        """Model inputs of performances.

        Args:
            midi: a `pretty_midi.PrettyMIDI`, the path of a MIDI file, or a list of
                those.
            pad_to: length of the rows, for shapes that stay the same; None for that
                of the longest performance.

        Returns:
            A dict of `token_ids` and `padding_mask` (1 at events, 0 at padding), both
            int32 `[B, S]`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no performance, a broken one, or one that is longer than
                `max_length` (without `truncate`) or `pad_to`.
        """
        rows = [encode_midi(x) for x in (midi if isinstance(midi, list) else [midi])]
        if not rows:
            raise ValueError("`midi` must hold at least one performance. Received none.")
        if self.truncate:
            rows = [row[: self.max_length] for row in rows]
        return model_inputs(rows, self, self.pad_id, pad_to, "midi", "events")
