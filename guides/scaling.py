# %% [markdown]
# # How large a model for how much computing?
#
# A budget of floating-point operations can be spent on a large model that sees few tokens,
# or on a small one that sees many. Too large, and it ends before it has learned; too small,
# and it has no room for what it saw. In between lies a best size, and it grows with the
# budget. Hoffmann et al. (arXiv 2203.15556) measured how for transformers of 70 million
# parameters and more, and krasserm/perceiver-io for Perceiver AR. This guide goes through
# the same steps with Perceivers AR of 2,000 to 150,000 parameters on CPython's own
# documentation: count, train, fit a parabola to each budget, and a power law to the best
# sizes.
#
# Expected: the best size grows from about 5,000 to 24,000 parameters as the budget grows
# from 2e10 to 1.8e11 FLOPs, as `C^0.73` (0.67 to 0.80 if one run is left out), and the
# tokens as `C^0.45`. Hoffmann et al. found 0.5 for both. The two add up to more than 1
# here, because a parameter costs the less the larger the model: 22 FLOPs a token in the
# smallest, 8 in the largest. Time: about 6 minutes of processor time on JAX.
#
# It is an exercise in the method: one seed, one learning rate, three budgets. What it
# finds holds for this text and these sizes, and says nothing about models a thousand times
# larger.

# %%
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/scaling")
OUTPUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Models of one family
#
# 128 bytes, the last 64 of them latents: those are predicted. Width and depth grow.

# %%
LENGTH, LATENTS, BATCH = (32, 16, 4) if FAST else (128, 64, 8)
SIZES = ((8, 1), (12, 1), (16, 1), (24, 1), (32, 1), (48, 1), (64, 2))
if FAST:
    SIZES = SIZES[:4]


def causal_lm(channels, num_layers):
    return kp.models.CausalLM(
        max_length=LENGTH,
        channels=channels,
        max_latents=LATENTS,
        num_layers=num_layers,
        attention=kp.layers.AttentionSpec(num_heads=channels // 8, widening_factor=4),
        prefix_dropout=0.0,
        learned_positions=False,  # rotary ones alone: every weight works on every token
        output_norm=True,
        init_scale=0.05,
    )


# %% [markdown]
# ## FLOPs per token
#
# `kp.models.flops` counts the multiplications and additions of a model's matrix products,
# for one example. The backward pass costs twice as much again, hence the 3. What is trained
# on is the latents: a token's cost is that of an example, shared among them. With `C`
# channels and, for each latent, `r` positions of prefix, this is by hand, for one
# latent: projections and MLP of each layer, the scores over all it could see, the prefix's
# keys and values, and the logits. Looking up an embedding costs nothing (the first version
# of krasserm's study counted `4C` for it, and corrected that later).


# %%
def training_flops(model):
    """Per latent token."""
    return 3 * kp.models.flops(model, length=LENGTH) / LATENTS


def by_hand(model):
    """The same, from the formula."""
    channels, layers = model.channels, model.get_layer("stack").num_layers
    each = (2 * 4 + 2 * 8) * channels**2  # query, key, value, output; MLP of factor 4
    scores = 4 * channels * (LENGTH + layers * LATENTS)
    prefix = (LENGTH - LATENTS) / LATENTS * 4 * channels**2
    logits = 2 * channels * model.vocab_size
    return 3 * ((1 + layers) * each + scores + prefix + logits)


def parameters(model):
    """Without the embedding, whose size is the vocabulary's affair."""
    embedding = model.get_layer("token_embedding").count_params()
    return model.count_params() - embedding


print("| channels | layers | parameters | FLOPs a token | by hand | / parameters |")
print("|---|---|---|---|---|---|")
for size in SIZES:
    model = causal_lm(*size)
    counted, expected, n = training_flops(model), by_hand(model), parameters(model)
    assert counted == expected
    print(f"| {size[0]} | {size[1]} | {n:,} | {counted:,.0f} | {expected:,.0f} |", end="")
    print(f" {counted / n:.1f} |")

# %% [markdown]
# The rule of thumb for transformers is 6 FLOPs a parameter and token. Here it is more: a
# small model spends most on scores and logits, which have no parameters of their own.
#
# ## Train: each budget on several sizes
#
# Every run spends its budget, and has a learning-rate schedule of its own length: a run
# that is stopped halfway is no measure of what half of the budget can do. Some runs read
# the text several times, as is printed; a corpus that is read again is worth less than a
# new one, which pushes what is best towards larger models and fewer tokens.


# %%
BUDGETS = (1e7, 2e7) if FAST else (2e10, 6e10, 1.8e11)
MIN_STEPS, MAX_STEPS = (1, 500) if FAST else (60, 4000)
corpus = kp.data.topics()
tokenizer = causal_lm(*SIZES[0]).preprocessor.tokenizer
train, test = (kp.data.tokens(part, tokenizer) for part in (corpus.train, corpus.test))


def loss_after(size, budget):
    """`(parameters, tokens, held-out loss)` of a run; None if too long or short."""
    keras.utils.set_random_seed(0)
    model = causal_lm(*size)
    steps = round(budget / training_flops(model) / BATCH / LATENTS)
    if not MIN_STEPS <= steps <= MAX_STEPS:
        return None
    model.compile(
        keras.optimizers.AdamW(
            kp.training.warmup_cosine(5e-3, steps, steps // 10, final_fraction=0.1),
            clipnorm=1.0,
        ),
        kp.training.TokenCrossentropy(),
        # On TensorFlow too, where it compiles for long and then saves half of the time.
        jit_compile="auto" if FAST or keras.backend.backend() == "torch" else True,
        run_eagerly=FAST,
    )
    batches = kp.data.causal_batches(train, model, BATCH, seed=0, random_shift=True)
    model.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    held_out = kp.data.causal_batches(test, model, BATCH)
    count = 2 if FAST else min(40, len(held_out))
    loss = model.evaluate(held_out, steps=count, verbose=0)
    return parameters(model), steps * BATCH * LATENTS, float(loss)


runs = {}
for budget in BUDGETS:
    runs[budget] = [run for size in SIZES if (run := loss_after(size, budget))]
    for n, tokens, loss in runs[budget]:
        times = tokens / len(train)
        print(f"{budget:.1e} FLOPs: {n:7,} parameters, {tokens:9,} tokens", end="")
        print(f" (the text {times:.1f} times): {loss:.3f} nats a byte")

# %% [markdown]
# ## A parabola for each budget
#
# Close to the best size, the loss is a parabola of the logarithm of the size. Its lowest
# point is the best size for the budget; the tokens that belong to it are read off the same
# runs.


# %%
def best(points):
    """`(parameters, tokens)` at the lowest point of a parabola, and the parabola itself.

    It is fitted to the best run and its neighbours, two on each side: further away the
    loss is no parabola. The lowest point is kept within these sizes.
    """
    lowest_run = int(np.argmin([loss for _, _, loss in points]))
    points = np.array(points[max(0, lowest_run - 2) : lowest_run + 3])
    n, tokens = np.log(points[:, :2]).T
    losses = points[:, 2]
    parabola = np.polynomial.Polynomial.fit(n, losses, 2)
    grid = np.linspace(n.min(), n.max(), 1001)
    lowest = grid[np.argmin(parabola(grid))]
    return np.exp([lowest, np.interp(lowest, n, tokens)]), parabola


figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
optima = {}
for color, (budget, points) in zip(("C0", "C1", "C2"), runs.items(), strict=False):
    (n, tokens), parabola = best(points)
    optima[budget] = n, tokens
    sizes, _, losses = np.array(points).T
    axes.semilogx(sizes, losses, "o", color=color, label=f"{budget:.1e} FLOPs")
    grid = np.exp(np.linspace(*parabola.domain, 200))
    axes.plot(grid, parabola(np.log(grid)), color=color, alpha=0.6)
    axes.plot(n, parabola(np.log(n)), "*", color=color, markersize=15, markeredgecolor="k")
    inside = 1.01 * sizes.min() < n < 0.99 * sizes.max()
    where = "" if inside else " (at the edge of what was tried: the true one lies beyond)"
    print(f"{budget:.1e} FLOPs: best {n:,.0f} parameters, {tokens:,.0f} tokens{where}")
axes.set_xlabel("parameters, without the embedding")
axes.set_ylabel("held-out loss (nats a byte)")
axes.set_title("The same computing, spent on models of different size\nstars: lowest point")
axes.legend()
figure.savefig(OUTPUT / "isoflop.png", dpi=120)

# %% [markdown]
# ## A power law
#
# A straight line through the best sizes, in logarithms: `N = k C^a`, and `D = k' C^b` for
# the tokens. How sure is that? Each run in turn is left out, and all of it fitted anew.


# %%
def exponents(optima):
    """Slopes and offsets of `log N` and of `log D` over `log C`."""
    budgets = np.log(list(optima))
    sizes, tokens = np.log(np.array(list(optima.values()))).T
    return np.polyfit(budgets, sizes, 1), np.polyfit(budgets, tokens, 1)


without_one = []
for budget, points in runs.items():
    for i in range(len(points)):
        fewer = points[:i] + points[i + 1 :]
        if len(fewer) >= 3:
            without_one.append(exponents(optima | {budget: best(fewer)[0]}))
(a, offset), (b, _) = exponents(optima)
low, high = np.min(without_one, axis=0)[:, 0], np.max(without_one, axis=0)[:, 0]
print(f"N ~ C^{a:.2f}, between {low[0]:.2f} and {high[0]:.2f} if one run is left out")
print(f"D ~ C^{b:.2f}, between {low[1]:.2f} and {high[1]:.2f}")
print("for context: Hoffmann et al. found 0.50 and 0.50 (approach 1), 0.49 and 0.51 (2)")

# %% [markdown]
# What would ten times the largest budget ask for? The line says a number. Three budgets,
# which span a factor of nine, carry no further than that.

# %%
largest = max(BUDGETS)
predicted = np.exp(offset) * (10 * largest) ** a
print(f"extrapolated to {10 * largest:.1e} FLOPs: {predicted:,.0f} parameters")

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
tried = np.array([min(BUDGETS), largest])
beyond = np.array([largest, 10 * largest])
sizes = np.array([n for n, _ in optima.values()])
axes.loglog(list(optima), sizes, "k*", markersize=13, label="best size of each budget")
axes.loglog(tried, np.exp(offset) * tried**a, "C0", label=f"fit: N ~ C^{a:.2f}")
axes.loglog(beyond, np.exp(offset) * beyond**a, "C0--", label="extrapolated, not tried")
middle = np.exp(np.log(sizes).mean() - 0.5 * np.log(list(optima)).mean())
both = np.array([min(BUDGETS), 10 * largest])
axes.loglog(
    both, middle * both**0.5, color="0.6", ls=":", label="slope 0.5 (Hoffmann et al.)"
)
axes.set_xlabel("budget C (FLOPs)")
axes.set_ylabel("best number of parameters N")
axes.set_title("Best size for a budget")
axes.legend()
figure.savefig(OUTPUT / "power_law.png", dpi=120)
print("wrote", OUTPUT / "isoflop.png", "and", OUTPUT / "power_law.png")

# %% [markdown]
# ## Next
#
# - A study that means something takes a corpus that no run reads twice (`kp.data` reads
#   WikiText-103, C4 and others), budgets a thousand times larger, and a learning rate tuned
#   for each size.
# - `guides/generation.py` trains one of these models for longer and lets it write.
