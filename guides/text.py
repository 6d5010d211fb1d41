# %% [markdown]
# # Text: pretrain, fill masks, transfer
#
# A masked language model learns from text alone: some of its bytes are hidden, and it says
# what stood there. What its encoder learns helps with other tasks: here, to tell code from
# prose. The text is CPython's own documentation, which comes with every Python; nothing is
# downloaded. It runs on TensorFlow, JAX or PyTorch (environment variable `KERAS_BACKEND`).
#
# Expected: about 2.0 nats a hidden byte on held-out topics, where frequencies alone give
# 3.3; and a frozen encoder that tells code from prose 96 % of the time, an untrained one
# 91 %. A small corpus (300,000 bytes) and a small model: words, not understanding. Time: 8
# minutes of processor time on JAX.

# %%
import os
import pathlib

import keras
import numpy as np

import keras_perceiver as kp

FAST = os.environ.get("KERAS_PERCEIVER_FAST") == "1"  # only to see that it runs
OUTPUT = pathlib.Path("runs/text")

# %% [markdown]
# ## A corpus
#
# `kp.data` has other sources: text files, tables, Wikipedia, WikiText-103 and more. Whole
# topics are held out, and nothing in them is in the others.

# %%
corpus = kp.data.topics()
print(len(corpus.train), "topics to train on,", len(corpus.test), "held out")
print(corpus.test[0][:200])

# %% [markdown]
# ## A model
#
# Its tokens are bytes: 256, and six special ones. 64 latents read the bytes, and one query
# per position asks them what stands there.

# %%
keras.utils.set_random_seed(0)
spec = kp.layers.AttentionSpec(num_heads=8, qk_channels=128)
encoder = kp.models.TextEncoder(
    max_length=64,
    input_channels=128,
    num_latents=64,
    latent_channels=128,
    cross_attention=spec,
    self_attention=spec,
    layers_per_block=2,
    init_scale=0.1,
)
mlm = kp.models.MaskedLM(encoder, cross_attention=spec, query_residual=True, init_scale=0.1)
print(f"{mlm.count_params():,} parameters")

# %% [markdown]
# ## Pretrain
#
# Each time through, other bytes are hidden. A small Perceiver first has to learn which
# position is which: `unmasked_weight` lets it repeat the bytes it sees, without which it
# would need many more steps.

# %%
tokenizer = mlm.preprocessor.tokenizer
train, test = (kp.data.tokens(part, tokenizer) for part in (corpus.train, corpus.test))
masking = kp.preprocessing.Masking(whole_words=False)
steps, warmup = (20, 1) if FAST else (4000, 100)
mlm.compile(
    keras.optimizers.AdamW(kp.training.warmup_cosine(2e-3, steps, warmup)),
    kp.training.TokenCrossentropy(),
)
mlm.fit(
    kp.data.masked_batches(
        train,
        mlm,
        batch_size=16,
        seed=0,
        masking=masking,
        random_shift=True,
        unmasked_weight=1.0,
    ),
    steps_per_epoch=steps // 4,
    epochs=4,
    shuffle=False,  # the batches are
    verbose=2,
)

# %% [markdown]
# How good is it, in nats per hidden byte, on topics it has never seen? A model that knows
# only how frequent each byte is would get the second number.

# %%
held_out = kp.data.masked_batches(test, mlm, batch_size=16, masking=masking)
count = 4 if FAST else len(held_out)
batches = [held_out[i] for i in range(count)]
loss = mlm.evaluate(held_out, steps=count, verbose=0)
frequencies = kp.training.unigram_entropy(train, batches, encoder.vocab_size)
print(f"held-out loss: {loss:.2f} nats a byte; frequencies alone: {frequencies:.2f}")

# %% [markdown]
# ## Fill masks
#
# One `[MASK]` for each byte that is missing.

# %%
for text in (
    "the val[MASK]e of the expre[MASK]sion",
    "a list of argu[MASK]ents is give[MASK]",
    "raises an exce[MASK]tion if the na[MASK]e is not found",
):
    best, second = mlm.fill_mask(text, top_k=2)[0]
    print(f"{best['text']!r} ({best['score']:.0%}), or {second['tokens']}")

# %% [markdown]
# ## Transfer
#
# The encoder moves into a classifier as it is: no copying. First only the new head learns.
# For comparison, the same head on an encoder that has learnt nothing.

# %%
passages = kp.data.topic_passages(max_bytes=64)
print(passages.labels, len(passages.train), "to train on,", len(passages.test), "held out")


def accuracy_with(encoder):
    """Held-out accuracy of a head trained on the frozen `encoder`."""
    encoder.trainable = False
    preprocessor = kp.preprocessing.TextPreprocessor(
        tokenizer,
        encoder.max_length,
        add_special_tokens=False,
        truncate=True,
        labels=passages.labels,
    )
    model = kp.models.TextClassifier(
        encoder, num_classes=2, init_scale=0.1, preprocessor=preprocessor
    )
    epochs, batch_size = (1 if FAST else 8), 32
    model.compile(
        keras.optimizers.AdamW(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        kp.data.batches(passages.train, model, batch_size, seed=0),
        steps_per_epoch=len(passages.train) // batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
    )
    held_out = kp.data.batches(passages.test, model, batch_size)
    _, accuracy = model.evaluate(held_out, steps=len(held_out), verbose=0)
    return model, accuracy


random_encoder = kp.models.TextEncoder.from_config(
    encoder.get_config() | {"name": "random"}
)
_, untrained = accuracy_with(random_encoder)
classifier, pretrained = accuracy_with(encoder)
print(f"held-out accuracy: pretrained {pretrained:.1%}, random encoder {untrained:.1%}")

# %%
print(
    classifier.classify(["for x in range(10): print(x)", "The loop ends when all is done."])
)

# %% [markdown]
# ## Save
#
# Tokenizer and labels are part of a preset. Then train on, with everything free:
# `encoder.trainable = True`, a tenth of the learning rate, and `compile` again.

# %%
kp.presets.save(classifier, OUTPUT / "classifier", source="guides/text.py")
again = kp.presets.load(OUTPUT / "classifier")
text = ["x = 1"]
assert np.allclose(
    again.predict(again.preprocessor(text), verbose=0),
    classifier.predict(classifier.preprocessor(text), verbose=0),
    atol=1e-5,
)

# %% [markdown]
# ## Next
#
# - The same from the command line: `keras-perceiver fit masked-lm --help`, with
#   `guides/configs/topics_masked_lm.yaml` and `guides/configs/topics_classifier.yaml`.
# - The official model: `kp.presets.load` of a download of `deepmind/language-perceiver`.
