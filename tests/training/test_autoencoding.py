"""Losses of a multimodal autoencoder: the paper's, at points as everywhere."""

import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_multimodal as tiny

NAMES = ("audio", "image", "label")


def test_the_loss_is_the_papers_sum(rng):
    model = tiny.autoencoder(*NAMES)
    contract.randomize(model, rng)
    model.compile("sgd", **kp.training.autoencoding_losses(model))
    inputs = tiny.batch(3, NAMES, masks=False)
    outputs = model.predict(inputs, verbose=0)
    difference = {
        name: np.abs(outputs[name] - inputs[name]).mean() for name in ("audio", "image")
    }
    logits = outputs["label"]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    label = -log_p[np.arange(3), inputs["label"]].mean()
    expected = difference["audio"] + 0.03 * difference["image"] + 1e-4 * label
    loss = model.evaluate(inputs, inputs, verbose=0)[0]
    assert loss == pytest.approx(expected, rel=1e-5)
    # All points, in another order.
    points = np.tile(np.arange(24)[::-1], (3, 1)).astype("int32")
    targets = {**inputs, "image": inputs["image"].reshape(3, 24, 1)[:, ::-1]}
    loss = model.evaluate({**inputs, "image_points": points}, targets, verbose=0)[0]
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.one_backend
def test_weights_by_name():
    model = tiny.autoencoder("label", "text")
    losses = kp.training.autoencoding_losses(model, {"text": 2.0})
    assert losses["loss_weights"] == {"label": 1e-4, "text": 2.0}
    with pytest.raises(ValueError, match=r"`weights` must be of .*Received: \['audio'\]"):
        kp.training.autoencoding_losses(model, {"audio": 1.0})
