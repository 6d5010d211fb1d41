"""Batches to train an optical flow model on."""

import numpy as np

from keras_perceiver.data.pipeline import check_batch_size, checked_preprocessor
from keras_perceiver.preprocessing.images import check_finite


def flow_batches(source, model, batch_size=8, seed=None):
    """Batches of pairs of frames and their flow for `fit` and `evaluate`.

    Frames that are larger than the model's are cropped. With a seed: endless, in a new
    order each time through, at random places, without the incomplete last batch;
    `flow_batches(...)[k:]` resumes at step k with what an uninterrupted run would have
    seen. Without a seed: the middle of each record once, in order.

    Args:
        source: a sequence of `(frame1, frame2, flow, valid)`, for example
            `FlowData.train`.
        model: an `OpticalFlow`; its `preprocessor` makes inputs of frames.
        batch_size: pairs a batch.
        seed: of order and crops, or None.

    Returns:
        A `grain.MapDataset` of `(frames, flow, sample_weight)`: float32
        `[B, 2, H, W, 3]`; the flow as the model gives it, in pixels divided by the
        preprocessor's `flow_scale`, float32 `[B, H, W, 2]`; and float32 `[B, H, W]`, 1
        where it is known, else 0. `keras_perceiver.training.EndPointError` is the mean
        over what is known.

    Raises:
        ValueError: an empty source, fewer records than a batch, records that are no such
            thing or smaller than the model's frames: where they can be read at once,
            before training starts.

    Example:
    >>> import keras_perceiver as kp
    >>> encoder = kp.models.OpticalFlowEncoder((16, 16), num_latents=2, latent_channels=16)
    >>> model = kp.models.OpticalFlow(encoder)
    >>> data = kp.data.moved_photographs()
    >>> frames, flow, weight = flow_batches(data.train, model, batch_size=3, seed=0)[0]
    >>> frames.shape, flow.shape, weight.shape
    ((3, 2, 16, 16, 3), (3, 16, 16, 2), (3, 16, 16))
    """
    import grain

    preprocess = checked_preprocessor(model)
    size = model.encoder.image_shape
    if len(source) == 0:
        raise ValueError("`source` must hold at least one record. Received none.")
    checked_record(source[0], size)
    check_batch_size(batch_size, len(source), "records", seed)

    def middle(record):
        record = checked_record(record, size)
        room = np.subtract(record[2].shape[:2], size)
        return cropped(record, room // 2, size)

    def anywhere(record, rng):
        record = checked_record(record, size)
        room = np.subtract(record[2].shape[:2], size)
        return cropped(record, rng.integers(room, endpoint=True), size)

    def to_inputs(records):
        frames1, frames2, flow, valid = zip(*records, strict=True)
        inputs = preprocess(list(zip(frames1, frames2, strict=True)))
        weights = np.stack(valid)  # [B, H, W]
        flow = np.stack(flow) / np.float32(preprocess.flow_scale)  # [B, H, W, 2]
        return inputs, flow, weights.astype("float32")

    dataset = grain.MapDataset.source(source)
    if seed is None:
        dataset = dataset.map(middle)
    else:
        dataset = dataset.seed(seed).shuffle().random_map(anywhere)
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None, batch_fn=list)
    dataset = dataset.map(to_inputs)
    # After the batches, so that no batch mixes two epochs; each epoch has a new order.
    return dataset if seed is None else dataset.repeat()


def cropped(record, start, size):
    """The part of a record of `size` at `(row, column)`."""
    (top, left), (height, width) = start, size
    return tuple(x[top : top + height, left : left + width] for x in record)


def checked_record(record, size):
    """`(frame1, frame2, flow, valid)` as arrays, flow 0 where it is not known.

    Raises:
        ValueError: shapes that do not fit together, frames smaller than `size`, or flow
            that is not finite where it is known.
    """
    if not isinstance(record, (tuple, list)) or len(record) != 4:
        raise ValueError(
            "`source` must hold records (frame1, frame2, flow, valid). Received: "
            f"{type(record).__name__}"
        )
    frame1, frame2, flow, valid = record
    area = np.shape(flow)[:2]
    valid = np.ones(area, bool) if valid is None else np.asarray(valid, bool)
    shapes = [np.shape(x) for x in (frame1, frame2, flow, valid)]
    if shapes != [(*area, 3), (*area, 3), (*area, 2), area] or np.less(area, size).any():
        raise ValueError(
            "`source` must hold frames [H, W, 3], flow [H, W, 2] and masks [H, W], at "
            f"least as large as the model's frames, {size}. Received: {shapes}"
        )
    flow = np.where(valid[..., None], flow, 0).astype("float32")
    check_finite("flow", flow)
    return frame1, frame2, flow, valid
