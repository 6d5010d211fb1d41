"""Speed and memory of the masked language model, against its peers, in one run."""

import dataclasses

import numpy as np

import compare
from arms import Torch
from jobs import IGNORED, TINY_ENCODER, Job

HEADS = 8
# Ids from here on are tokens; those before are special, as in the bytes' vocabulary.
FIRST_TOKEN, MASK_ID = 6, 3
MASKED_SHARE = 0.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextJob(Job):
    """Sizes of a masked language model."""

    vocab_size: int
    length: int
    input_channels: int
    qk_channels: int
    v_channels: int
    encoder: dict  # options of the encoder, ours and the reference's
    query_residual: bool = False
    mask_selection_length: int | None = None  # answers of ours; None: at all positions

    def tiny(self):
        return dataclasses.replace(
            self,
            batch=min(self.batch, 2),
            vocab_size=32,
            length=20,
            mask_selection_length=self.mask_selection_length and 9,
            input_channels=24,
            qk_channels=16,
            v_channels=16,
            encoder=self.encoder | TINY_ENCODER,
        )

    def data(self):
        """Token ids and padding mask `[B, S]`, and labels `[B, S]` at masked tokens."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.length)
        ids = rng.integers(FIRST_TOKEN, self.vocab_size, size=shape)
        masked = rng.random(shape) < MASKED_SHARE
        inputs = {
            "token_ids": np.where(masked, MASK_ID, ids).astype("int32"),
            "padding_mask": np.ones(shape, "int32"),
        }
        return inputs, np.where(masked, ids, IGNORED)

    def ours(self, inputs, labels):
        """As `kp.data.masked_batches` gives them: asked for at masked positions."""
        if self.mask_selection_length is None:
            return inputs, labels
        from keras_perceiver.data.masked import selected

        rng = np.random.default_rng(0)
        weights = labels != IGNORED
        inputs, labels, _ = selected(
            inputs, labels, weights, self.mask_selection_length, rng
        )
        return inputs, labels

    def attention(self, v_channels):
        """Arguments of one attention."""
        return {
            "num_heads": HEADS,
            "qk_channels": self.qk_channels,
            "v_channels": v_channels,
        }

    def model(self):
        from keras_perceiver.layers import AttentionSpec
        from keras_perceiver.models import MaskedLM, TextEncoder

        spec = AttentionSpec(**self.attention(self.v_channels))
        encoder = TextEncoder(
            self.vocab_size,
            self.length,
            self.input_channels,
            cross_attention=spec,
            self_attention=spec,
            **self.encoder,
        )
        return MaskedLM(
            encoder,
            cross_attention=AttentionSpec(**self.attention(self.input_channels)),
            query_residual=self.query_residual,
        )

    def reference(self):
        from reference_torch import MaskedLM, initialize

        decoder = self.attention(self.input_channels) | {"residual": self.query_residual}
        model = MaskedLM(
            self.vocab_size,
            self.length,
            self.input_channels,
            decoder,
            cross_attention=self.attention(self.v_channels),
            self_attention=self.attention(self.v_channels),
            **self.encoder,
        )
        return initialize(model, scale=0.02)


class Transformers(Torch):
    """transformers' PerceiverForMaskedLM with random weights."""

    def make_model(self):
        from transformers import PerceiverConfig, PerceiverForMaskedLM

        job, encoder = self.job, self.job.encoder
        config = PerceiverConfig(
            vocab_size=job.vocab_size,
            max_position_embeddings=job.length,
            d_model=job.input_channels,
            num_latents=encoder["num_latents"],
            d_latents=encoder["latent_channels"],
            qk_channels=job.qk_channels,
            v_channels=job.v_channels,
            num_blocks=encoder["num_blocks"],
            num_self_attends_per_block=encoder["layers_per_block"],
            num_self_attention_heads=HEADS,
            num_cross_attention_heads=HEADS,
            attention_probs_dropout_prob=0.0,
        )
        return PerceiverForMaskedLM(config)

    def outputs(self):
        token_ids, padding_mask = self.inputs
        return self.forward(inputs=token_ids, attention_mask=padding_mask).logits


SMALL_STEP = TextJob(
    name="language_small_step",
    preset="perceiver_io_language_small",
    vocab_size=10003,
    length=512,
    input_channels=128,
    qk_channels=128,
    v_channels=128,
    encoder={
        "num_latents": 128,
        "latent_channels": 128,
        "num_cross_attentions": 3,
        "num_blocks": 3,
        "layers_per_block": 6,
        "share_first_block": False,
    },
    query_residual=True,
    batch=8,
    training=True,
    aims={"ours_tensorflow": 0.4, "ours_jax": 0.7, "ours_torch": 0.95},
    compile_aims={"ours_jax": 8},
    left_out={
        "transformers": "left out: it has one cross-attention, and shares all blocks",
        "ours_tensorflow_xla": "left out: XLA compiles it for 150 s and gains nothing",
    },
)
JOBS = (
    TextJob(
        name="language_forward",
        preset="perceiver_io_language_bytes",
        vocab_size=262,
        length=2048,
        input_channels=768,
        qk_channels=256,
        v_channels=1280,
        encoder={
            "num_latents": 256,
            "latent_channels": 1280,
            "num_blocks": 1,
            "layers_per_block": 26,
        },
        batch=1,
        training=False,
        aims={"ours_tensorflow": 0.45, "ours_jax": 0.45, "ours_torch": 0.95},
    ),
    SMALL_STEP,
    # The same loss, as guides/configs/masked_lm_small.yaml computes it.
    dataclasses.replace(
        SMALL_STEP, name="language_small_step_at_masks", mask_selection_length=112
    ),
)
PEERS = {"transformers": Transformers}

if __name__ == "__main__":
    compare.main("bench_text")
