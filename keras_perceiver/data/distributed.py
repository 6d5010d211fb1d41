"""What each of several processes that train together reads."""


def shard(dataset, index, count):
    """The part of one of several processes in each batch.

    For processes that train together: their parts, one after the other, are the batch
    that a single process would see, so that losses and gradients are the same. On JAX:

        train = kp.data.shard(train, jax.process_index(), jax.process_count())

    Each process makes the whole batch and keeps its part. Where that takes too long, as
    with large images, let it make its part alone:
    `batches(..., batch_size=64 // count)[index::count]` has the same records, changed in
    the same way if they are not mixed, up to the end of an epoch that is no multiple of 64.

    Args:
        dataset: a `grain.MapDataset` or `grain.IterDataset` of batches: tuples and dicts
            of arrays `[B, ...]`. A stream has an argument `shard` of its own, with which
            nothing is read twice.
        index: of the process, from 0.
        count: number of processes.

    Returns:
        A dataset of the same kind, of batches with `B / count` rows.

    Raises:
        ValueError: an index out of range; or, when it is read, a batch that cannot be
            divided.
    """
    check_shard(index, count)
    return dataset if count == 1 else dataset.map(lambda batch: _part(batch, index, count))


def check_shard(index, count):
    """Raise a ValueError unless there is a process `index` of `count`."""
    if not 0 <= index < count:
        raise ValueError(
            "A shard must have an `index` from 0 to `count` - 1. Received: "
            f"index={index}, count={count}"
        )


def _part(batch, index, count):
    if isinstance(batch, dict):
        return {name: _part(x, index, count) for name, x in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_part(x, index, count) for x in batch)
    size, rest = divmod(len(batch), count)
    if rest:
        raise ValueError(
            f"`dataset` must have batches of a multiple of count={count} rows. Received: "
            f"{len(batch)} rows"
        )
    return batch[index * size : (index + 1) * size]
