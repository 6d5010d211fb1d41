"""Masks for masked language modelling."""

import dataclasses

import numpy as np

# Of the selected: 80 % become the mask token, 10 % random tokens, the rest stays
# (BERT, arXiv:1810.04805, section 3.1).
MASKED, RANDOM = 0.8, 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masking:
    """Random selection of words or tokens that a model is to predict.

    Of what is selected, 80 % is replaced by the mask token, 10 % by random tokens,
    10 % stays as it is. With whole words, what happens is drawn once a word, and
    each of its tokens is replaced.

    Args:
        rate: fraction of words (or tokens) that is selected.
        whole_words: whether all tokens of a word are selected, or none; otherwise
            each token for itself.

    Raises:
        ValueError: a `rate` out of (0, 1].

    Example:
    >>> from keras_perceiver.preprocessing import ByteTokenizer
    >>> tokenizer = ByteTokenizer()
    >>> ids = tokenizer.encode("one word in three is masked")[None]
    >>> masking, rng = Masking(rate=0.3), np.random.default_rng(8)
    >>> masked, weights = masking(ids, np.ones_like(ids), tokenizer, rng)
    >>> tokenizer.decode(masked[0], skip_special_tokens=False)
    'one word[MASK][MASK][MASK] three[MASK][MASK][MASK] masked'

    Reference:
        `WordMaskingCollator` of krasserm/perceiver-io, and for tokens
        `DataCollatorForLanguageModeling` of transformers. Their random tokens may be
        special ones; here they are not.
    """

    rate: float = 0.15
    whole_words: bool = True

    def __post_init__(self):
        if not 0 < self.rate <= 1:
            raise ValueError(f"`rate` must lie in (0, 1]. Received: rate={self.rate}")

    def __call__(self, token_ids, padding_mask, tokenizer, rng):
        """Masked ids, and where they are to be predicted.

        Args:
            token_ids: integers `[B, S]`; they are the labels too.
            padding_mask: `[B, S]`, True or 1 at tokens. Neither padding nor special
                tokens are selected.
            tokenizer: a `Tokenizer` with a mask token.
            rng: a `numpy.random.Generator`.

        Returns:
            `(masked_ids, weights)`: int32 and float32 `[B, S]`; weights are 1 at what
            was selected, 0 elsewhere.

        Raises:
            ValueError: a tokenizer without mask token, or one that does not tell
                words, or ids out of its vocabulary.
        """
        if tokenizer.mask_id is None:
            raise ValueError(
                "`tokenizer` must have a mask token. Received: "
                f"{tokenizer} with {sorted(tokenizer.special_ids)}"
            )
        if token_ids.shape != padding_mask.shape:
            raise ValueError(
                "`padding_mask` must be of the shape of `token_ids`. Received: "
                f"{padding_mask.shape} and {token_ids.shape}"
            )
        fixed = tokenizer.is_special(token_ids) | (padding_mask == 0)
        # One number says both whether a word is selected and what becomes of it.
        *rows, length = token_ids.shape
        draws = rng.random((*rows, length + 1), "float32")
        if self.whole_words:
            words = tokenizer.word_ids(token_ids)  # [B, S], S at most
            draws = np.take_along_axis(draws, np.maximum(words, 0), axis=-1)  # [B, S]
        else:
            draws = draws[..., 1:]
        draws[fixed] = 1
        masked_ids = np.where(
            draws < MASKED * self.rate, tokenizer.mask_id, token_ids
        ).astype("int32")
        random = (draws >= MASKED * self.rate) & (draws < (MASKED + RANDOM) * self.rate)
        candidates = np.flatnonzero(~tokenizer.special)
        masked_ids[random] = rng.choice(candidates, size=np.count_nonzero(random))
        return masked_ids, (draws < self.rate).astype("float32")
