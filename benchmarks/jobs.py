"""What is timed: two image models, and tiny versions of them for a smoke test."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Job:
    """Sizes of a model, and whether to time its forward pass or a training step."""

    name: str
    image_shape: tuple
    num_bands: int
    num_latents: int
    latent_channels: int
    num_blocks: int
    layers_per_block: int
    num_classes: int
    batch: int
    training: bool
    num_cross_attentions: int = 1
    share_first_block: bool = True
    init_scale: float = 0.02

    def data(self):
        """Images `[B, H, W, C]` and labels `[B]`, the same in every process."""
        rng = np.random.default_rng(0)
        images = rng.normal(size=(self.batch, *self.image_shape)).astype("float32")
        return images, rng.integers(self.num_classes, size=self.batch).astype("int64")


IMAGENET = Job(
    name="imagenet_forward",
    image_shape=(224, 224, 3),
    num_bands=64,
    num_latents=512,
    latent_channels=1024,
    num_blocks=8,
    layers_per_block=6,
    num_classes=1000,
    batch=1,
    training=False,
)
MNIST = Job(
    name="mnist_step",
    image_shape=(28, 28, 1),
    num_bands=32,
    num_latents=32,
    latent_channels=128,
    num_blocks=3,
    layers_per_block=3,
    num_classes=10,
    batch=64,
    training=True,
    num_cross_attentions=2,
    share_first_block=False,
    init_scale=0.1,
)
_TINY = {"num_bands": 4, "num_latents": 4, "latent_channels": 16, "layers_per_block": 1}


def get_job(name, quick=False):
    """A job by name; `quick` for one of seconds, whose times mean nothing."""
    job = {job.name: job for job in (IMAGENET, MNIST)}[name]
    if not quick:
        return job
    shape = (12, 12, job.image_shape[2])
    return dataclasses.replace(job, image_shape=shape, batch=min(job.batch, 2), **_TINY)
