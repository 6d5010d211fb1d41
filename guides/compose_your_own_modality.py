# %% [markdown]
# # Compose your own modality
#
# A Perceiver reads any array of vectors: what an "input" is, is up to you. This guide
# composes the layers of this library into a functional Keras model for data that are no
# image, no text and no sound: **sets of points of varying size**. Each handwritten digit
# becomes the list of its inked pixels, 16 to 42 points `(x, y, ink)`, in any order.
# (There is a ready-made model for points, too: `point_clouds.py`.)
#
# Expected: 95.6 % of 360 held-out sets, give or take a point; the order of the points and
# the amount of padding change nothing. Time: 34 s of processor time on one core
# (TensorFlow).

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/compose_your_own_modality")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# Sets of different sizes go into one array, filled up with padding, and a `padding_mask`
# says which points are real: 1 at real points. Give masks as integers (TensorFlow's
# `MirroredStrategy` does not take bool inputs).

# %%
digits = kp.data.digit_points()
fill_up = kp.preprocessing.PointPreprocessor(num_axes=2, content_channels=1)
train, test = fill_up(digits.train.sets, pad_to=64), fill_up(digits.test.sets, pad_to=64)
sizes = train["padding_mask"].sum(axis=1)
print(f"{len(sizes)} sets of {sizes.min()} to {sizes.max()} points")

# %% [markdown]
# ## The model
#
# Positions are not on a grid here, so they are features of the points themselves: the
# coordinates, and sines and cosines of them at four frequencies. Their first channel is
# the content, the ink. Features of your own would do as well: plain `keras.ops` on symbolic
# tensors, no layer needs to be written.

# %%
keras.utils.set_random_seed(0)
points = keras.Input((None, 3), name="points")  # [B, M, 3], any number of points
padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")  # [B, M]

x = kp.layers.CoordinateEncoding(num_bands=4, max_resolution=(8, 8))(
    points[..., :2], content=points[..., 2:], padding_mask=padding_mask
)  # [B, M, 19]

# %% [markdown]
# The encoder reads the points into 16 latents: one cross-attention, then self-attention
# between the latents. The mask keeps the padding out, whatever it holds. The attention
# scores are optional; asking for them never changes the output.

# %%
Spec = kp.layers.AttentionSpec
latents, scores = kp.layers.PerceiverEncoder(
    num_latents=16,
    latent_channels=64,
    cross_attention=Spec(num_heads=4, qk_channels=64),
    self_attention=Spec(num_heads=4),
    num_blocks=2,
    layers_per_block=1,
    init_scale=0.1,
)(x, padding_mask=padding_mask, return_attention_scores=True)  # [B, 16, 64]

# %% [markdown]
# A decoder asks the latents a question for each output that is wanted: one learned query
# for one class here. It could be one query per point, to label the points, or queries
# made from coordinates, to predict what lies between them.

# %%
query = kp.layers.LearnedQueries(1, 64, init_scale=0.1)(latents)  # [B, 1, 64]
answer = kp.layers.PerceiverDecoder(Spec(num_heads=1), init_scale=0.1)(query, latents)
logits = keras.layers.Dense(10)(answer[:, 0])  # [B, 10]

inputs = {"points": points, "padding_mask": padding_mask}
model = keras.Model(inputs, logits)
attention = keras.Model(inputs, scores[0])  # shares all weights with `model`
print(f"{model.count_params():,} parameters")

# %%
epochs, batch_size = (1 if FAST else 25), 32
steps = epochs * -(-len(sizes) // batch_size)
schedule = kp.training.warmup_cosine(3e-3, steps, warmup_steps=steps // 10)
model.compile(
    keras.optimizers.AdamW(schedule),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(train, digits.train.labels, batch_size, epochs, verbose=2)
loss, accuracy = model.evaluate(test, digits.test.labels, verbose=0)
print(f"held-out accuracy: {accuracy:.1%} of {len(digits.test)} sets")

# %% [markdown]
# ## What a set promises
#
# Neither the order of the points nor the amount of padding may change the answer, and
# what stands in the padding may not matter, not even NaN. They do not, up to rounding.

# %%
some = {name: array[:32] for name, array in test.items()}
expected = model.predict(some, verbose=0)

order = np.random.default_rng(0).permutation(64)
shuffled = {name: array[:, order] for name, array in some.items()}

longer = {
    "points": np.full((32, 100, 3), np.nan, "float32"),
    "padding_mask": np.zeros((32, 100), "int32"),
}
for name, array in some.items():
    longer[name][:, :64] = array

for what, variant in (("shuffled", shuffled), ("36 more slots of padding, NaN", longer)):
    change = np.abs(model.predict(variant, verbose=0) - expected).max()
    print(f"{what}: logits change by {change:.1e}")
    assert change < 1e-3

# %% [markdown]
# ## Where does it look?
#
# `[B, H, N, M]`: how much latent `n` attends to point `m` in head `h`. Below, four of the
# latents on three digits, dark is much.

# %%
few = {name: array[:3] for name, array in test.items()}
weights = attention.predict(few, verbose=0).mean(axis=1)  # over the heads: [B, N, M]
chosen = np.argsort(-weights.max(axis=-1).mean(axis=0))[:4]  # the most selective latents
figure, axes = plt.subplots(3, 5, figsize=(8, 5.2), layout="constrained")
for row in range(3):
    real = few["padding_mask"][row] == 1
    px, py, ink = few["points"][row, real].T
    panels = [("ink", ink)] + [(f"latent {n}", weights[row, n, real]) for n in chosen]
    for axis, (title, shade) in zip(axes[row], panels, strict=True):
        axis.scatter(px, py, c=shade, cmap="Greys", vmin=0, s=60, edgecolors="0.7", lw=0.5)
        axis.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[], aspect="equal")
        if row == 0:
            axis.set_title(title)
figure.savefig(OUTPUT / "attention.png", dpi=100)
print("wrote", OUTPUT / "attention.png")

# %% [markdown]
# ## Variations
#
# - *Latents from the data.* In place of the learned array, the latents can start as some
#   of the inputs: `PerceiverEncoder(num_latents=None, latent_channels=19, ...)` called
#   with `latents=kp.ops.spaced_positions(x, 16, padding_mask)`, or `last_positions` for a
#   sequence whose end matters most.
# - *Several modalities.* Bring each to the same number of channels with a `Dense`,
#   add a `LearnedPositions` or a constant of its own to each, and concatenate along the
#   axis of inputs; masks likewise.
# - *Repeated reading.* `num_cross_attentions=2` lets the latents read the points again
#   after they have talked to each other, as in the original Perceiver.
