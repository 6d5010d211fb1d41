"""Attention maps are the logits of the attention, and pictures are drawn headless."""

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.visualization import (
    attention_maps,
    plot_attention_maps,
    plot_learning_curve,
    read_history,
)


@pytest.fixture(scope="module")
def model():
    encoder = kp.models.ImageEncoder(
        (5, 4, 1),
        num_bands=2,
        num_latents=3,
        latent_channels=8,
        cross_attention=kp.layers.AttentionSpec(num_heads=2, qk_channels=8),
        num_cross_attentions=2,
        num_blocks=2,
        layers_per_block=1,
        init_scale=0.5,
    )
    return kp.models.ImageClassifier(encoder, num_classes=10)


def test_attention_maps_are_logits_up_to_one_constant_a_map(model, rng):
    images = rng.uniform(size=(3, 5, 4, 1)).astype("float32")
    maps = attention_maps(model, images, batch_size=2)
    assert maps.shape == (3, 2, 2, 3, 5, 4)  # images, cross-attentions, heads, latents
    # Logits from the layer's own weights: of the first cross-attention, in numpy.
    encoder = model.encoder.get_layer("encoder")
    attend = encoder.first_cross.attend
    x = model.encoder.get_layer("positions")(model.preprocessor(images))
    x = keras.ops.convert_to_numpy(x)
    latents = keras.ops.convert_to_numpy(encoder.latents)
    weights = {w.path.split("encoder/")[-1]: w for w in encoder.first_cross.weights}
    norms = [w for path, w in weights.items() if "norm" in path]
    assert all(w.shape[0] in (x.shape[-1], latents.shape[-1]) for w in norms)

    def normed(a):  # gamma is 1 and beta 0 in a new model
        return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)

    q = normed(latents) @ keras.ops.convert_to_numpy(attend.query_dense.kernel)  # [N, 8]
    k = normed(x) @ keras.ops.convert_to_numpy(attend.key_dense.kernel)  # [B, M, 8]
    q, k = q.reshape(3, 2, 4), k.reshape(3, 20, 2, 4)
    logits = np.einsum("nhc,bmhc->bhnm", q, k) / 2
    first = maps[:, 0].reshape(3, 2, 3, 20)
    np.testing.assert_allclose(
        first - first.mean(-1, keepdims=True),
        logits - logits.mean(-1, keepdims=True),
        atol=1e-4,
    )
    np.testing.assert_allclose(np.exp(first).sum(-1), 1, atol=1e-5)


def test_maps_do_not_depend_on_the_batch_and_change_nothing(model, rng):
    images = rng.uniform(size=(3, 5, 4, 1)).astype("float32")
    before = model.predict(model.preprocessor(images), verbose=0)
    whole = attention_maps(model, images)
    np.testing.assert_allclose(whole[1:2], attention_maps(model, images[1]), atol=1e-5)
    after = model.predict(model.preprocessor(images), verbose=0)
    np.testing.assert_array_equal(before, after)


def is_picture(path):
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return min(pixels.shape) > 100 and pixels.std() > 5


def test_attention_maps_are_drawn(model, rng, tmp_path):
    images = rng.uniform(size=(2, 5, 4, 1)).astype("float32")
    path = tmp_path / "maps.png"
    plot_attention_maps(model, images, path, labels=[3, 7], max_latents=2)
    assert is_picture(path)


def test_attention_maps_refuse_bad_images(model):
    with pytest.raises(ValueError, match="`images` must be finite"):
        attention_maps(model, np.full((5, 4, 1), np.nan))
    with pytest.raises(ValueError, match="at least one image"):
        attention_maps(model, [])


@pytest.mark.one_backend
def test_learning_curve_of_a_dict_and_of_a_csv_file(tmp_path):
    history = {"accuracy": [0.5, 0.7], "loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}
    plot_learning_curve(history, tmp_path / "dict.png")
    csv = tmp_path / "history.csv"
    csv.write_text("epoch,accuracy,loss,val_loss\n0,0.5,1.0,1.1\n1,0.7,0.5,0.7\n")
    np.testing.assert_array_equal(read_history(csv)["val_loss"], [1.1, 0.7])
    plot_learning_curve(csv, tmp_path / "csv.png")
    assert is_picture(tmp_path / "dict.png")
    assert (tmp_path / "dict.png").read_bytes() == (tmp_path / "csv.png").read_bytes()


@pytest.mark.one_backend
def test_learning_curve_refuses_an_empty_history(tmp_path):
    csv = tmp_path / "history.csv"
    csv.write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_learning_curve(csv, tmp_path / "curve.png")
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_learning_curve({}, tmp_path / "curve.png")


@pytest.mark.one_backend
def test_drawing_leaves_pyplot_alone(model, rng, tmp_path):
    import sys

    plotted = "matplotlib.pyplot" in sys.modules
    plot_learning_curve({"loss": [1.0]}, tmp_path / "curve.png")
    assert ("matplotlib.pyplot" in sys.modules) == plotted
