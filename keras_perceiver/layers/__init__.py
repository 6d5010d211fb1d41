"""Layers: what has weights. Each file reads alone.

The letters of the papers, used in every docstring and shape comment:

| letter | meaning | argument |
|---|---|---|
| `B` | batch | |
| `M` | inputs: pixels, bytes, samples | length of `inputs` |
| `C` | input channels | last axis of `inputs` |
| `N` | latents | `num_latents` |
| `D` | latent channels | `latent_channels` |
| `O` | output queries | `num_queries` |
| `F` | query channels | `query_channels`, `channels` |
| `E` | output channels | `num_classes`, `output_channels` |
| `H` | heads | `num_heads` |
| `K` | query and key channels per head | `qk_channels / H` |
| `V` | value channels per head; vocabulary in language models | `v_channels / H` |
| `S` | sequence = `P` prefix + `L` latents (Perceiver AR) | |
"""

from keras_perceiver.layers.attention import Attention
from keras_perceiver.layers.blocks import LatentCrossAttention, SelfAttentionBlock
from keras_perceiver.layers.coordinates import CoordinateEncoding
from keras_perceiver.layers.decoder import PerceiverDecoder
from keras_perceiver.layers.encoder import PerceiverEncoder
from keras_perceiver.layers.image_spec import LearnedPositionSpec, StemSpec
from keras_perceiver.layers.perceiver_ar import PerceiverAR
from keras_perceiver.layers.positions import FourierEncoding, LearnedPositions
from keras_perceiver.layers.prefix import CausalPrefixAttention
from keras_perceiver.layers.queries import GridQueries, LearnedQueries
from keras_perceiver.layers.resampler import PerceiverResampler
from keras_perceiver.layers.spec import AttentionSpec

__all__ = [
    "Attention",
    "AttentionSpec",
    "CausalPrefixAttention",
    "CoordinateEncoding",
    "FourierEncoding",
    "GridQueries",
    "LatentCrossAttention",
    "LearnedPositionSpec",
    "LearnedPositions",
    "LearnedQueries",
    "PerceiverAR",
    "PerceiverDecoder",
    "PerceiverEncoder",
    "PerceiverResampler",
    "SelfAttentionBlock",
    "StemSpec",
]
