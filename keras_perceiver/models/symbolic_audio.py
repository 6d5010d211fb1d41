"""Symbolic audio model: Perceiver AR over the events of piano performances."""

import keras
import numpy as np

from keras_perceiver import generation
from keras_perceiver.models.causal_sequence import CausalSequenceModel
from keras_perceiver.models.text import check_max_length
from keras_perceiver.preprocessing import MidiPreprocessor, decode_midi
from keras_perceiver.preprocessing.midi import MIDI_VOCAB_SIZE

# Registered here, because preprocessing imports numpy only.
keras.saving.register_keras_serializable("keras_perceiver")(MidiPreprocessor)


@keras.saving.register_keras_serializable("keras_perceiver")
class SymbolicAudioLM(CausalSequenceModel):
    """Continues piano performances: Perceiver AR over MIDI events.

    An event is a key that goes down or comes up, time that passes, or a loudness; see
    `keras_perceiver.preprocessing.encode_midi`. There are 388, and padding.

    Args:
        max_length: longest performance in events, S.
        channels: channels of embeddings and latents, D.
        learned_positions: add a learned vector per position, counted from the first
            real event; half of each head's channels are rotated then, else all.
        output_norm: normalise before the logits.
        output_bias: add a bias to the logits, which are the transposed embedding's.
        init_scale: standard deviation of the initial weights.
        preprocessor: a `MidiPreprocessor`; None for one that refuses performances
            longer than `max_length`.
        name: of the model.
        **stack_options: other arguments of `keras_perceiver.layers.PerceiverAR`:
            `max_latents`, `num_layers`, `attention`, `prefix_dropout` and so on.

    Call arguments:
        inputs: a dict of `token_ids` `[B, S]`, integers, and `padding_mask`
            `[B, S]`, integers, 1 at events; padding stands on the left.

    Returns:
        Logits `[B, L, 389]` of the event after each of the last
        `L = min(max_latents, S)` positions, in float32 under every dtype policy.

    Raises:
        ValueError: a number out of its range, or a preprocessor for something else or
            for longer performances.

    Example:
    >>> from keras_perceiver.layers import AttentionSpec
    >>> spec = AttentionSpec(num_heads=2)
    >>> model = SymbolicAudioLM(64, 16, max_latents=8, num_layers=1, attention=spec)
    >>> model.output_shape
    (None, None, 389)

    Reference:
        arXiv 2202.07765, section 5.3; krasserm/perceiver-io, whose options these are.
    """

    def __init__(
        self,
        max_length=2048,
        channels=512,
        learned_positions=False,
        output_norm=True,
        output_bias=False,
        init_scale=0.02,
        preprocessor=None,
        name=None,
        **stack_options,
    ):
        super().__init__(
            MIDI_VOCAB_SIZE,
            max_length,
            channels,
            learned_positions,
            output_norm,
            output_bias,
            init_scale,
            preprocessor,
            name,
            **stack_options,
        )

    def checked_preprocessor(self, preprocessor=None):
        """A `MidiPreprocessor` for this model: the given one, or a plain one.

        Raises:
            ValueError: another kind of preprocessor, or longer performances.
        """
        if preprocessor is None:
            return MidiPreprocessor(self.max_length)
        if not isinstance(preprocessor, MidiPreprocessor):
            raise ValueError(
                "`preprocessor` must be a MidiPreprocessor. Received: "
                f"{type(preprocessor).__name__}"
            )
        check_max_length(preprocessor, self)
        return preprocessor

    def generate(self, midi, max_new_tokens=512, strip_prompt=False, **options):
        """Performances and what may follow them.

        Args:
            midi: a `pretty_midi.PrettyMIDI` or the path of a MIDI file, or a list of
                those, of any lengths.
            max_new_tokens: how many events to add at most.
            strip_prompt: return what was added only, from second 0 on.
            **options: of `keras_perceiver.generation.stream`: `num_latents`,
                `sampler`, `use_cache`, `seed`, `freed_latents`.

        Returns:
            A `pretty_midi.PrettyMIDI` of one piano, or a list of them for a list. A key
            that never comes up makes no note: see
            `keras_perceiver.preprocessing.decode_midi`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a broken performance, one without a note or longer than
                `max_length`, or options out of range.
        """
        many = isinstance(midi, list)
        inputs = self.preprocessor(midi)
        for index in np.flatnonzero(~inputs["padding_mask"].any(axis=1)):
            raise ValueError(
                f"`midi` must have at least one note each. Received: midi[{index}] without"
            )
        new = generation.generate(self, **inputs, max_new_tokens=max_new_tokens, **options)
        performances = []
        for ids, mask, more in zip(*inputs.values(), new, strict=True):
            prompt = ids[:0] if strip_prompt else ids[mask.astype(bool)]
            performances.append(decode_midi(np.concatenate([prompt, more])))
        return performances if many else performances[0]
