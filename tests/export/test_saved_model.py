"""SavedModels equal their models, for any batch, and need nothing of ours to serve."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny
import tiny_audio
import tiny_flow
import tiny_multimodal
import tiny_points
import tiny_text
from keras_perceiver.layers import AttentionSpec, LearnedPositionSpec, StemSpec

BACKEND = keras.backend.backend()
exports = pytest.mark.skipif(BACKEND == "torch", reason="refused there, see the last test")


def randomized(model):
    contract.randomize(model, np.random.default_rng(1))
    return model


def exported(model, tmp_path):
    """What TensorFlow loads of a model's export, after its weights were drawn anew."""
    import tensorflow as tf

    kp.export.saved_model(randomized(model), tmp_path / "exported")
    return tf.saved_model.load(str(tmp_path / "exported"))


def masked_model():
    """Any length, with a mask: an encoder composed by hand."""
    inputs = keras.Input((None, 5), name="inputs")
    mask = keras.Input((None,), dtype="int32", name="padding_mask", optional=True)
    latents = kp.layers.PerceiverEncoder(
        3,
        8,
        layers_per_block=1,
        self_attention=AttentionSpec(num_heads=2),
        cross_attention=AttentionSpec(num_heads=1),
    )(inputs, padding_mask=mask)
    return keras.Model({"inputs": inputs, "padding_mask": mask}, latents)


@exports
def test_a_fresh_process_serves_it(tmp_path):
    """With TensorFlow alone: neither this package nor Keras is imported."""
    model = randomized(tiny.classifier())
    x = np.random.default_rng(0).normal(size=(5, 6, 5, 1)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", model.predict(x, verbose=0))
    kp.export.saved_model(model, tmp_path / "exported")
    program = """
import sys, numpy as np, tensorflow as tf
x, y = np.load("x.npy"), np.load("y.npy")
served = tf.saved_model.load("exported")
for n in (1, 2, 5):
    out = served.serve(x[:n]).numpy()
    assert out.shape == (n, 3), out.shape
    assert np.abs(out - y[:n]).max() < 1e-5, np.abs(out - y[:n]).max()
signature = served.signatures["serving_default"]
assert np.abs(next(iter(signature(tf.constant(x)).values())).numpy() - y).max() < 1e-5
assert "keras_perceiver" not in sys.modules
print("served")
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stdout.strip() == "served", run.stderr[-2000:]


@exports
def test_masks_and_lengths_stay_dynamic(tmp_path):
    model = masked_model()
    served = exported(model, tmp_path)
    rng = np.random.default_rng(0)
    for batch, length in ((1, 4), (3, 9)):
        x = rng.normal(size=(batch, length, 5)).astype("float32")
        mask = rng.integers(0, 2, (batch, length)).astype("int32")
        mask[:, 0] = 1
        expected = model.predict({"inputs": x, "padding_mask": mask}, verbose=0)
        x[mask == 0] = np.nan
        out = served.serve({"inputs": x, "padding_mask": mask}).numpy()
        np.testing.assert_allclose(out, expected, atol=1e-5)


@exports
@pytest.mark.parametrize("make", [tiny_text.masked_lm, tiny_text.text_classifier])
def test_text_of_any_length_and_number(tmp_path, make):
    model = make()
    served = exported(model, tmp_path)
    for count, length in ((1, 7), (3, 20), (2, tiny_text.MAX_LENGTH)):
        inputs = tiny_text.batch(count, length)
        expected = model.predict(inputs, verbose=0)
        out = served.serve(inputs).numpy()
        assert out.shape == expected.shape
        np.testing.assert_allclose(out, expected, atol=1e-5)


@exports
@pytest.mark.parametrize(
    "options",
    [
        {"stem": StemSpec(channels=4, padding="same")},
        {
            "stem": StemSpec(kind="pointwise", channels=4),
            "positions": LearnedPositionSpec(channels=3, projection=5),
        },
    ],
    ids=["conv", "learned"],
)
def test_any_number_of_images_through_every_stem(tmp_path, options):
    model = tiny.classifier(**options)
    served = exported(model, tmp_path)
    for count in (1, 3):
        images = tiny.images(count)
        expected = model.predict_on_batch(images)
        np.testing.assert_allclose(served.serve(images).numpy(), expected, atol=1e-5)


@exports
def test_frames_in_and_flow_out(tmp_path):
    model = tiny_flow.model(rescale_factor=1.0)
    served = exported(model, tmp_path)
    for count in (1, 3):
        frames = tiny_flow.frames(count)
        expected = model.predict(frames, verbose=0)
        np.testing.assert_allclose(served.serve(frames).numpy(), expected, atol=1e-5)


@exports
def test_sets_of_any_size_and_number(tmp_path):
    model = tiny_points.classifier()
    served = exported(model, tmp_path)
    for sizes, length in (((5,), 16), ((3, 20, 0), 21)):
        inputs = model.preprocessor(tiny_points.sets(*sizes), pad_to=length)
        expected = model.predict_on_batch(inputs)
        inputs["points"][inputs["padding_mask"] == 0] = np.nan
        np.testing.assert_allclose(served.serve(inputs).numpy(), expected, atol=1e-5)


@exports
def test_any_number_of_clips(tmp_path):
    """With the Fourier transforms of the mel spectrogram inside."""
    model = tiny_audio.classifier(mel=tiny_audio.MEL)
    served = exported(model, tmp_path)
    for count in (1, 3):
        clips = tiny_audio.clips(count)
        expected = model.predict_on_batch(clips)
        np.testing.assert_allclose(served.serve(clips).numpy(), expected, atol=1e-5)


@exports
def test_multimodal_with_anything_missing(tmp_path):
    """What is missing is masked, as there every input must be given."""
    names = ("audio", "label", "text")
    model = tiny_multimodal.autoencoder(*names)
    served = exported(model, tmp_path)
    for count in (1, 3):
        inputs = tiny_multimodal.batch(count, names)
        expected = model.predict(inputs, verbose=0)
        out = served.serve(inputs)
        assert set(out) == set(expected)
        for name, x in expected.items():
            np.testing.assert_allclose(out[name].numpy(), x, atol=1e-5)


@exports
def test_an_existing_export_is_replaced_only_when_complete(tmp_path, monkeypatch):
    model = tiny.classifier()
    target = tmp_path / "exported"
    kp.export.saved_model(model, target)
    before = sorted(p.name for p in target.rglob("*"))
    module = sys.modules["keras_perceiver.export.saved_model"]
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="computes something else than the model"):
        kp.export.saved_model(model, target)
    assert sorted(p.name for p in target.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir()] == ["exported"]
    with pytest.raises(ValueError, match="computes something else"):
        kp.export.saved_model(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends export")
def test_torch_names_the_way_round(tmp_path):
    with pytest.raises(ValueError, match="Save a preset.*KERAS_BACKEND=tensorflow"):
        kp.export.saved_model(tiny.classifier(), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
