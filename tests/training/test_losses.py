"""Cross-entropy of tokens: Keras' number."""

import keras
import numpy as np
import pytest

from keras_perceiver.training import TokenCrossentropy


@pytest.mark.parametrize("shape", [(3, 5), (4,)])
def test_it_is_keras_cross_entropy(rng, shape):
    """For images too, whose labels are `[B]`."""
    logits = rng.normal(size=(*shape, 7)).astype("float32") * 5
    labels = rng.integers(0, 7, shape)
    weights = rng.integers(0, 2, shape).astype("float32")
    weights.flat[0] = 1
    keras_loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    ours = TokenCrossentropy()(labels, logits, sample_weight=weights)
    expected = keras_loss(labels, logits, sample_weight=weights)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    by_hand = -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]
    assert float(ours) == pytest.approx((by_hand * weights).sum() / weights.sum(), rel=1e-5)
    assert float(TokenCrossentropy(reduction="sum")(labels, logits)) == pytest.approx(
        by_hand.sum(), rel=1e-5
    )


def test_it_comes_back_from_its_config():
    loss = TokenCrossentropy(reduction="sum")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (type(again), again.reduction) == (TokenCrossentropy, "sum")
