"""From records to batches for `model.fit`: deterministic, seeded, resumable."""

import functools

import numpy as np

from keras_perceiver.data.processes import parse_flags, start_worker
from keras_perceiver.preprocessing import (
    ImagePreprocessor,
    PointPreprocessor,
    TextPreprocessor,
)


def batches(source, model, batch_size=64, seed=None, augmentation=None, one_hot=False):
    """Batches of preprocessed records and labels for `fit`, `evaluate` and `predict`.

    With a seed: endless, in a new order each time through, without the incomplete
    last batch. `batches(...)[k:]` resumes at step k with what an uninterrupted run
    would have seen. Give `fit` the number of steps that make an epoch:

        train = batches(data.train, model, batch_size=64, seed=0)
        model.fit(train, steps_per_epoch=len(data.train) // 64, shuffle=False)

    Large images are better passed through `read_ahead(train)`: without it Grain has 500
    batches in memory.

    Without a seed: each record once, in order.

    Args:
        source: a sequence of `(image, label)`, `(text, label)`, `(clip, label)` or
            `(points, label)`, for example `ImageData.train` or `TextData.train`.
        model: a classifier of these; its `preprocessor` makes inputs of them. Texts that
            are longer than its `max_length` are refused unless it truncates.
        batch_size: records a batch.
        seed: of order and augmentation, or None.
        augmentation: an `Augmentation` of images, or another function of a record's
            input and a `numpy.random.Generator` that gives a changed one; or None. It
            needs a seed.
        one_hot: labels as `[B, E]` float32, for `keras.losses.CategoricalCrossentropy`,
            which can smooth them. An augmentation that mixes them needs it.

    Returns:
        A `grain.MapDataset` of `(inputs, labels [B] int32)`, or labels `[B, E]`. Inputs
        are images `[B, H, W, C]` float32, or clips `[B, samples, channels]` float32, or a
        dict of `token_ids` and `padding_mask`, int32 `[B, S]`, or of `points`, float32
        `[B, M, C]`, and `padding_mask`, int32 `[B, M]`. S is always the preprocessor's
        `max_length`, M the size of the source's largest set: with one shape a model is
        compiled once.

    Raises:
        ValueError: an empty source, fewer records than a batch, a record that is no
            image (or no text, or one too long), or labels out of range for the model:
            before training starts.

    Example:
    >>> import keras_perceiver as kp
    >>> encoder = kp.models.ImageEncoder((8, 8, 1), 4, num_latents=2, latent_channels=8)
    >>> model = kp.models.ImageClassifier(encoder, num_classes=10)
    >>> images, labels = batches(kp.data.digits().train, model, seed=0)[0]
    >>> images.shape, labels.shape
    ((64, 8, 8, 1), (64,))
    """
    import grain

    preprocess = checked_preprocessor(model)
    if getattr(augmentation, "crop", 1) < 1:
        config = {**preprocess.get_config(), "crop": None}
        preprocess = ImagePreprocessor.from_config(config)
    _check(source, model, preprocess, seed, augmentation, one_hot)
    check_batch_size(batch_size, len(source), "records", seed)
    if isinstance(preprocess, TextPreprocessor):
        preprocess = functools.partial(preprocess, pad_to=preprocess.max_length)
    elif isinstance(preprocess, PointPreprocessor):
        largest = max(1, *(len(points) for points, _ in source))
        preprocess = functools.partial(preprocess, pad_to=largest)

    num_classes = model.num_classes  # no model goes to worker processes

    def to_inputs(records):
        inputs, labels = zip(*records, strict=True)
        for label in labels:
            _check_label(label, num_classes)
        labels = np.asarray(labels, "int32")
        if one_hot:
            labels = np.eye(num_classes, dtype="float32")[labels]
        return preprocess(list(inputs)), labels

    dataset = grain.MapDataset.source(source)
    if seed is not None:
        dataset = dataset.seed(seed).shuffle()
    if augmentation is not None:
        dataset = dataset.random_map(
            lambda record, rng: (augmentation(record[0], rng), record[1])
        )
    # Inputs are made of whole batches: tokenizers are fast with many texts at once.
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None, batch_fn=list)
    dataset = dataset.map(to_inputs)
    if getattr(augmentation, "mixes", False):
        dataset = dataset.random_map(lambda batch, rng: augmentation.mix(*batch, rng))
    # After the batches, so that no batch mixes two epochs; each epoch has a new order.
    return dataset if seed is None else dataset.repeat()


def read_ahead(dataset, count=8, workers=0):
    """Batches as an iterable that has so many made ahead, in threads or in processes.

    Iterated as it is, a `grain.MapDataset` reads 500 ahead: of images as large as
    ImageNet's, more than fits the memory.

    Threads wait for files together, but one at a time runs what is written in Python. If
    training waits for its input, several `workers` make batches at the same time. They
    are started afresh, which takes seconds at each start of `fit`. A script needs its
    `if __name__ == "__main__":`, and what stands before it each worker runs: imports of
    Keras are better put after it. A notebook needs nothing.

    Args:
        dataset: a `grain.MapDataset` of batches; or a `grain.IterDataset`, for example
            of `masked_stream`.
        count: batches that are made ahead.
        workers: processes that make them; 0 for threads of this one. Batches come in the
            same order. The source must pickle, and `/dev/shm`, through which batches
            pass, must have room for `count` of them. A `grain.IterDataset` cannot be
            divided: it takes one process at most.

    Returns:
        A `grain.IterDataset`.

    Raises:
        ValueError: numbers out of range.
    """
    import grain

    divisible = isinstance(dataset, grain.MapDataset)
    if count < 1 or not 0 <= workers <= (count if divisible else 1):
        raise ValueError(
            "`workers` must lie between 0 and `count`, or 1 for a stream. Received: "
            f"workers={workers}, count={count}, dataset={type(dataset).__name__}"
        )
    if not workers and not divisible:
        return grain.experimental.ThreadPrefetchIterDataset(
            dataset, prefetch_buffer_size=count
        )
    if divisible:
        threads = 0 if workers else count
        dataset = dataset.to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        )
    if not workers:
        return dataset
    parse_flags()
    options = grain.MultiprocessingOptions(workers, count // workers)
    return dataset.mp_prefetch(options, worker_init_fn=start_worker)


def checked_preprocessor(model):
    """The model's preprocessor, or a ValueError if it has none."""
    if model.preprocessor is None:
        raise ValueError(
            "`model` must have a `preprocessor` to make inputs of records. Received: "
            f"{model.name} with None"
        )
    return model.preprocessor


def check_batch_size(batch_size, count, what, seed):
    """Raise a ValueError unless a batch can be had of `count` records."""
    if batch_size < 1 or (seed is not None and batch_size > count):
        raise ValueError(
            f"`batch_size` must lie between 1 and the number of {what}, {count}. "
            f"Received: batch_size={batch_size}"
        )


def _check(source, model, preprocess, seed, augmentation, one_hot):
    if len(source) == 0:
        raise ValueError("`source` must hold at least one record. Received none.")
    if augmentation is not None and seed is None:
        raise ValueError("`augmentation` needs a `seed`. Received: seed=None")
    if getattr(augmentation, "mixes", False) and not one_hot:
        raise ValueError("`augmentation` that mixes labels needs `one_hot=True`.")
    # What is in memory is checked whole, the rest where it is cheap: one record.
    if not isinstance(source[0], (tuple, list)) or len(source[0]) != 2:
        raise ValueError(
            "`source` must hold records (input, label). Received: "
            f"{type(source[0]).__name__}"
        )
    record, label = source[0]
    labels = getattr(source, "labels", None)
    for value in (label,) if labels is None else (np.min(labels), np.max(labels)):
        _check_label(value, model.num_classes)
    texts = getattr(source, "texts", None)
    in_memory = getattr(source, "sets", [record])
    preprocess(in_memory if texts is None else [max(texts, key=len)])


def _check_label(label, num_classes):
    if not 0 <= label < num_classes:
        raise ValueError(
            f"`labels` must lie between 0 and num_classes - 1 = {num_classes - 1}. "
            f"Received: {label}"
        )
