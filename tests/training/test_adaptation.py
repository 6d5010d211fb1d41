"""LoRA and quantization on folded attention (T6)."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
from keras_perceiver.layers.folding import best_folding
from tiny import classifier, images


def dense_layers(model):
    return [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]


def test_lora_counts_and_trains():
    model = classifier()
    contract.randomize(model, np.random.default_rng(1))
    x = images(6)
    before = model.predict(x, verbose=0)
    kernels = [d.kernel.shape for d in dense_layers(model)]
    assert kp.training.enable_lora(model, rank=2) == len(kernels)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == sum(2 * (i + o) for i, o in kernels)
    # The factors start at no change; forward stays what it was.
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-5)
    frozen = {w.path: w.numpy() for w in model.non_trainable_weights}
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = model.fit(x, np.arange(6) % 3, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for w in model.non_trainable_weights:
        if "seed" not in w.path:
            np.testing.assert_array_equal(w.numpy(), frozen[w.path])
    # The folded path must read the adapted kernels: key and value factors moved.
    attention = model.encoder.get_layer("encoder").first_cross.attend
    assert best_folding(attention, 4, 30) == "context"
    assert np.abs(attention.value_dense.lora_kernel_b.numpy()).max() > 0
    scores_with = model.predict(x, verbose=0)
    attention.value_dense.lora_kernel_b.assign(
        np.zeros(attention.value_dense.lora_kernel_b.shape)
    )
    assert np.abs(model.predict(x, verbose=0) - scores_with).max() > 1e-6


def test_lora_needs_dense_layers():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.ReLU()(inputs))
    with pytest.raises(ValueError, match="`model` has no Dense layer to adapt"):
        kp.training.enable_lora(model, rank=2)


def test_int8_stays_close():
    """Quantized kernels are not folded, and the outputs stay near."""
    model = classifier()
    contract.randomize(model, np.random.default_rng(1))
    x = images(4)
    before = model.predict(x, verbose=0)
    attention = model.encoder.get_layer("encoder").first_cross.attend
    assert best_folding(attention, 4, 30) == "context"
    for layer in dense_layers(model):
        layer.quantize("int8")
    assert best_folding(attention, 4, 30) is None
    model.predict_function = None
    after = model.predict(x, verbose=0)
    error = np.abs(after - before).max() / np.abs(before).max()
    assert 0 < error < 0.1  # measured 0.02
