"""Perceiver IO in plain numpy, from the papers: the fourth opinion of the parity tests.

Keys and values are projected, nothing is folded, shared or chunked, in float64.
Weights are looked up by the paths that the Keras model gives them.
"""

import math

import numpy as np

erf = np.vectorize(math.erf)


def classifier_logits(model, images):
    """Logits of an ImageClassifier with the decoder or the average head."""
    weights = {w.path: np.asarray(w.numpy(), "float64") for w in model.weights}
    options = model.encoder.get_layer("encoder")
    x = fourier(images, model.encoder.num_bands)
    latents = encode(x, weights, options)
    if model.head == "average":
        out = latents.mean(axis=1)
    else:
        queries = np.repeat(weights["query/queries"][None], len(images), axis=0)
        out = cross_layer(
            queries,
            latents,
            weights,
            "decoder/cross_attention",
            model.cross_attention.num_heads,
            residual=model.query_residual,
        )[:, 0]
    return dense(out, weights, "logits")


def flow(model, frames):
    """Flow of an OpticalFlow, without its rescaling, of frames `[B, 2, H, W, 3]`."""
    weights = {w.path: np.asarray(w.numpy(), "float64") for w in model.weights}
    patches = dense(neighbourhoods(frames), weights, "patch_projection")
    x = fourier(patches, model.encoder.num_bands)
    out = cross_layer(
        x,
        encode(x, weights, model.encoder.get_layer("encoder")),
        weights,
        "decoder/cross_attention",
        model.cross_attention.num_heads,
        residual=model.query_residual,
    )
    return dense(out, weights, "head").reshape(*patches.shape[:3], 2)


def neighbourhoods(frames):
    """The 3 x 3 pixels around each of `[B, T, H, W, C]`: `[B, H, W, (T h w C)]`."""
    batch, times, height, width, channels = frames.shape
    out = np.zeros((batch, height, width, times, 3, 3, channels))
    for y, x, i, j in np.ndindex(height, width, 3, 3):
        if 0 <= y + i - 1 < height and 0 <= x + j - 1 < width:
            out[:, y, x, :, i, j] = frames[:, :, y + i - 1, x + j - 1]
    return out.reshape(batch, height, width, -1)


def encode(x, weights, encoder, mask=None, prefix="encoder"):
    """Latents of a PerceiverEncoder."""
    latents = np.repeat(weights[f"{prefix}/latents"][None], len(x), axis=0)
    for step in range(encoder.num_blocks):
        if step < encoder.num_cross_attentions:
            later = step and not encoder.share_first_cross_attention
            name = "later_cross_attentions" if later else "first_cross_attention"
            latents = cross_layer(
                latents,
                x,
                weights,
                f"{prefix}/{name}",
                encoder.cross_attention.num_heads,
                mask=mask,
            )
        later = step and not encoder.share_first_block
        name = "later_blocks" if later else "first_block"
        for i in range(encoder.layers_per_block):
            path = f"{prefix}/{name}/layer_{i}"
            normed = norm(latents, weights, f"{path}/norm")
            heads = encoder.self_attention.num_heads
            latents = latents + attention(
                normed, normed, weights, f"{path}/attention", heads
            )
            latents = mlp(latents, weights, path)
    return latents


def cross_layer(queries, x, weights, path, heads, residual=True, mask=None):
    out = attention(
        norm(queries, weights, f"{path}/query_norm"),
        norm(x, weights, f"{path}/context_norm"),
        weights,
        f"{path}/attention",
        heads,
        mask,
    )
    return mlp(queries + out if residual else out, weights, path)


def attention(query, context, weights, path, heads, mask=None):
    q = split(dense(query, weights, f"{path}/query"), heads)
    k = split(dense(context, weights, f"{path}/key"), heads)
    v = split(dense(context, weights, f"{path}/value"), heads)
    out = attend(q, k, v, mask)
    merged = out.transpose(0, 2, 1, 3).reshape(*out.shape[0:1], out.shape[2], -1)
    return dense(merged, weights, f"{path}/output")


def attend(q, k, v, mask=None):
    """`mask` broadcasts to `[B, H, N, M]`, True at keys to see; no key gives zeros."""
    logits = np.einsum("bhnk,bhmk->bhnm", q, k) / np.sqrt(q.shape[-1])
    mask = (
        np.ones(logits.shape, bool) if mask is None else np.broadcast_to(mask, logits.shape)
    )
    weights = np.where(mask, np.exp(logits - logits.max(-1, keepdims=True)), 0)
    total = weights.sum(-1, keepdims=True)
    return np.einsum("bhnm,bhmv->bhnv", weights / np.where(total == 0, 1, total), v)


def mlp(x, weights, path):
    hidden = dense(norm(x, weights, f"{path}/mlp_norm"), weights, f"{path}/mlp_in")
    hidden = 0.5 * hidden * (1 + erf(hidden / math.sqrt(2)))
    return x + dense(hidden, weights, f"{path}/mlp_out")


def norm(x, weights, path):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights[f"{path}/gamma"] + weights[f"{path}/beta"]


def dense(x, weights, path):
    return x @ weights[f"{path}/kernel"] + weights[f"{path}/bias"]


def split(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def fourier(images, num_bands):
    """Images `[B, H, W, C]` with positions, `[B, H*W, C + 2 * (2 * bands + 1)]`."""
    batch, height, width, _ = images.shape
    ys, xs = np.meshgrid(
        np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"
    )
    y_angles = np.pi * ys[..., None] * np.linspace(1, height / 2, num_bands)
    x_angles = np.pi * xs[..., None] * np.linspace(1, width / 2, num_bands)
    features = np.concatenate(
        [
            ys[..., None],
            xs[..., None],
            np.sin(y_angles),
            np.sin(x_angles),
            np.cos(y_angles),
            np.cos(x_angles),
        ],
        axis=-1,
    )
    features = np.repeat(features[None], batch, axis=0)
    return np.concatenate([images, features], axis=-1).reshape(batch, height * width, -1)
