"""Batches to train a multimodal autoencoder on."""

import numpy as np

from keras_perceiver.data.pipeline import check_batch_size
from keras_perceiver.preprocessing.images import check_finite


def autoencoding_batches(
    arrays, model, batch_size=64, seed=None, num_points=None, mask_rates=None
):
    """Batches of inputs and of themselves as targets, for `fit` and `evaluate`.

    With a seed: endless, in a new order each time through, without the incomplete
    last batch. `autoencoding_batches(...)[k:]` resumes at step k with what an
    uninterrupted run would have seen. Without a seed: each example once, in order.

    Args:
        arrays: a dict of arrays `[n, ...]` by the names of the model's inputs. One that
            is not there is missing for all examples, and not among the targets: `fit` needs
            it if the model gives it back, for Keras' losses skip no output.
        model: a `MultimodalAutoencoder`.
        batch_size: examples a batch.
        seed: of order, points and masks, or None.
        num_points: a dict of numbers by name: at how many points of an image, a video or
            a sound the model is asked, drawn anew for each example. All points of what
            is not in it: a video has very many. Needs a seed.
        mask_rates: a dict of numbers by name: the part of the examples in which an input
            is masked. It is asked for all the same. Needs a seed.

    Returns:
        A `grain.MapDataset` of `(inputs, targets)`, dicts by name.

    Raises:
        ValueError: no arrays, or of different lengths or other shapes than the model's,
            NaN, labels out of range, fewer examples than a batch, numbers out of range,
            or options that need a seed without one: before training starts.

    Example:
    >>> from keras_perceiver import models
    >>> kinds = {"image": models.ImageModality(8, 8, 1), "label": models.LabelModality(10)}
    >>> encoder = models.MultimodalEncoder(kinds, num_latents=4, latent_channels=16)
    >>> arrays = {"image": np.zeros((9, 8, 8, 1)), "label": np.arange(9)}
    >>> inputs, targets = autoencoding_batches(
    ...     arrays, models.MultimodalAutoencoder(encoder), 4, 0, {"image": 5}
    ... )[0]
    >>> targets["image"].shape, targets["label"].shape
    ((4, 5, 1), (4,))
    """
    import grain

    num_points, mask_rates = num_points or {}, mask_rates or {}
    arrays = {name: np.asarray(x) for name, x in arrays.items()}
    kinds = model.encoder.modalities
    count = check_arrays(arrays, kinds)
    _check_options(num_points, mask_rates, arrays, kinds, seed)
    check_batch_size(batch_size, count, "examples", seed)

    # Only what is given back is a target. No model goes to worker processes.
    given_back = set(model.kinds)

    def batch(indices):
        inputs = {name: x[indices] for name, x in arrays.items()}
        return inputs, {name: x for name, x in inputs.items() if name in given_back}

    def sampled(batch, rng):
        inputs, targets = dict(batch[0]), dict(batch[1])
        for name, number in num_points.items():
            points = _draw(kinds[name].num_points, number, batch_size, rng)
            inputs[f"{name}_points"] = points
            answers = kinds[name].by_point(targets[name])  # [B, O, E]
            targets[name] = np.take_along_axis(answers, points[..., None], axis=1)
        for name, rate in mask_rates.items():
            shape = inputs[name].shape[: 1 + len(kinds[name].mask_shape)]
            kept = rng.random((batch_size, *[1] * (len(shape) - 1))) >= rate
            inputs[f"{name}_mask"] = np.broadcast_to(kept, shape).astype("int32")
        return inputs, targets

    dataset = grain.MapDataset.range(count)
    if seed is not None:
        dataset = dataset.seed(seed).shuffle()
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None).map(batch)
    if num_points or mask_rates:
        dataset = dataset.random_map(sampled)
    # After the batches, so that no batch mixes two epochs; each epoch has a new order.
    return dataset if seed is None else dataset.repeat()


def _draw(total, number, rows, rng):
    """For each row `number` different integers below `total`, int32 `[rows, number]`."""
    draws = [rng.choice(total, number, replace=False, shuffle=False) for _ in range(rows)]
    return np.stack(draws).astype("int32")


def check_arrays(arrays, kinds):
    """The number of examples, or a ValueError for arrays that are not of these kinds."""
    lengths = {name: len(x) for name, x in arrays.items() if x.ndim}
    if not arrays or not set(arrays) <= set(kinds) or len(set(lengths.values())) != 1:
        raise ValueError(
            f"`arrays` must be a dict of arrays of one length, named of {sorted(kinds)}. "
            f"Received lengths: {lengths}"
        )
    for name, x in arrays.items():
        kind = kinds[name]
        sizes = zip(kind.shape, x.shape[1:], strict=False)
        if x.ndim != 1 + len(kind.shape) or any(n not in (None, m) for n, m in sizes):
            raise ValueError(
                f"`arrays[{name!r}]` must have shape {('n', *kind.shape)}. "
                f"Received: {x.shape}"
            )
        if kind.dtype != "int32":
            check_finite(name, x)
        elif x.dtype.kind not in "iu" or x.min() < 0 or x.max() >= kind.point_channels:
            raise ValueError(
                f"`arrays[{name!r}]` must hold integers from 0 to "
                f"{kind.point_channels - 1}. Received: dtype={x.dtype}, values from "
                f"{x.min()} to {x.max()}"
            )
    return len(x)


def _check_options(num_points, mask_rates, arrays, kinds, seed):
    if seed is None and (num_points or mask_rates):
        raise ValueError("`num_points` and `mask_rates` need a `seed`. Received: seed=None")
    for name, number in num_points.items():
        kind = kinds[name] if name in arrays else None
        limit = getattr(kind, "grid", None) and kind.num_points
        if not limit or not 1 <= number <= limit:
            raise ValueError(
                "`num_points` must hold numbers of points of images, videos and sounds in "
                f"`arrays`, from 1 to all. Received: {name!r}: {number}, of {limit}"
            )
    for name, rate in mask_rates.items():
        if name not in arrays or not 0 <= rate <= 1:
            raise ValueError(
                "`mask_rates` must hold numbers from 0 to 1 by names of `arrays`. "
                f"Received: {name!r}: {rate}"
            )
