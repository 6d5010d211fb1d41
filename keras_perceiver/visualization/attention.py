"""Where in an image the latents look."""

import keras
import numpy as np


def attention_maps(model, images, batch_size=32):
    """Cross-attention maps before the softmax, as the papers plot them.

    After the softmax a few pixels hold nearly everything and a picture shows little.
    What is returned is the logarithm of the attention weights: the logits minus one
    constant a map.

    Args:
        model: an `ImageClassifier`.
        images: raw images, as `model.classify` takes them.
        batch_size: images per pass.

    Returns:
        Float32 `[B, P, H, N, height, width]`, for P cross-attentions with H heads.

    Raises:
        ValueError: no image, or pixels that the model's preprocessor refuses.

    Example:
    >>> import keras_perceiver as kp
    >>> encoder = kp.models.ImageEncoder((8, 8, 1), 4, num_latents=2, latent_channels=8)
    >>> model = kp.models.ImageClassifier(encoder, num_classes=10)
    >>> attention_maps(model, np.zeros((3, 8, 8, 1))).shape
    (3, 1, 1, 2, 8, 8)

    Reference:
        arXiv 2103.03206, figures 3 and 9.
    """
    inputs = model.preprocessor(images)
    positions = model.encoder.get_layer("positions")
    encoder = model.encoder.get_layer("encoder")
    maps = []
    for start in range(0, len(inputs), batch_size):
        x = positions(inputs[start : start + batch_size])
        _, weights = encoder(x, return_attention_scores=True)
        weights = np.stack([keras.ops.convert_to_numpy(w) for w in weights], axis=1)
        # A weight that underflowed has no logarithm: the smallest float32 stands for it.
        maps.append(np.log(np.maximum(weights, np.finfo("float32").tiny)))
    maps = np.concatenate(maps)  # [B, P, H, N, M]
    return maps.reshape(*maps.shape[:-1], *model.encoder.image_shape[:2])


def plot_attention_maps(
    model, images, path, labels=None, cross_attention=-1, head=0, max_latents=8
):
    """Draw images, and beside each what the latents look at, into a PNG file.

    Args:
        model: an `ImageClassifier`.
        images: raw images, as `model.classify` takes them; a row each.
        path: of the file.
        labels: true class numbers, or None.
        cross_attention: which of the P cross-attentions; the last by default.
        head: which of the heads.
        max_latents: columns: the latents whose maps differ most between pixels.

    Returns:
        `path`.
    """
    from matplotlib.figure import Figure

    inputs = model.preprocessor(images)
    maps = attention_maps(model, images)
    maps = maps[:, range(maps.shape[1])[cross_attention], head]  # [B, N, height, width]
    contrast = maps.std(axis=(2, 3)).mean(axis=0)  # [N]
    latents = np.sort(np.argsort(-contrast)[:max_latents])
    predictions = [top[0] for top in model.classify(images)]

    rows, columns = len(inputs), len(latents) + 1
    # The first column is wider than its picture: its titles are words.
    figure = Figure(figsize=(1.3 * columns + 1.6, 1.35 * rows + 1.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        axis = axes[row, 0]
        axis.imshow(_displayable(inputs[row]), cmap="gray_r")
        names = model.preprocessor.labels
        read = predictions[row]
        title = f"read as {read['label']} ({read['score']:.0%})"
        if labels is not None:
            title = f"true {names[labels[row]] if names else labels[row]}, {title}"
        axis.set_title(title, fontsize=8)
        # One scale for a row, so that its maps compare.
        low, high = maps[row, latents].min(), maps[row, latents].max()
        for column, latent in enumerate(latents, start=1):
            picture = axes[row, column].imshow(
                maps[row, latent], cmap="viridis", vmin=low, vmax=high
            )
            if row == 0:
                axes[row, column].set_title(f"latent {latent}", fontsize=8)
        figure.colorbar(picture, ax=axes[row, 1:], pad=0.01, aspect=12).ax.tick_params(
            labelsize=7
        )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    which = range(model.encoder.get_layer("encoder").num_cross_attentions)[cross_attention]
    figure.suptitle(
        "Where the latents look: cross-attention to the pixels, log of the weight\n"
        f"(bright = much attention; cross-attention {which + 1}, head {head + 1}; "
        "one colour scale per row)",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)
    return path


def _displayable(pixels):
    """`[H, W, C]` of any range to `[H, W]` or `[H, W, 3]` in [0, 1]."""
    pixels = pixels - pixels.min()
    pixels = pixels / max(pixels.max(), np.finfo("float32").tiny)
    return pixels if pixels.shape[-1] == 3 else pixels[..., 0]
