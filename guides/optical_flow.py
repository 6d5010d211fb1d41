# %% [markdown]
# # Optical flow: where has each pixel gone?
#
# Two frames go in, and out comes a vector for each pixel of the first one: where in the
# second frame is what it shows? A Perceiver reads both frames pixel by pixel into latents,
# and each pixel asks the latents for its vector, without cost volumes or a search from
# coarse to fine (arXiv 2107.14795, section 4.2). This guide makes frames of a photograph,
# trains a small model on them, and judges it on another photograph. It runs on TensorFlow,
# JAX or PyTorch (environment variable `KERAS_BACKEND`).
#
# Expected: an end-point error of about 0.43 pixels on the held-out photograph, where no
# motion at all would give 1.27 (five times as many steps, `moved_photographs.yaml` in
# guides/configs, give 0.34). It is nearly one vector for a whole crop, though the true ones
# differ from place to place. Time: about 15 minutes of processor time.

# %%
import os
import pathlib

import keras
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/optical_flow")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Frames whose flow is known
#
# The flow of real films is hard to measure. So we make it: a crop of a photograph is the
# second frame, and the first one is the same crop, warped smoothly by at most 4 pixels.
# Of the two photographs that come with scikit-learn, one is trained on, and the other is
# held out whole. Pixels are real, the motion is synthetic: all of it is smooth, and nothing
# hides anything else.
#
# In the pictures below the hue is the direction, and stronger colours are longer vectors:
# white is where next to nothing moves.

# %%
SIZE = (32, 32)
data = kp.data.moved_photographs(size=SIZE)
examples = [data.train[i] for i in range(3)]
kp.visualization.plot_flow(
    [(frame1, frame2) for frame1, frame2, _, _ in examples],
    [flow for _, _, flow, _ in examples],
    OUTPUT / "frames.png",
)
print("wrote", OUTPUT / "frames.png")

# %% [markdown]
# A vector says where a pixel of the *first* frame is in the *second* one. So what pixel
# (x, y) of the first frame shows is at (x, y) + flow in the second.
#
# ## A model
#
# An input is what the 3 x 3 pixels around a place are in both frames, and a Fourier
# encoding of the place. The first projection starts with weights that see differences of
# pixels only; brightness says nothing of motion. With `query_residual`, what is at a place
# also reaches its vector directly, beside what the latents answer.

# %%
keras.utils.set_random_seed(0)
encoder = kp.models.OpticalFlowEncoder(
    SIZE,
    patch_channels=32,
    num_bands=8,
    num_latents=32,
    latent_channels=128,
    layers_per_block=2,
    init_scale=0.12,
    cross_attention=kp.layers.AttentionSpec(num_heads=8, qk_channels=64, v_channels=128),
    self_attention=kp.layers.AttentionSpec(num_heads=4),
)
model = kp.models.OpticalFlow(
    encoder,
    kp.layers.AttentionSpec(num_heads=4, qk_channels=64),
    query_residual=True,
    init_scale=0.12,
    rescale_factor=20.0,
)
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## Train
#
# The loss is the end-point error: how far the end of a vector is from where it should be.
# The model gives flow in units of 20 pixels, as the official one does; `flow_scale` makes
# pixels of the loss.

# %%
epochs, steps = (1, 4) if FAST else (12, 100)
scale = model.preprocessor.flow_scale
schedule = kp.training.warmup_cosine(2e-3, epochs * steps, epochs * steps // 12)
held_out = kp.data.flow_batches(data.test, model, batch_size=40)
model.compile(
    keras.optimizers.Muon(
        schedule, weight_decay=1e-4, adam_weight_decay=1e-4, global_clipnorm=1.0
    ),
    kp.training.EndPointError(scale),
    jit_compile=keras.backend.backend() != "torch",
)
history = model.fit(
    kp.data.flow_batches(data.train, model, batch_size=16, seed=0),
    steps_per_epoch=steps,
    epochs=epochs,
    validation_data=held_out.repeat(),
    validation_steps=len(held_out),
    shuffle=False,  # the batches are
    verbose=2,
)

# %% [markdown]
# ## Judge
#
# On the other photograph. What does a model get that says that nothing moves?

# %%
pairs = [(frame1, frame2) for frame1, frame2, _, _ in data.test]
truths = np.stack([flow for _, _, flow, _ in data.test])  # [B, H, W, 2]
flows = np.stack(model.estimate(pairs, batch_size=40, verbose=0))
error = np.linalg.norm(flows - truths, axis=-1).mean()
still = np.linalg.norm(truths, axis=-1).mean()
print(f"end-point error: {error:.2f} pixels, {error / still:.0%} of {still:.2f} at rest")
kp.visualization.plot_flow(pairs[:4], flows[:4], OUTPUT / "held_out.png", truths[:4])
print("wrote", OUTPUT / "held_out.png")

# %% [markdown]
# ## A known translation
#
# Two crops of the held-out photograph, one 3 pixels to the left and 1 up of the other: what
# the first shows is 3 pixels further right in the second, and 1 further down. No warp and
# no interpolation made these.

# %%
photograph = data.test.photograph
y, x, (height, width) = 200, 330, SIZE
frame1 = photograph[y : y + height, x : x + width]
frame2 = photograph[y - 1 : y - 1 + height, x - 3 : x - 3 + width]
flow = model.estimate((frame1, frame2), verbose=0)
right, down = flow.mean(axis=(0, 1))
print(f"moved by 3 to the right and 1 down; estimated {right:.2f} and {down:.2f}")

# %% [markdown]
# ## A film
#
# Frames may be larger than the model's: `estimate` cuts them into overlapping tiles and
# blends their flows. Here a camera pans over the photograph in a circle, so that everything
# moves alike, in each direction in turn. The film has the frames on the left and the
# colours of their flow on the right.

# %%
count, view = (3, (40, 48)) if FAST else (24, (96, 128))
angles = 2 * np.pi * np.arange(count) / count
corners = np.rint([170 - 8 * np.cos(angles), 240 + 8 * np.sin(angles)]).astype(int).T
film = [photograph[y : y + view[0], x : x + view[1]] for y, x in corners]
flows = model.estimate(film, batch_size=16, verbose=0)
kp.visualization.write_flow_video(
    OUTPUT / "film.mp4", zip(film, flows, strict=False), fps=8, max_flow=4
)
print("wrote", OUTPUT / "film.mp4")

# %% [markdown]
# ## Next
#
# - The same from the command line: `keras-perceiver fit optical-flow --config
#   guides/configs/moved_photographs.yaml`, then `keras-perceiver flow runs/optical_flow
#   --video=in.mp4 --output=out.mp4`.
# - Data of films and streets: `kp.data.sintel`, `kp.data.kitti_flow`,
#   `kp.data.flying_chairs`.
# - The official model of 41 million parameters: `kp.presets.load(folder)` of a download of
#   `deepmind/optical-flow-perceiver`.
