# %% [markdown]
# # Point clouds
#
# A set of points has no grid, no order and no fixed size, and a Perceiver needs none: it
# reads a set, and what it knows of a place are Fourier features of its coordinates. Here
# each handwritten digit is the set of its inked pixels, 16 to 42 points `(x, y, ink)`; a
# scan of a room would be points `(x, y, z, red, green, blue)`.
#
# Expected: 96.7 % of 360 held-out sets, give or take a point; 81 % of them with half of
# their points. The order of the points and the padding change no logit by more than 1e-5.
# Time: 50 s of processor time on one core (TensorFlow).
# `tests/guides/test_point_clouds.py` holds these.

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/point_clouds")
OUTPUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The data
#
# A record is an array of any number of points, coordinates first and from -1 to 1, and a
# label. Data of your own become a `kp.data.PointSource(sets, labels)`.

# %%
data = kp.data.digit_points()
points, label = data.test[0]
print(f"a {data.labels[label]} of {len(points)} points, the first is {points[0]}")

# %% [markdown]
# ## The model
#
# `max_resolution` has an entry for each axis of the coordinates: how many places from -1
# to 1 are to be told apart. Every other channel of a point is content: here the ink.

# %%
keras.utils.set_random_seed(0)
encoder = kp.models.PointEncoder(
    max_resolution=(8, 8),
    content_channels=1,
    num_bands=4,
    num_latents=16,
    latent_channels=64,
    cross_attention=kp.layers.AttentionSpec(num_heads=4, qk_channels=64),
    self_attention=kp.layers.AttentionSpec(num_heads=4),
    num_blocks=2,
    layers_per_block=1,
    init_scale=0.1,
)
model = kp.models.PointClassifier(encoder, num_classes=10, head="average", init_scale=0.1)
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## Train
#
# `batches` fills all sets up to the size of the largest, with a mask that tells points
# from padding, so that the model is compiled once. Nothing fixes the number of points:
# each time a digit comes, up to half of its points are left out, at random.


# %%
def thinned(points, share, rng):
    count = max(1, round(share * len(points)))
    return points[rng.permutation(len(points))[:count]]


def augmentation(points, rng):
    return thinned(points, rng.uniform(0.5, 1), rng)


EPOCHS, BATCH = (1 if FAST else 40), 64
steps = len(data.train) // BATCH
schedule = kp.training.warmup_cosine(3e-3, EPOCHS * steps, EPOCHS * steps // 10)
model.compile(
    keras.optimizers.AdamW(schedule),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
train = kp.data.batches(data.train, model, BATCH, seed=0, augmentation=augmentation)
test = kp.data.batches(data.test, model, batch_size=120)
model.fit(train, steps_per_epoch=steps, epochs=EPOCHS, shuffle=False, verbose=2)
accuracy = model.evaluate(test, steps=len(test), verbose=0)[1]
print(f"held-out accuracy: {accuracy:.1%} of {len(data.test)} sets")

# %% [markdown]
# ## What a set promises
#
# The same points in another order are the same set. Padding is no part of it: not its
# amount, not its content, not even NaN. The logits are equal up to rounding.

# %%
sets = data.test.sets
expected = model.predict(model.preprocessor(sets), verbose=0)
shuffled = model.preprocessor([rng.permutation(points) for points in sets])
padded = model.preprocessor(sets, pad_to=100)
padded["points"][padded["padding_mask"] == 0] = np.nan

changes = {}
for name, inputs in (("another order", shuffled), ("padded to 100, NaN", padded)):
    changes[name] = np.abs(model.predict(inputs, verbose=0) - expected).max()
    print(f"{name}: logits change by at most {changes[name]:.1e}")

# %% [markdown]
# ## Fewer points
#
# How many points does the model need? It was trained with half of them at least.

# %%
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
found = []
for share in SHARES:
    fewer = [thinned(points, share, rng) for points in sets]
    fewer = model.preprocessor(fewer, pad_to=64)  # one size: compiled once
    answers = model.predict(fewer, verbose=0).argmax(axis=-1)
    found.append(np.mean(answers == data.test.labels))
    print(f"{share:.0%} of the points: {found[-1]:.1%}")

# %% [markdown]
# ## Raw sets in, labels out

# %%
KEPT = (1.0, 0.7, 0.4)
examples = [data.test.labels.tolist().index(digit) for digit in range(6)]
figure = plt.figure(figsize=(10, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1))
axes = left.subplots(len(KEPT), len(examples))
for row, share in zip(axes, KEPT, strict=True):
    some = [thinned(sets[i], share, rng) for i in examples]
    for axis, index, points, (best,) in zip(
        row, examples, some, model.classify(some), strict=True
    ):
        x, y, ink = points.T
        axis.scatter(x, y, c=ink, cmap="Greys", vmin=0, s=26, edgecolors="0.6", lw=0.4)
        axis.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[], aspect="equal")
        right_answer = best["label"] == data.labels[data.test.labels[index]]
        axis.set_title(
            f"{best['label']}  ({best['score']:.0%})",
            fontsize=8,
            color="black" if right_answer else "red",
        )
    row[0].set_ylabel(f"{share:.0%} of\nthe points", fontsize=8)
left.suptitle("Six digits, and what the model takes them for (red: wrong)", fontsize=9)
axis = right.subplots()
axis.plot([100 * share for share in SHARES], [100 * x for x in found], "o-")
axis.axhline(10, color="0.7", lw=1)
axis.text(100, 11, "chance", color="0.5", fontsize=8, ha="right")
axis.set(
    xlabel="% of the points kept", ylabel="% of 360 held-out digits right", ylim=(0, 102)
)
axis.grid(alpha=0.3)
figure.savefig(OUTPUT / "points.png", dpi=100)
print("wrote", OUTPUT / "points.png")
