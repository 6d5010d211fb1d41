# %% [markdown]
# # A picture, a sound and a label in one model
#
# One Perceiver reads several kinds of inputs together and gives all of them back: the
# Perceiver IO paper does it with the pictures, the sound and the label of a video (arXiv
# 2107.14795, section 4.3). What is missing in the input is made up from the rest.
# Without a label, the model is a classifier; without a picture, it draws what it heard.
#
# This guide does it small: handwritten digits, each with a tone whose pitch says which
# digit it is, and a label.
#
# Expected: on 360 held-out digits, whose labels the model is not told,
#
# | | |
# |---|---|
# | pictures given back | 20.9 dB (the mean picture: 11.3 dB) |
# | label from picture and sound | 100.0 % |
# | label from the picture alone | 97.2 % |
# | label from the sound alone | 100.0 % |
#
# Time: 120 s of processor time (TensorFlow).
# `benchmarks/results/2026-11-26-multimodal.md` has the log.

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/multimodal")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# Pixels from -1 to 1, and 64 samples of a tone: a 0 makes 2 waves in that time, a 1
# makes 4, and so on. Tones differ in loudness, and have some noise.

# %%
data = kp.data.digit_tones()
train, test = data.train, data.test
for name, array in train.items():
    print(name, array.shape, array.dtype)

# %% [markdown]
# ## The model
#
# Name the inputs and say of which kind each is. The encoder makes of the picture 16
# patches of 2 x 2 pixels, of the sound 8 pieces of 8 samples, of the label one vector;
# brings them to the same number of channels; and reads all 25 into 32 latents. The
# decoder is asked for pixels one by one, for the sound piece by piece, and for the label.

# %%
keras.utils.set_random_seed(0)
Spec = kp.layers.AttentionSpec
encoder = kp.models.MultimodalEncoder(
    {
        "audio": kp.models.AudioModality(samples=64, patch_size=8, num_bands=4),
        "image": kp.models.ImageModality(
            8, 8, channels=1, patch_size=2, num_bands=4, max_resolution=(8, 8)
        ),
        "label": kp.models.LabelModality(10, query_channels=62),
    },
    num_latents=32,
    latent_channels=64,
    cross_attention=Spec(num_heads=8, qk_channels=64),
    self_attention=Spec(num_heads=4),
    layers_per_block=1,
    init_scale=0.1,
)
model = kp.models.MultimodalAutoencoder(
    encoder,
    cross_attention=Spec(num_heads=8, widening_factor=4),
    query_residual=True,
    output_channels=64,
    init_scale=0.1,
)
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## Train at some points
#
# A video has a million pixels: to decode all of them in each step would be too much. The
# model is asked for some of them, drawn anew for each example; here for half of them.
#
# In half of the examples the label is masked, and likewise the sound, and in some the
# picture. They are asked for all the same.

# %%
batch_size, epochs = 32, (1 if FAST else 60)
batches = kp.data.autoencoding_batches(
    train,
    model,
    batch_size,
    seed=0,
    num_points={"audio": 4, "image": 32},
    mask_rates={"audio": 0.5, "image": 0.1, "label": 0.5},
)
inputs, targets = batches[0]
for kind, arrays in (("inputs", inputs), ("targets", targets)):
    print(kind, {name: array.shape for name, array in arrays.items()})

# %% [markdown]
# The paper adds up the losses with weights that suit videos: 1 for the sound, 0.03 for
# the pictures, 0.0001 for the label. Our pictures are small, and we want the label too.

# %%
steps = len(train["label"]) // batch_size
losses = kp.training.autoencoding_losses(model, {"image": 1.0, "label": 0.1})
losses["loss"]["image"] = "mse"  # by which it is judged
schedule = kp.training.warmup_cosine(3e-3, epochs * steps, epochs * steps // 60)
model.compile(keras.optimizers.AdamW(schedule), **losses)
model.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=2)

# %% [markdown]
# ## Give everything back
#
# `reconstruct` reads the inputs once, and decodes all points in chunks: however large the
# chunks are, the result is the same. The label is not given here. Peak signal-to-noise
# ratio says how near the pictures come; the mean picture is what a model that read
# nothing could give.

# %%
together = {"audio": test["audio"], "image": test["image"]}
given_back = model.reconstruct(together, batch_size=120, chunk_size=48)
whole = model.reconstruct(together, batch_size=360)
for name in whole:
    assert np.allclose(given_back[name], whole[name], atol=1e-4)


def psnr(images):
    return 10 * np.log10(2**2 / np.mean((images - test["image"]) ** 2))


mean_image = train["image"].mean(axis=0)
print(f"pictures given back: {psnr(whole['image']):.1f} dB")
print(f"the mean picture: {psnr(mean_image):.1f} dB")

# %% [markdown]
# ## What is missing
#
# Leave an input out, give None, or mask it: it is the same. The model tells the label
# from what there is.

# %%
accuracy = {}
for names in (("audio", "image"), ("image",), ("audio",)):
    logits = model.reconstruct({name: test[name] for name in names}, ["label"], 360)
    correct = logits["label"].argmax(axis=-1) == test["label"]
    accuracy[" and ".join(names)] = correct.mean()
    print(f"label from {' and '.join(names)}: {correct.mean():.1%}")

# %% [markdown]
# And from the sound alone it draws a picture, from the picture alone it sings.

# %%
drawn = model.reconstruct({"audio": test["audio"]}, ["image"], 360)["image"]
sung = model.reconstruct({"image": test["image"]}, ["audio"], 360)["audio"]
some = [np.flatnonzero(test["label"] == digit)[0] for digit in (0, 2, 3, 6, 7)]
rows = (
    ("picture", test["image"]),
    ("picture from\npicture and sound", whole["image"]),
    ("picture from\nthe sound alone", drawn),
    ("sound", test["audio"]),
    ("sound from\npicture and sound", whole["audio"]),
    ("sound from\nthe picture alone", sung),
)
figure, axes = plt.subplots(len(rows), len(some), figsize=(6, 7.5), layout="constrained")
for row, (title, arrays) in zip(axes, rows, strict=True):
    row[0].set_ylabel(title, rotation=0, ha="right", va="center")
    for axis, index in zip(row, some, strict=True):
        axis.set(xticks=[], yticks=[])
        if arrays.ndim == 4:
            axis.imshow(arrays[index, ..., 0], cmap="Greys", vmin=-1, vmax=1)
        else:
            axis.plot(arrays[index, :, 0], lw=1)
            axis.set_ylim(-1.3, 1.3)
for axis, index in zip(axes[0], some, strict=True):
    axis.set_title(f"a {test['label'][index]}", fontsize=10)
figure.savefig(OUTPUT / "reconstructions.png", dpi=100)
print("wrote", OUTPUT / "reconstructions.png")
