"""Optical flow: numbers, raw frames of any size, tiles, saving."""

import numpy as np
import pytest

import contract
import keras_perceiver as kp
import numpy_reference as reference
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.preprocessing import FlowPreprocessor
from tiny_flow import IMAGE_SHAPE, encoder, frames, photographs
from tiny_flow import model as tiny
from tolerances import FLOAT32


@pytest.fixture(scope="module")
def model():
    """One whose flow differs from place to place; nothing here trains it."""
    model = tiny(rescale_factor=1.0)
    contract.randomize(model, np.random.default_rng(1), scale=0.6)
    return model


@pytest.mark.parametrize("residual", [False, True])
def test_flow_is_the_papers(residual):
    """Against a reference in plain numpy, so equal on all backends (N1)."""
    model = tiny(query_residual=residual, rescale_factor=50.0)
    contract.randomize(model, np.random.default_rng(1), scale=0.6)
    x = frames(2)
    expected = reference.flow(model, x)
    assert np.abs(expected - expected[:, :1, :1]).max() > 0.1
    np.testing.assert_allclose(
        50 * model.predict(x, verbose=0), expected, atol=50 * FLOAT32
    )


def test_a_batch_is_its_examples(model):
    """M7."""
    x = frames(3)
    one_by_one = np.concatenate([model.predict(x[i : i + 1], verbose=0) for i in range(3)])
    np.testing.assert_allclose(model.predict(x, verbose=0), one_by_one, atol=FLOAT32)
    assert np.abs(one_by_one[0] - one_by_one[1]).max() > 1e-3


def test_estimate_of_one_tile_is_the_models_output(model):
    pair = photographs(2, IMAGE_SHAPE)
    flow = model.estimate(pair, verbose=0)
    inputs = pair[None].astype("float32") / 255 * 2 - 1
    assert flow.dtype == np.float32
    np.testing.assert_allclose(
        flow, 20 * model.predict(inputs, verbose=0)[0], atol=20 * FLOAT32
    )


def test_estimate_cuts_and_blends(model, monkeypatch):
    """Pairs of several sizes in one stream of tiles, of one shape each batch."""
    sizes = [(6, 8), (11, 9), (6, 17)]
    pairs = [photographs(2, size, seed=i) for i, size in enumerate(sizes)]
    expected = []
    for pair, size in zip(pairs, sizes, strict=True):
        tiles = model.preprocessor(pair)
        expected.append(model.preprocessor.blend(model.predict(tiles, verbose=0), size))
    shapes = []
    predict = model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: shapes.append(x.shape) or predict(x)
    )
    total = sum(len(model.preprocessor.grid(size)) for size in sizes)
    for batch_size in (1, 4):
        shapes.clear()
        flows = model.estimate(pairs, batch_size=batch_size, verbose=0)
        assert set(shapes) == {(batch_size, 2, *IMAGE_SHAPE, 3)}
        assert len(shapes) == -(-total // batch_size)
        assert [flow.shape for flow in flows] == [(*size, 2) for size in sizes]
        for flow, blended in zip(flows, expected, strict=True):
            np.testing.assert_allclose(flow, blended, atol=20 * FLOAT32)


def test_estimate_of_a_video(model, capsys):
    """From each frame to the next, with a progress bar."""
    video = photographs(3, (6, 12))
    flows = model.estimate(video)
    assert "4/4" in capsys.readouterr().out
    assert len(flows) == 2
    for i, flow in enumerate(flows):
        np.testing.assert_allclose(
            flow, model.estimate(video[i : i + 2], verbose=0), atol=20 * FLOAT32
        )
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        model.estimate(video, batch_size=0)


def test_a_preset_keeps_the_tiles(tmp_path):
    preprocessor = FlowPreprocessor(IMAGE_SHAPE, min_overlap=1, flow_scale=5.0)
    model = tiny(rescale_factor=1.0, preprocessor=preprocessor)
    contract.randomize(model, np.random.default_rng(1), scale=0.6)
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert again.preprocessor.get_config() == preprocessor.get_config()
    pair = photographs(2, (9, 13))
    np.testing.assert_allclose(
        again.estimate(pair, verbose=0), model.estimate(pair, verbose=0), atol=1e-5
    )


@pytest.mark.one_backend
def test_it_refuses():
    with pytest.raises(ValueError, match=r"`image_shape` must be \(height, width\)"):
        kp.models.OpticalFlowEncoder((6, 8, 3), num_latents=3, latent_channels=8)
    with pytest.raises(ValueError, match="`image_shape` must be a positive integer"):
        kp.models.OpticalFlowEncoder((6, 0), num_latents=3, latent_channels=8)
    with pytest.raises(ValueError, match="`patch_channels` must be a positive integer"):
        kp.models.OpticalFlowEncoder((6, 8), 0, num_latents=3, latent_channels=8)
    with pytest.raises(ValueError, match="`rescale_factor` must be positive"):
        tiny(rescale_factor=0)
    with pytest.raises(ValueError, match="`preprocessor` must be for the encoder"):
        tiny(preprocessor=FlowPreprocessor((8, 6)))
    with pytest.raises(ValueError, match="divisible by `num_heads`"):
        kp.models.OpticalFlow(encoder(), AttentionSpec(num_heads=3))
