"""Pure functions on tensors: the maths of the library, without weights.

The letters in shapes and shape comments are those of `keras_perceiver.layers`.
"""

from keras_perceiver.ops.attention import attend, attend_folded
from keras_perceiver.ops.dropout import FixedSeed, dropout
from keras_perceiver.ops.fourier import fourier_features
from keras_perceiver.ops.masks import (
    attention_bias_mask,
    causal_mask,
    zero_masked,
)
from keras_perceiver.ops.norm import normalize
from keras_perceiver.ops.patches import depth_to_space, space_to_depth
from keras_perceiver.ops.points import point_features
from keras_perceiver.ops.rotary import rotary_angles, rotate, shifted_positions
from keras_perceiver.ops.selection import last_positions, spaced_positions

__all__ = [
    "FixedSeed",
    "attend",
    "attend_folded",
    "attention_bias_mask",
    "causal_mask",
    "depth_to_space",
    "dropout",
    "fourier_features",
    "last_positions",
    "normalize",
    "point_features",
    "rotary_angles",
    "rotate",
    "shifted_positions",
    "space_to_depth",
    "spaced_positions",
    "zero_masked",
]
