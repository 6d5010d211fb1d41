"""Causal language model: Perceiver AR over tokens."""

import keras
import numpy as np

from keras_perceiver import generation
from keras_perceiver.models.causal_sequence import CausalSequenceModel
from keras_perceiver.models.text import (
    BYTES,
    checked_text_preprocessor,
    text_preprocessor,
)
from keras_perceiver.preprocessing import ByteTokenizer, TextPreprocessor


@keras.saving.register_keras_serializable("keras_perceiver")
class CausalLM(CausalSequenceModel):
    """Causal language model on long contexts, Perceiver AR.

    The last `max_latents` positions read all positions before them once, and only
    these are predicted: training and generation cost little more for a longer context.

    Args:
        vocab_size: number of token ids, V; 262 for UTF-8 bytes.
        max_length: longest context in tokens, S.
        channels: channels of embeddings and latents, D.
        learned_positions: add a learned vector per position, counted from the first
            real token; half of each head's channels are rotated then, else all.
        output_norm: normalise before the logits.
        output_bias: add a bias to the logits, which are the transposed embedding's.
        init_scale: standard deviation of the initial weights.
        preprocessor: a `TextPreprocessor` that makes token ids of strings, padded on
            the left and without special tokens; None for one of bytes, if the
            vocabulary is theirs.
        name: of the model.
        **stack_options: other arguments of `keras_perceiver.layers.PerceiverAR`:
            `max_latents`, `num_layers`, `attention`, `prefix_dropout` and so on.

    Call arguments:
        inputs: a dict of `token_ids` `[B, S]`, integers, and `padding_mask`
            `[B, S]`, integers, 1 at tokens; padding stands on the left.

    Returns:
        Logits `[B, L, V]` of the token after each of the last `L = min(max_latents, S)`
        positions, in float32 under every dtype policy.

    Raises:
        ValueError: a number out of its range, or a preprocessor with another
            vocabulary or with padding on the right.

    Example:
    >>> from keras_perceiver.layers import AttentionSpec
    >>> spec = AttentionSpec(num_heads=2)
    >>> model = CausalLM(262, 64, 16, max_latents=8, num_layers=1, attention=spec)
    >>> model.output_shape
    (None, None, 262)

    Reference:
        arXiv 2202.07765, section 3.
    """

    def __init__(
        self,
        vocab_size=BYTES,
        max_length=4096,
        channels=512,
        learned_positions=True,
        output_norm=False,
        output_bias=True,
        init_scale=0.02,
        preprocessor=None,
        name=None,
        **stack_options,
    ):
        super().__init__(
            vocab_size,
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
        """A `TextPreprocessor` for this model: the given one, or one for bytes.

        None if the vocabulary is not that of bytes and none is given.

        Raises:
            ValueError: another vocabulary, longer texts, or padding on the right.
        """
        if preprocessor is None and self.vocab_size == BYTES:
            preprocessor = TextPreprocessor(
                ByteTokenizer(),
                self.max_length,
                add_special_tokens=False,
                padding_side="left",
            )
        return checked_text_preprocessor(self, preprocessor, padding_side="left")

    def generate(self, prompts, max_new_tokens=256, strip_prompt=False, stop=(), **options):
        """Prompts and what may follow them.

        Args:
            prompts: a string or a list of strings, of any lengths; or token ids,
                integers `[S]` or `[B, S]`; or a dict of `token_ids` and
                `padding_mask`, `[B, S]`, padded on the left.
            max_new_tokens: how many tokens to add at most.
            strip_prompt: return what was added only.
            stop: token ids, or strings of one token each, after which a row ends;
                it is part of the result.
            **options: of `keras_perceiver.generation.stream`: `num_latents`,
                `sampler`, `use_cache`, `seed`, `freed_latents`.

        Returns:
            A string for a string, a list of strings for a list; for ids an int32
            array `[B, prompt + new]` (or `[prompt + new]`), with 0 after a row's end.

        Raises:
            ValueError: an empty prompt or one longer than `max_length`, ids out of
                the vocabulary, or options out of range.

        Example:
        >>> from keras_perceiver.layers import AttentionSpec
        >>> spec = AttentionSpec(num_heads=2)
        >>> model = CausalLM(262, 64, 16, max_latents=8, num_layers=1, attention=spec)
        >>> len(model.generate("Once", max_new_tokens=5, sampler="greedy")) >= 4
        True
        """
        inputs, texts = self._prompts(prompts)
        stop_ids = self._stop_ids(stop)
        new = generation.generate(
            self, **inputs, max_new_tokens=max_new_tokens, stop_ids=stop_ids, **options
        )
        if texts is None:
            ids = new
            if not strip_prompt:
                ids = np.concatenate([inputs["token_ids"], new], axis=1)
            return ids[0] if np.ndim(prompts) == 1 else ids
        added = [self._decode(row, stop_ids) for row in new]
        if not strip_prompt:
            added = [text + more for text, more in zip(texts, added, strict=True)]
        return added[0] if isinstance(prompts, str) else added

    def stream(self, prompt, max_new_tokens=256, stop=(), **options):
        """What may follow a prompt, as it comes.

        Args:
            prompt: a string.
            max_new_tokens: as in `generate`.
            stop: as in `generate`.
            **options: as in `generate`.

        Yields:
            Strings, which together are the continuation; of characters of several
            bytes, whole ones.
        """
        inputs, _ = self._prompts([prompt])
        stop_ids = self._stop_ids(stop)
        told, ids = "", np.zeros((0,), "int32")
        parts = generation.stream(
            self,
            **inputs,
            max_new_tokens=max_new_tokens,
            stop_ids=stop_ids,
            chunk=1,
            **options,
        )
        for part in parts:
            ids = np.concatenate([ids, part[0]])
            text = self._decode(ids, stop_ids)
            # An unfinished character would be told wrong and could not be taken back.
            if not text.endswith("\ufffd"):
                yield text[len(told) :]
                told = text
        yield self._decode(ids, stop_ids)[len(told) :]

    def _prompts(self, prompts):
        """`token_ids` and `padding_mask` of prompts, and their texts or None."""
        if isinstance(prompts, dict):
            return dict(prompts), None
        texts = [prompts] if isinstance(prompts, str) else prompts
        if len(texts) and all(isinstance(text, str) for text in texts):
            for i, text in enumerate(texts):
                if not text:
                    raise ValueError(
                        f"`prompts` must not be empty. Received: prompts[{i}]=''"
                    )
            return text_preprocessor(self)(texts), list(texts)
        ids = np.atleast_2d(np.asarray(prompts))
        return {"token_ids": ids, "padding_mask": np.ones(ids.shape, "int32")}, None

    def _stop_ids(self, stop):
        stop = [stop] if isinstance(stop, (str, int)) else stop
        ids = []
        for one in stop:
            tokens = [one]
            if isinstance(one, str):
                tokens = text_preprocessor(self).tokenizer.encode(one).tolist()
            if len(tokens) != 1 or not 0 <= tokens[0] < self.vocab_size:
                raise ValueError(
                    "`stop` must hold token ids of the vocabulary, or strings of one "
                    f"token each. Received: {one!r}, of tokens {tokens}"
                )
            ids += tokens
        return tuple(ids)

    def _decode(self, ids, stop_ids):
        """Text of a row up to its end."""
        ends = np.flatnonzero(np.isin(ids, stop_ids))
        ids = ids[: ends[0] + 1] if len(ends) else ids
        return self.preprocessor.tokenizer.decode(ids)
