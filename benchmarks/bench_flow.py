"""Speed and memory of optical flow, as large as published, against peers in one run."""

import dataclasses

import numpy as np

import compare
from arms import Torch
from jobs import TINY_ENCODER, Job

TOO_LARGE = "left out: beside the others it does not fit the memory"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowJob(Job):
    """Sizes of an optical flow model."""

    image_shape: tuple
    num_heads: int  # of self-attention
    encoder: dict  # options of the encoder, ours and the reference's
    patch_channels: int = 64
    num_bands: int = 64  # transformers has no other

    def tiny(self):
        return dataclasses.replace(
            self, image_shape=(6, 8), num_heads=2, encoder=self.encoder | TINY_ENCODER
        )

    def data(self):
        """Pairs of frames `[B, 2, H, W, 3]` and labels that nothing uses."""
        shape = (self.batch, 2, *self.image_shape, 3)
        frames = np.random.default_rng(0).uniform(-1, 1, size=shape)
        return frames.astype("float32"), np.zeros(self.batch, "int64")

    def model(self):
        from keras_perceiver.layers import AttentionSpec
        from keras_perceiver.models import OpticalFlow, OpticalFlowEncoder

        encoder = OpticalFlowEncoder(
            self.image_shape,
            self.patch_channels,
            self.num_bands,
            self_attention=AttentionSpec(num_heads=self.num_heads),
            **self.encoder,
        )
        return OpticalFlow(encoder)

    def reference(self):
        from reference_flow_torch import OpticalFlow
        from reference_torch import initialize

        model = OpticalFlow(
            self.image_shape,
            self.patch_channels,
            self.num_bands,
            self_attention={"num_heads": self.num_heads},
            num_blocks=1,
            **self.encoder,
        )
        return initialize(model, scale=0.02)


class Transformers(Torch):
    """transformers' PerceiverForOpticalFlow with random weights."""

    def make_model(self):
        from transformers import PerceiverConfig, PerceiverForOpticalFlow

        encoder = self.job.encoder
        config = PerceiverConfig(
            num_latents=encoder["num_latents"],
            d_latents=encoder["latent_channels"],
            num_blocks=1,
            num_self_attends_per_block=encoder["layers_per_block"],
            num_self_attention_heads=self.job.num_heads,
            num_cross_attention_heads=1,
            attention_probs_dropout_prob=0.0,
            train_size=list(self.job.image_shape),
        )
        return PerceiverForOpticalFlow(config)

    def outputs(self):
        from reference_flow_torch import patches

        x = patches(self.inputs[0]).unflatten(-1, (2, 27))  # [B, H, W, 2, 27]
        return self.forward(inputs=x.permute(0, 3, 4, 1, 2)).logits


JOBS = (
    FlowJob(
        name="flow_forward",
        preset="perceiver_io_optical_flow",
        image_shape=(368, 496),
        num_heads=16,
        encoder={"num_latents": 2048, "latent_channels": 512, "layers_per_block": 24},
        batch=1,
        training=False,
        aims={"ours_tensorflow": 0.4, "ours_jax": 0.4, "ours_torch": 0.4},
        left_out={"reference_compiled": TOO_LARGE, "ours_tensorflow_xla": TOO_LARGE},
    ),
)
PEERS = {"transformers": Transformers}

if __name__ == "__main__":
    compare.main("bench_flow", rounds=5, warmup=1)
