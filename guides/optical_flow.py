# %% [markdown]
# # Optical flow: where has each pixel gone?
#
# Two frames go in, and out comes a vector for each pixel of the first one: where what it
# shows is in the second. A Perceiver reads both frames pixel by pixel, without cost
# volumes or coarse-to-fine search, and each pixel asks the latents for its own vector
# (arXiv 2107.14795, section 4.2). This guide makes frames of a photograph, trains a small
# model on them, and judges it on another photograph. It runs on TensorFlow, JAX or PyTorch
# (environment variable `KERAS_BACKEND`).

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
# True flow is hard to measure in the world. So we make it: two photographs come with
# scikit-learn. A crop of one is the second frame; the first frame is the same crop, warped
# smoothly by at most 4 pixels. One photograph is trained on, the other is held out whole.
#
# The motion is synthetic: nothing is hidden by anything else, and all of it is smooth.

# %%
SIZE = (32, 32)
data = kp.data.moved_photographs(size=SIZE)
frame1, frame2, flow, _ = data.train[0]
print(f"frames {frame1.shape}, flow {flow.shape}; at pixel (0, 0): {flow[0, 0]}")
