"""Perceiver AR over tokens of any kind: what language and music models share."""

from keras_perceiver.layers import LearnedPositions, PerceiverAR
from keras_perceiver.layers.bias import Bias
from keras_perceiver.layers.dense import token_embedding
from keras_perceiver.layers.residual import norm
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.model import ConfiguredModel
from keras_perceiver.models.text import token_inputs


class CausalSequenceModel(ConfiguredModel):
    """Perceiver AR over tokens; subclasses document the arguments and have defaults."""

    OPTIONS_LAYER = "stack"
    OPTIONS_CLASS = PerceiverAR

    def __init__(
        self,
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
    ):
        for key, value in (
            ("vocab_size", vocab_size),
            ("max_length", max_length),
            ("channels", channels),
        ):
            check_positive(key, value)
        inputs = token_inputs()
        mask = inputs["padding_mask"]
        embedding = token_embedding(vocab_size, channels, init_scale)
        x = embedding(inputs["token_ids"])  # [B, S, D]
        if learned_positions:
            x = LearnedPositions(max_length, init_scale=init_scale, name="positions")(
                x, padding_mask=mask
            )
        stack_options.setdefault("rotary_fraction", 0.5 if learned_positions else 1.0)
        stack = PerceiverAR(**stack_options, init_scale=init_scale, name="stack")
        x = stack(x, padding_mask=mask)  # [B, L, D]
        if output_norm:
            x = norm("output_norm", None)(x)
        logits = embedding(x, reverse=True)  # [B, L, V]
        if output_bias:
            logits = Bias(dtype="float32", name="logits")(logits)
        super().__init__(inputs=inputs, outputs=logits, name=name)
        if stack.max_latents > max_length:
            raise ValueError(
                "`max_latents` must not exceed `max_length`. Received: "
                f"max_latents={stack.max_latents}, max_length={max_length}"
            )
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.channels = channels
        self.learned_positions = learned_positions
        self.output_norm = output_norm
        self.output_bias = output_bias
        self.init_scale = init_scale
        self.encoder_options = stack_options
        self.preprocessor = self.checked_preprocessor(preprocessor)

    @property
    def max_latents(self):
        """Largest number of latents, L: logits are those of the last L positions."""
        return self.get_layer("stack").max_latents

    def checked_preprocessor(self, preprocessor=None):
        """A preprocessor for this model, or None."""
        raise NotImplementedError
