"""Training mode reaches every layer, by the way that JAX's `fit` calls a model."""

import numpy as np
import pytest

import tiny_multimodal
import tiny_text
from keras_perceiver.layers.blocks import ResidualAttention


def masked_lm_at_masks():
    inputs = tiny_text.batch(2, 9)
    inputs["mask_positions"] = np.asarray([[0, 3], [1, 2]], "int32")
    return tiny_text.masked_lm(), inputs


def autoencoder_at_points():
    names = ("image", "label")
    inputs = tiny_multimodal.batch(names=names)
    inputs["image_points"] = np.asarray([[0, 1], [2, 3]], "int32")
    return tiny_multimodal.autoencoder(*names), inputs


@pytest.mark.parametrize("made", [masked_lm_at_masks, autoencoder_at_points])
def test_no_layer_misses_that_it_is_trained(made, monkeypatch):
    model, inputs = made()
    drawn = []
    original = ResidualAttention.draw_seeds

    def draw_seeds(layer, training):
        drawn.append((layer.path, training))
        return original(layer, training)

    monkeypatch.setattr(ResidualAttention, "draw_seeds", draw_seeds)
    # Not `__call__`, which tells all layers inside.
    model.stateless_call(
        [weight.value for weight in model.trainable_variables],
        [weight.value for weight in model.non_trainable_variables],
        inputs,
        training=True,
    )
    assert len(drawn) >= 3
    assert [path for path, training in drawn if not training] == []
