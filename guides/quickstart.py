# %% [markdown]
# # Quickstart
#
# From a trained model that comes with the package to one of your own, saved, loaded and
# exported: on 1797 real handwritten digits that come with scikit-learn. Everything runs
# offline, on TensorFlow, JAX or PyTorch (environment variable `KERAS_BACKEND`).
#
# Expected: 96.4 % of 360 held-out digits for the model trained here, give or take a point.
# Time: 42 s of processor time on two cores (TensorFlow).

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/quickstart")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Use a trained model
#
# A preset is a model with weights and everything between raw data and answers.
# `kp.presets.list()` has the names.

# %%
digits = kp.data.digits()  # 1437 to train on, 360 held out
images, labels = digits.test.images, digits.test.labels

trained = kp.presets.load("digits")
for answers, label in zip(trained.classify(images[:5], top_k=2), labels, strict=False):
    print(f"a {label}, read as", *(f"{a['label']} ({a['score']:.1%})" for a in answers))

# %% [markdown]
# It takes raw images: paths, PIL images or arrays of any size. What it answers has names
# and scores, the likeliest first.
#
# Where does it look? Each latent of a Perceiver attends to the pixels; bright is much
# attention. The picture shows the logarithm of the weights, as the paper does.

# %%
kp.visualization.plot_attention_maps(
    trained, images[:3], OUTPUT / "attention.png", labels=labels[:3]
)
print("wrote", OUTPUT / "attention.png")

# %% [markdown]
# ## Train your own
#
# An encoder turns an image of any size into a fixed number of latents: here 16 vectors
# of 64 numbers. It attends to single pixels, without patches or convolutions; each comes
# with Fourier features of its position. A classifier puts a head on it.

# %%
keras.utils.set_random_seed(0)
encoder = kp.models.ImageEncoder(
    image_shape=(8, 8, 1),
    num_bands=4,
    num_latents=16,
    latent_channels=64,
    cross_attention=kp.layers.AttentionSpec(num_heads=4, qk_channels=64),
    self_attention=kp.layers.AttentionSpec(num_heads=4),
    num_blocks=2,
    layers_per_block=1,
    init_scale=0.1,
)
model = kp.models.ImageClassifier(encoder, num_classes=10, init_scale=0.1)
model.summary()

# %% [markdown]
# Keras does the rest. `batches` normalises the images as the model wants them, and
# shuffles them anew for each epoch; the same seed gives the same run.

# %%
epochs, batch_size = (1 if FAST else 20), 32
steps = len(digits.train) // batch_size  # an epoch
schedule = kp.training.warmup_cosine(3e-3, epochs * steps, warmup_steps=steps // 2)
model.compile(
    keras.optimizers.AdamW(schedule),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = model.fit(
    kp.data.batches(digits.train, model, batch_size, seed=0),
    steps_per_epoch=steps,
    epochs=epochs,
    shuffle=False,  # the batches are
    verbose=2,
)
held_out = kp.data.batches(digits.test, model, batch_size)
loss, accuracy = model.evaluate(held_out, steps=len(held_out), verbose=0)
print(f"held-out accuracy: {accuracy:.1%} of {len(digits.test)} digits")

# %% [markdown]
# Which ones does it get wrong?

# %%
read = [answers[0]["label"] for answers in model.classify(images)]
wrong = [i for i, answer in enumerate(read) if answer != str(labels[i])][:8]
figure, axes = plt.subplots(1, 8, figsize=(10, 1.8), layout="constrained")
for axis in axes:
    axis.axis("off")
for axis, i in zip(axes, wrong, strict=False):
    axis.imshow(images[i, ..., 0], cmap="gray_r")
    axis.set_title(f"a {labels[i]},\nread as {read[i]}", fontsize=9)
figure.savefig(OUTPUT / "mistakes.png", dpi=100)

# %% [markdown]
# ## Save and load
#
# A preset is a folder of plain files: `config.json`, `model.safetensors`,
# `preprocessor.json`, `metadata.json`. Loading one runs no code from it, and it loads on
# every backend. (Keras' own `model.save("model.keras")` works too.)

# %%
kp.presets.save(model, OUTPUT / "preset", source="guides/quickstart.py")
again = kp.presets.load(OUTPUT / "preset")
x = again.preprocessor(images[:8])
difference = np.abs(again.predict(x, verbose=0) - model.predict(x, verbose=0)).max()
print(sorted(path.name for path in (OUTPUT / "preset").iterdir()))
print(f"largest difference between the logits: {difference:g}")

# %% [markdown]
# ## Export
#
# A SavedModel serves with TensorFlow alone, neither this package nor Keras installed:
# `tf.saved_model.load(path).serve(images)`. It is written from TensorFlow and JAX; under
# PyTorch save the preset, and export that under another backend.

# %%
if keras.backend.backend() == "torch":
    print(
        "KERAS_BACKEND=tensorflow keras-perceiver export", OUTPUT / "preset", "--output=..."
    )
else:
    kp.export.saved_model(model, OUTPUT / "saved_model")
    print("wrote and verified", OUTPUT / "saved_model")

# %% [markdown]
# ## Next
#
# - The same from the command line: `keras-perceiver fit image-classifier --help`.
# - Data that are no images: `guides/compose_your_own_modality.py`.
# - Does a Perceiver care about the order of pixels? `guides/permuted_pixels.py`.
