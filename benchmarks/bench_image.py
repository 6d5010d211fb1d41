"""Speed and memory of the image classifier, against its peers, in one run."""

import dataclasses

import numpy as np

import compare
from arms import Torch
from jobs import TINY_ENCODER, Job


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageJob(Job):
    """Sizes of an image classifier."""

    image_shape: tuple
    num_bands: int
    num_classes: int
    encoder: dict  # options of the encoder, ours and the reference's
    init_scale: float = 0.02

    def tiny(self):
        return dataclasses.replace(
            self,
            image_shape=(12, 12, self.image_shape[2]),
            batch=min(self.batch, 2),
            num_bands=4,
            encoder=self.encoder | TINY_ENCODER,
        )

    def data(self):
        """Images `[B, H, W, C]` and labels `[B]`."""
        rng = np.random.default_rng(0)
        images = rng.normal(size=(self.batch, *self.image_shape)).astype("float32")
        return images, rng.integers(self.num_classes, size=self.batch).astype("int64")

    def model(self):
        from keras_perceiver.models import ImageClassifier, ImageEncoder

        encoder = ImageEncoder(
            self.image_shape,
            num_bands=self.num_bands,
            init_scale=self.init_scale,
            **self.encoder,
        )
        return ImageClassifier(encoder, self.num_classes, init_scale=self.init_scale)

    def reference(self):
        from reference_torch import ImageClassifier, initialize

        sizes = (self.image_shape, self.num_bands, self.num_classes)
        return initialize(ImageClassifier(*sizes, **self.encoder), self.init_scale)


class Transformers(Torch):
    """transformers' Perceiver with random weights. One cross-attention: it has no more."""

    def make_model(self):
        from transformers import PerceiverConfig
        from transformers.models.perceiver import modeling_perceiver as perceiver

        job, encoder = self.job, self.job.encoder
        self.images = self.inputs[0].permute(0, 3, 1, 2).contiguous()  # [B, C, H, W]
        axes = 2 * (2 * job.num_bands + 1)
        config = PerceiverConfig(
            num_latents=encoder["num_latents"],
            d_latents=encoder["latent_channels"],
            d_model=job.image_shape[2] + axes,
            num_blocks=encoder["num_blocks"],
            num_self_attends_per_block=encoder["layers_per_block"],
            num_self_attention_heads=8,
            num_cross_attention_heads=1,
            attention_probs_dropout_prob=0.0,
            initializer_range=job.init_scale,
            num_labels=job.num_classes,
        )
        # PerceiverForImageClassificationFourier is this, for 224 x 224 x 3 only.
        preprocessor = perceiver.PerceiverImagePreprocessor(
            config,
            prep_type="pixels",
            spatial_downsample=1,
            in_channels=job.image_shape[2],
            fourier_position_encoding_kwargs={
                "concat_pos": True,
                "max_resolution": job.image_shape[:2],
                "num_bands": job.num_bands,
                "sine_only": False,
            },
        )
        decoder = perceiver.PerceiverClassificationDecoder(
            config,
            num_channels=config.d_latents,
            trainable_position_encoding_kwargs={
                "num_channels": config.d_latents,
                "index_dims": 1,
            },
            use_query_residual=True,
        )
        return perceiver.PerceiverModel(
            config, decoder=decoder, input_preprocessor=preprocessor
        )

    def outputs(self):
        return self.forward(inputs=self.images).logits


class Lucidrains(Torch):
    """perceiver-pytorch's Perceiver IO: other maths, of about the same arithmetic.

    Its layers have a gated MLP four times as wide, hence 16 where ours have 6
    matrix products of the same size: it gets 6/16 of the layers.
    """

    def make_model(self):
        import torch
        from perceiver_pytorch import PerceiverIO

        from reference_torch import fourier_features

        job, encoder = self.job, self.job.encoder
        self.positions = fourier_features(job.image_shape[:2], job.num_bands)
        inputs = job.image_shape[2] + self.positions.shape[1]
        channels = encoder["latent_channels"]
        model = PerceiverIO(
            depth=max(1, encoder["num_blocks"] * encoder["layers_per_block"] * 6 // 16),
            dim=inputs,
            queries_dim=channels,
            logits_dim=job.num_classes,
            num_latents=encoder["num_latents"],
            latent_dim=channels,
            cross_dim_head=inputs,
            latent_dim_head=channels // 8,
            # Of our 48 ImageNet layers 6 have weights of their own.
            weight_tie_layers=encoder.get("share_first_block", True),
            decoder_ff=True,
        )
        model.query = torch.nn.Parameter(torch.randn(1, channels))
        return model

    def outputs(self):
        import torch

        (images,) = self.inputs
        positions = self.positions.expand(images.shape[0], -1, -1)
        inputs = torch.cat([images.flatten(1, 2), positions], dim=-1)
        return self.forward(inputs, queries=self.model.query)[:, 0]


JOBS = (
    ImageJob(
        name="imagenet_forward",
        preset="perceiver_io_imagenet_fourier",
        image_shape=(224, 224, 3),
        num_bands=64,
        num_classes=1000,
        encoder={
            "num_latents": 512,
            "latent_channels": 1024,
            "num_blocks": 8,
            "layers_per_block": 6,
        },
        batch=1,
        training=False,
        aims={"ours_tensorflow": 0.42, "ours_jax": 0.45, "ours_torch": 0.9},
    ),
    ImageJob(
        name="mnist_step",
        preset="perceiver_io_mnist",
        image_shape=(28, 28, 1),
        num_bands=32,
        num_classes=10,
        encoder={
            "num_latents": 32,
            "latent_channels": 128,
            "num_cross_attentions": 2,
            "num_blocks": 3,
            "layers_per_block": 3,
            "share_first_block": False,
        },
        batch=64,
        training=True,
        init_scale=0.1,
        aims={"ours_tensorflow": 0.25, "ours_jax": 0.6, "ours_torch": 0.5},
    ),
)
PEERS = {"transformers": Transformers, "lucidrains": Lucidrains}

if __name__ == "__main__":
    compare.main("bench_image")
