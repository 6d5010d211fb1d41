# %% [markdown]
# # Which note is it?
#
# Sound can enter a Perceiver in two ways: as the wave itself, cut into short pieces, or as
# a mel spectrogram, a picture of loudness by frequency and time. `AudioEncoder` does
# either. Here both learn to name notes from a quarter of a second of noisy sound: 24 notes
# of two octaves, 12 names. The notes are synthesized, so nothing is downloaded, and this
# says nothing about recordings.
#
# Expected: 99.6 % of 480 held-out pieces from the wave, 100 % from the spectrogram.
# Time: 62 s of processor time on one core (TensorFlow).
# `tests/guides/test_notes.py` holds these.

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/notes")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# Each note is synthesized once, two seconds long. A record is a piece of it from anywhere
# in its first half, as loud as it happens to be, in noise: an array of samples and a label.
# Paths of WAV files would do as well as arrays: `kp.data.audio_folder` gives those in a
# folder for each class.

# %%
data = kp.data.notes(train_count=400 if FAST else 4000)
train, test = data.train, data.test
RATE, SAMPLES, NAMES = data.sampling_rate, len(train[0][0]), data.labels

# %% [markdown]
# ## Two models
#
# They differ in what they read: 50 pieces of 20 samples, or 64 frequencies at 9 times.

# %%
SPEC = kp.layers.AttentionSpec
FORMS = {
    "pieces of the wave": {"patch_size": 20},
    "mel spectrogram": {"mel": kp.models.MelSpec(num_bins=64, fft_length=512, stride=125)},
}


def make(form):
    encoder = kp.models.AudioEncoder(
        SAMPLES,
        sampling_rate=RATE,
        **form,
        num_bands=16,
        num_latents=16,
        latent_channels=64,
        cross_attention=SPEC(num_heads=4, qk_channels=64),
        self_attention=SPEC(num_heads=4),
        num_blocks=2,
        layers_per_block=1,
        init_scale=0.1,
    )
    preprocessor = kp.preprocessing.AudioPreprocessor(
        SAMPLES, sampling_rate=RATE, labels=NAMES
    )
    return kp.models.AudioClassifier(
        encoder, len(NAMES), head="average", init_scale=0.1, preprocessor=preprocessor
    )


# %%
EPOCHS, BATCH = (1 if FAST else 8), 64


def trained(form):
    keras.utils.set_random_seed(0)
    model = make(form)
    steps = len(train) // BATCH
    schedule = kp.training.warmup_cosine(3e-3, EPOCHS * steps, EPOCHS * steps // 10)
    model.compile(
        keras.optimizers.AdamW(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = kp.data.batches(train, model, batch_size=BATCH, seed=0)
    model.fit(batches, steps_per_epoch=steps, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


models, accuracy = {}, {}
for name, form in FORMS.items():
    models[name] = trained(form)
    batches = kp.data.batches(test, models[name], batch_size=120)
    accuracy[name] = models[name].evaluate(batches, steps=len(batches), verbose=0)[1]
    print(f"{name}: held-out accuracy {accuracy[name]:.1%}", flush=True)

# %% [markdown]
# ## A file in, a name out

# %%
model = models["mel spectrogram"]
clip, label = test[0]
path = kp.preprocessing.write_wav(OUTPUT / "note.wav", clip, sample_rate=RATE)
answer = model.classify(path, top_k=3)[0]
print(f"{NAMES[label]} is taken for:", *(f"{a['label']} {a['score']:.1%}" for a in answer))

# %% [markdown]
# ## What the two models read

# %%
levels = keras.Model(model.input, model.get_layer("levels").output)
clips = model.preprocessor([clip for clip, _ in test[:3]])
pictures = levels.predict(clips, verbose=0)[..., 0]  # [3, bins, frames]
figure, axes = plt.subplots(2, 3, figsize=(8, 4), layout="constrained")
time = np.arange(SAMPLES) / RATE
for column, (clip, label) in enumerate(test[:3]):
    axes[0, column].plot(time, clip, lw=0.5)
    axes[0, column].set(title=NAMES[label], ylim=(-1, 1), xlim=(0, SAMPLES / RATE))
    image = axes[1, column].imshow(
        pictures[column],
        origin="lower",
        aspect="auto",
        vmin=-1,
        vmax=1,
        extent=(0, SAMPLES / RATE, 0, pictures.shape[1]),
    )
    axes[1, column].set(xlabel="seconds")
axes[0, 0].set_ylabel("wave")
axes[1, 0].set_ylabel("mel frequency")
figure.colorbar(image, ax=axes[1], label="level")
figure.savefig(OUTPUT / "notes.png", dpi=100)
print("wrote", OUTPUT / "notes.png")
