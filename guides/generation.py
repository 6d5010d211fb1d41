# %% [markdown]
# # Perceiver AR: train, generate, and what a cache may forget
#
# A causal language model says what comes next. A Perceiver AR reads a long context once,
# by one cross-attention, into the latents of the last positions, and all further work is
# on these. This guide trains a small one on CPython's own documentation, which comes with
# every Python, lets it write, and looks at its three ways to keep what it has read. It
# runs on TensorFlow, JAX or PyTorch (environment variable `KERAS_BACKEND`).
#
# Expected: about 1.6 nats a byte on held-out topics, where frequencies alone give 3.3.
# That is 0.5 million weights and 300,000 bytes of text: words and half-words, not
# understanding. Time: about 5 minutes of processor time on JAX.

# %%
import os
import pathlib
import time

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/generation")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## A model
#
# It reads 256 bytes, and the last 64 of them are latents: these are predicted, each from
# all that stands before it. `prefix_dropout` hides a part of the other 192 while it
# learns.

# %%
keras.utils.set_random_seed(0)
model = kp.models.CausalLM(
    max_length=256,
    channels=128,
    max_latents=64,
    num_layers=1,
    attention=kp.layers.AttentionSpec(num_heads=4, widening_factor=4),
    prefix_dropout=0.25,
    output_norm=True,
)
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## Train
#
# Whole topics are held out. Each time through, rows begin elsewhere.

# %%
corpus = kp.data.topics()
tokenizer = model.preprocessor.tokenizer
train, test = (kp.data.tokens(part, tokenizer) for part in (corpus.train, corpus.test))
steps, warmup = (8, 1) if FAST else (1200, 100)
model.compile(
    keras.optimizers.AdamW(kp.training.warmup_cosine(3e-3, steps, warmup)),
    kp.training.TokenCrossentropy(),
    jit_compile=keras.backend.backend() != "torch",  # halves the time on TensorFlow
)
model.fit(
    kp.data.causal_batches(train, model, batch_size=16, seed=0, random_shift=True),
    steps_per_epoch=steps // 4,
    epochs=4,
    shuffle=False,  # the batches are
    verbose=2,
)

# %% [markdown]
# How good is it, in nats a byte, on topics it has never seen? A model that knows only how
# frequent each byte is would get the second number.

# %%
held_out = kp.data.causal_batches(test, model, batch_size=16)
count = 2 if FAST else len(held_out)
loss = model.evaluate(held_out, steps=count, verbose=0)
batches = [held_out[i] for i in range(count)]
frequencies = kp.training.unigram_entropy(train, batches, model.vocab_size)
print(f"held-out loss: {loss:.2f} nats a byte; frequencies alone: {frequencies:.2f}")

# %% [markdown]
# ## Generate
#
# Prompts are strings. `top_k` draws from the likeliest bytes; the same seed draws the
# same ones.

# %%
length = 16 if FAST else 200
for prompt in ("The with statement ", "An exception is raised "):
    print(model.generate(prompt, max_new_tokens=length, seed=1), end="\n\n")

# %% [markdown]
# Or as it comes:

# %%
for piece in model.stream("Return ", max_new_tokens=length // 2, seed=2):
    print(piece, end="", flush=True)
print()

# %% [markdown]
# ## What a cache may forget
#
# Generation begins with one latent, and each new byte is one more. After 63 bytes all 64
# are in use, and the oldest has to become a part of the prefix. Three policies:
#
# - `use_cache=False` reads the window anew for each byte. Right by definition, and slow.
# - `use_cache=True` lets the caches roll: the oldest latent is dropped. Fast; but younger
#   latents have read it, and a model that saw the window for the first time would not know
#   what they know. From here on the numbers differ from recomputation.
# - `use_cache="exact"` rolls the same caches, but whenever the latents are full it makes
#   the oldest quarter of them prefix and reads the window anew. Every byte is what the
#   model says of the window with so many latents: nothing is left of dropped ones.
#
# Here is the same greedy continuation by each.

# %%
prompt = corpus.test[1][:150]
policies = {"recomputed": False, "rolling": True, "exact": "exact"}
ids, seconds = {}, {}
encoded = tokenizer.encode(prompt)
for name, policy in policies.items():
    options = {"max_new_tokens": length, "sampler": "greedy", "use_cache": policy}
    model.generate(encoded, **options)  # compiles
    start = time.perf_counter()
    ids[name] = model.generate(encoded, strip_prompt=True, **options)
    seconds[name] = time.perf_counter() - start

print(prompt)
for name, new in ids.items():
    print(f"\n--- {name}, {1000 * seconds[name] / length:.1f} ms a byte\n")
    print(tokenizer.decode(new))

# %% [markdown]
# Where do they part? The first bytes are the same by all three, as long as no latent has
# been dropped. The picture shows how surprised the model is, asked with the whole window,
# by what was written: at first three equal lines.


# %%
def log_probabilities(new):
    """Of each byte, by the model that reads everything before it with all its latents."""
    everything = np.concatenate([encoded, new])
    scores = []
    for end in range(len(encoded), len(everything)):
        window = everything[max(0, end - model.max_length) : end][None].astype("int32")
        padding = ((0, 0), (model.max_length - window.shape[1], 0))  # one size for all
        inputs = {
            "token_ids": np.pad(window, padding),
            "padding_mask": np.pad(np.ones_like(window), padding),
        }
        logits = model.predict_on_batch(inputs)[0, -1]
        scores.append(logits[everything[end]] - np.logaddexp.reduce(logits))
    return np.asarray(scores)


figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
bytes_so_far = np.arange(1, length + 1)
for (name, new), style in zip(ids.items(), ("-", "-", "--"), strict=True):
    surprise = -np.cumsum(log_probabilities(new)) / bytes_so_far
    shown = slice(length // 8, None)  # the first bytes of all are the same surprise
    axes.plot(bytes_so_far[shown], surprise[shown], style, label=name)
axes.axvline(model.max_latents, color="0.6", linestyle=":", label="latents full")
axes.set_xlabel("bytes generated")
axes.set_ylabel("mean surprise so far (nats a byte)")
axes.set_title("What three cache policies write, judged by the model itself")
axes.legend()
figure.savefig(OUTPUT / "policies.png", dpi=120)

for name in ("rolling", "exact"):
    same = ids[name] == ids["recomputed"]
    first = length if same.all() else int(np.argmin(same))
    print(f"{name}: the first {first} of {length} bytes are those of recomputation")

# %% [markdown]
# ## Save
#
# The tokenizer is part of a preset.

# %%
kp.presets.save(model, OUTPUT / "preset", source="guides/generation.py")
again = kp.presets.load(OUTPUT / "preset")
options = {"max_new_tokens": 8, "sampler": "greedy"}
assert again.generate(prompt, **options) == model.generate(prompt, **options)

# %% [markdown]
# ## Next
#
# - `kp.presets.load("python_documentation")`: seven times as many weights, 35 times as much
#   text. Let it write more bytes than it has latents (256), with `use_cache=True` and
#   with `"exact"`.
# - `guides/copy_task.py`: does a long context really reach the latents?
# - The same from the command line: `keras-perceiver fit causal-lm --help` and
#   `keras-perceiver generate --help`, with `guides/configs/causal_lm_small.yaml`.
# - Music: `SymbolicAudioLM` continues MIDI files (`keras-perceiver fit symbolic-audio`).
