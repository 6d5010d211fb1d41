"""Pure functions on tensors: the maths of the library, without weights.

The letters in shapes and shape comments are those of `keras_perceiver.layers`.
"""

from keras_perceiver.ops.attention import attend
from keras_perceiver.ops.dropout import FixedSeed, dropout
from keras_perceiver.ops.folded import attend_folded, attend_folded_queries
from keras_perceiver.ops.fourier import coordinate_features, fourier_features
from keras_perceiver.ops.masks import (
    attention_bias_mask,
    causal_mask,
    zero_masked,
)
from keras_perceiver.ops.neighbourhoods import neighbourhoods
from keras_perceiver.ops.norm import normalize
from keras_perceiver.ops.patches import depth_to_space, space_to_depth
from keras_perceiver.ops.points import point_features
from keras_perceiver.ops.rotary import rotary_angles, rotate, shifted_positions
from keras_perceiver.ops.selection import last_positions, spaced_positions

__all__ = [
    "FixedSeed",
    "attend",
    "attend_folded",
    "attend_folded_queries",
    "attention_bias_mask",
    "causal_mask",
    "coordinate_features",
    "depth_to_space",
    "dropout",
    "fourier_features",
    "last_positions",
    "neighbourhoods",
    "normalize",
    "point_features",
    "rotary_angles",
    "rotate",
    "shifted_positions",
    "space_to_depth",
    "spaced_positions",
    "zero_masked",
]
