"""Models of sound: patches of the wave or a mel spectrogram; clips and files in."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_audio
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.preprocessing import AudioPreprocessor, write_wav
from keras_perceiver.presets.form import to_form
from tiny_audio import MEL, RATE, SAMPLES
from tolerances import FLOAT32

FORMS = {"patches": {"patch_size": 16}, "mel": {"mel": MEL}}


@pytest.fixture(scope="module", params=FORMS)
def model(request):
    labels = ["low", "middle", "high"]
    preprocessor = AudioPreprocessor(SAMPLES, sampling_rate=RATE, labels=labels)
    model = tiny_audio.classifier(preprocessor, **FORMS[request.param])
    contract.randomize(model, np.random.default_rng(1))
    return model


def features(encoder, clips):
    """What the encoder reads: `[B, M, C]`."""
    read = keras.Model(encoder.input, encoder.get_layer("positions").output)
    return read.predict(clips, verbose=0)


def test_patches_are_pieces_of_the_wave():
    """Samples of all channels, in time; then the position of the patch."""
    encoder = tiny_audio.encoder(channels=2, patch_size=16)
    clips = tiny_audio.clips(2, channels=2)
    x = features(encoder, clips)
    np.testing.assert_array_equal(x[..., :32], clips.reshape(2, SAMPLES // 16, 32))
    positions = kp.ops.fourier_features((SAMPLES // 16,), 3)
    np.testing.assert_allclose(x[1, :, 32:], positions, atol=FLOAT32)


def mel_levels(clip):
    """The spectrogram of one channel, in plain numpy, `[bins, frames]`."""
    half = MEL.fft_length // 2
    padded = np.pad(clip.astype("float64"), half, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(MEL.fft_length) / MEL.fft_length)
    frames = [
        padded[start : start + MEL.fft_length] * window
        for start in range(0, len(clip) + 1, MEL.stride)
    ]
    power = np.abs(np.fft.rfft(frames)) ** 2  # [frames, half + 1]

    def mel(hertz):
        return 1127 * np.log1p(hertz / 700)

    edges = np.linspace(mel(20), mel(RATE / 2), MEL.num_bins + 2)
    places = mel(np.linspace(0, RATE / 2, half + 1))[:, None]
    rise = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rise, fall))  # [half + 1, bins]
    weights[0] = 0
    full_scale = (MEL.fft_length / 4) ** 2
    decibels = 10 * np.log10(np.maximum(power @ weights / full_scale, 1e-8))
    return decibels.T / 40 + 1


def test_the_spectrogram_is_the_textbooks():
    """Of each channel; from -1 at 80 dB below a full sine to about 1 at that sine."""
    encoder = tiny_audio.encoder(channels=2, mel=MEL)
    clips = tiny_audio.clips(3, channels=2)
    clips[0, :, 0] = np.sin(2 * np.pi * np.arange(SAMPLES) * 500 / RATE)
    clips[1] *= 1e-3
    clips[2, :, 1] = 0
    x = features(encoder, clips)
    frames = SAMPLES // MEL.stride + 1
    levels = x[..., :2].reshape(3, MEL.num_bins, frames, 2)
    for clip in range(3):
        for channel in range(2):
            np.testing.assert_allclose(
                levels[clip, ..., channel], mel_levels(clips[clip, :, channel]), atol=1e-4
            )
    assert abs(levels[0, ..., 0].max() - 1) < 0.05
    assert (levels[2, ..., 1] == -1).all()
    positions = kp.ops.fourier_features((MEL.num_bins, frames), 3)
    np.testing.assert_allclose(x[1, :, 2:], positions.reshape(-1, 14), atol=FLOAT32)


def test_a_batch_is_its_clips(model):
    """A loud neighbour changes nothing (M7)."""
    clips = tiny_audio.clips(3)
    clips[0] *= 1e-4
    together = model.predict(clips, verbose=0)
    alone = model.predict(clips, batch_size=1, verbose=0)
    np.testing.assert_allclose(together, alone, atol=FLOAT32)


def test_classify_clips_and_files(model, tmp_path):
    clips = tiny_audio.clips(2)
    file = write_wav(tmp_path / "clip.wav", clips[1, :, 0], sample_rate=RATE)
    whole = np.rint(clips[1] * 32767).astype("int16")
    results = model.classify([clips[1, :, 0], file, whole], top_k=3)
    scores = [{r["label"]: r["score"] for r in result} for result in results]
    assert set(scores[0]) == {"low", "middle", "high"}
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)
    assert scores[2] == pytest.approx(scores[0], abs=1e-3)
    for one in (clips[1:], clips[1], file):
        (best,) = model.classify(one)
        assert best[0]["score"] == pytest.approx(results[0][0]["score"], abs=1e-3)
    clips[1, 7] = np.nan
    with pytest.raises(ValueError, match="`clips` must be finite"):
        model.classify(clips)
    write_wav(file, clips[0], sample_rate=2 * RATE)
    with pytest.raises(ValueError, match="must have 4000 samples a second.*Received: 8000"):
        model.classify(file)


def test_a_preset_round_trip(tmp_path, model):
    """A clip is longer than all weights together; no reason to refuse it."""
    kp.presets.save(model, tmp_path / "preset")
    again = kp.presets.load(tmp_path / "preset")
    assert to_form(again) == to_form(model)
    clips = tiny_audio.clips(3)
    np.testing.assert_allclose(
        again.predict(clips, verbose=0), model.predict(clips, verbose=0), atol=1e-6
    )
    assert again.preprocessor.labels == ["low", "middle", "high"]


@pytest.mark.one_backend
def test_a_small_model_of_long_clips_is_loaded(tmp_path):
    encoder = kp.models.AudioEncoder(
        samples=960_000,
        sampling_rate=48_000,
        patch_size=480,
        num_bands=2,
        max_resolution=(960_000,),
        num_latents=2,
        latent_channels=4,
        cross_attention=AttentionSpec(num_heads=1, qk_channels=4),
        self_attention=AttentionSpec(num_heads=1),
        layers_per_block=1,
    )
    assert encoder.count_params() < 48_000
    kp.presets.save(encoder, tmp_path / "preset")
    assert to_form(kp.presets.load(tmp_path / "preset")) == to_form(encoder)


def test_flops_count_what_runs(model):
    """The cross-attention over patches or points; Fourier transforms are no product."""
    _, inputs, channels = model.encoder.get_layer("positions").output.shape
    M, C, N, D, K = inputs, channels, 4, 8, 8
    cross = 2 * (N * D * K + 2 * M * C * K + 2 * N * M * K + N * K * D + 2 * N * D * D)
    block = 2 * (4 * N * D * D + 2 * N * N * D + 2 * N * D * D)
    assert kp.models.flops(model.encoder) == cross + block


@pytest.mark.parametrize("form", FORMS)
def test_it_learns_notes_by_heart(form):
    """T1, on synthesized notes of a piano: two low, two middle, two high ones."""
    model = tiny_audio.classifier(**FORMS[form])
    contract.randomize(model, np.random.default_rng(1))
    model.compile(
        keras.optimizers.Adam(2e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    notes = model.preprocessor([tiny_audio.note(p) for p in (45, 48, 60, 64, 76, 81)])
    labels = np.array([0, 0, 1, 1, 2, 2])
    steps = 80
    model.fit(
        np.tile(notes, (steps, 1, 1)),
        np.tile(labels, steps),
        batch_size=6,
        shuffle=False,
        verbose=0,
    )
    assert model.evaluate(notes, labels, verbose=0) < 0.02


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "either `patch_size` or `mel`. Received: patch_size=None, mel=None"),
        ({"patch_size": 16, "mel": MEL}, "either `patch_size` or `mel`"),
        ({"patch_size": 0}, "`patch_size` must be a positive integer"),
        (
            {"patch_size": 100},
            "`patch_size` must divide `samples`. Received: patch_size=100, samples=512",
        ),
        (
            {"mel": kp.models.MelSpec(stride=100)},
            "`mel.stride` must divide `samples`. Received: mel.stride=100, samples=512",
        ),
        (
            {"mel": kp.models.MelSpec(fft_length=1024)},
            "`samples` must exceed half of `mel.fft_length`. Received: samples=512",
        ),
        ({"channels": 0, "patch_size": 16}, "`channels` must be a positive integer"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ValueError, match=match):
        tiny_audio.encoder(**options)


def test_other_refusals():
    with pytest.raises(ValueError, match="`num_bins` must be a positive integer"):
        kp.models.MelSpec(num_bins=0)
    with pytest.raises(ValueError, match="`preprocessor` must be for the encoder's inputs"):
        tiny_audio.classifier(AudioPreprocessor(SAMPLES), patch_size=16)
