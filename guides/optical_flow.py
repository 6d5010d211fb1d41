# %% [markdown]
# # Optical flow: where has each pixel gone?
#
# Two frames go in, and out comes a vector for each pixel of the first one: where in the
# second frame is what it shows? A Perceiver reads both frames pixel by pixel into latents,
# and each pixel asks the latents for its vector, without cost volumes or a search from
# coarse to fine (arXiv 2107.14795, section 4.2). This guide makes frames of a photograph,
# trains a small model on them, and judges it on another photograph. It runs on TensorFlow,
# JAX or PyTorch (environment variable `KERAS_BACKEND`).

# %%
import os
import pathlib

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
# In the pictures below the hue is the direction, and stronger colours are longer vectors.

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
