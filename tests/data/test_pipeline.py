"""The pipeline: order, seeds, resuming, augmentation, and what `fit` makes of it."""

import gc
import itertools
import multiprocessing
import os
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import ArraySource, Augmentation, batches

one_backend = pytest.mark.one_backend


@pytest.fixture
def model():
    encoder = kp.models.ImageEncoder(
        (4, 4, 1), num_bands=2, num_latents=2, latent_channels=8, layers_per_block=1
    )
    return kp.models.ImageClassifier(encoder, num_classes=10)


@pytest.fixture
def source():
    """Ten images that tell their label by their brightness."""
    labels = np.arange(10)
    return ArraySource(np.full((10, 4, 4, 1), labels[:, None, None, None] / 10), labels)


def is_traced(x):
    """Whether `x` is a symbol of JAX, which builds the model before training."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return isinstance(x, jax.core.Tracer)


def labels_of(dataset, steps):
    return [dataset[i][1].tolist() for i in range(steps)]


def test_without_a_seed_each_record_once_in_order(model, source):
    dataset = batches(source, model, batch_size=4)
    assert labels_of(dataset, len(dataset)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    images, labels = dataset[0]
    assert images.dtype == np.float32 and labels.dtype == np.int32
    np.testing.assert_allclose(images, model.preprocessor(source.images[:4]))


def test_labels_as_vectors(model, source):
    _, labels = batches(source, model, batch_size=4, one_hot=True)[1]
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.eye(10)[4:8])


def test_every_epoch_has_its_own_order_and_every_record_with_its_label(model, source):
    dataset = batches(source, model, batch_size=5, seed=0)
    epochs = [[*dataset[i][1].tolist(), *dataset[i + 1][1].tolist()] for i in (0, 2, 4)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[0])
    images, labels = dataset[3]
    np.testing.assert_allclose(images[:, 0, 0, 0], (labels / 10 - 0.5) / 0.5, atol=1e-6)


def test_same_seed_same_batches_and_a_resumed_run_sees_the_same(model, source):
    def dataset(seed):
        augmentation = Augmentation(shift=1, rotate=20, zoom=0.1)
        return batches(source, model, 4, seed=seed, augmentation=augmentation)

    first, again, resumed = dataset(3), dataset(3), dataset(3)[5:]
    for step in range(8):
        np.testing.assert_array_equal(first[step][0], again[step][0])
    for step in range(3):
        np.testing.assert_array_equal(first[step + 5][0], resumed[step][0])
    assert labels_of(first, 4) != labels_of(dataset(4), 4)


def test_augmentation_differs_by_epoch(model, source):
    one = ArraySource(np.tile(np.eye(4)[None, ..., None], (2, 1, 1, 1)), np.zeros(2, int))
    dataset = batches(one, model, 2, seed=0, augmentation=Augmentation(rotate=30))
    assert np.abs(dataset[0][0] - dataset[1][0]).max() > 0.1


def test_fit_sees_a_new_order_each_epoch_and_all_held_out_records_once(model, source):
    """On every backend the sequence of the pipeline, none lost between epochs."""
    seen = []

    expected = labels_of(batches(source, model, 5, seed=0), 6)

    class Record(keras.losses.Loss):
        def call(self, y_true, y_pred):
            if not is_traced(y_true):
                seen.append(keras.ops.convert_to_numpy(y_true).ravel().astype(int).tolist())
            return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, True)

    model.compile("sgd", Record(), run_eagerly=True)
    model.fit(
        batches(source, model, 5, seed=0),
        steps_per_epoch=2,
        epochs=3,
        shuffle=False,
        verbose=0,
        validation_data=batches(source, model, 5).repeat(),
        validation_steps=2,
    )
    # TensorFlow traces with the first batch once more, before training.
    seen = seen[len(seen) - 12 :]
    held_out = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert seen == [
        *expected[0:2], *held_out, *expected[2:4], *held_out, *expected[4:6], *held_out
    ]  # fmt: skip


def flat(dataset, steps):
    return [np.asarray(x) for batch in itertools.islice(dataset, steps) for x in batch]


@one_backend
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_read_ahead_are_those_of_the_dataset(model, source, workers):
    def where(batch):
        return *batch, os.getpid(), "keras" in sys.modules

    dataset = batches(source, model, 4, seed=0, augmentation=Augmentation(shift=1))
    expected = flat(dataset, 8)
    iterator = iter(kp.data.read_ahead(dataset.map(where), count=4, workers=workers))
    found = [next(iterator) for _ in range(8)]
    received = [x for images, labels, *_ in found for x in (images, labels)]
    for one, other in zip(expected, received, strict=True):
        np.testing.assert_array_equal(one, other)
    processes = {pid for *_, pid, _ in found}
    assert len(processes) == max(1, workers)
    assert (os.getpid() in processes) == (workers == 0)
    assert {keras_is_there for *_, keras_is_there in found} == {workers == 0}
    iterator.close()
    assert workers == 0 or not any(os.path.exists(f"/proc/{pid}") for pid in processes)


@one_backend
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_is_read_ahead(workers):
    preprocessor = kp.preprocessing.TextPreprocessor(kp.preprocessing.ByteTokenizer(), 8)
    model = types.SimpleNamespace(preprocessor=preprocessor)
    stream = kp.data.masked_stream(["some words"] * 9, model, 2, seed=0)
    expected = [labels for _, labels, _ in itertools.islice(stream, 6)]
    ahead = iter(kp.data.read_ahead(stream, 3, workers))
    for labels in expected:
        np.testing.assert_array_equal(next(ahead)[1], labels)
    ahead.close()


@pytest.mark.slow
def test_a_model_learns_the_same_from_worker_processes(model, source):
    dataset = batches(source, model, 4, seed=0, augmentation=Augmentation(shift=1))
    start, losses = model.get_weights(), []
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for workers in (0, 1):
        model.set_weights(start)
        train = kp.data.read_ahead(dataset, 2, workers)
        fit = {"steps_per_epoch": 2, "epochs": 2, "shuffle": False, "verbose": 0}
        losses.append(model.fit(train, **fit).history["loss"])
    assert losses[0] == losses[1]
    gc.collect()
    assert not multiprocessing.active_children()


# As in a notebook, where there is no file to import again, and no guard.
KILLED = """
import os
import grain, numpy as np
import keras_perceiver as kp
dataset = grain.MapDataset.range(100).map(lambda i: np.full(9, os.getpid())).repeat()
print(next(iter(kp.data.read_ahead(dataset, workers=1)))[0], flush=True)
os.kill(os.getpid(), 9)
"""


@one_backend
def test_workers_end_with_a_process_that_is_killed():
    process = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True
    )
    assert process.returncode == -9
    worker = int(process.stdout)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{worker}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@one_backend
@pytest.mark.parametrize(("count", "workers"), [(0, 0), (8, -1), (2, 3)])
def test_read_ahead_refuses(model, source, count, workers):
    message = f"`workers` must lie .* workers={workers}, count={count}"
    with pytest.raises(ValueError, match=message):
        kp.data.read_ahead(batches(source, model, 4), count, workers)


@one_backend
def test_a_stream_is_not_divided_among_workers(model, source):
    stream = batches(source, model, 4).to_iter_dataset()
    with pytest.raises(ValueError, match="1 for a stream. Received: workers=2"):
        kp.data.read_ahead(stream, workers=2)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([], {}, "`source` must hold at least one record. Received none"),
        (
            [(np.zeros((4, 4, 1)), 10)],
            {},
            "`labels` must lie between 0 and .* 9. Received: 10",
        ),
        ([(np.zeros((4, 4, 2)), 0)], {}, r"`images` must have 1 channels.*\(4, 4, 2\)"),
        ([(np.zeros(16), 0)], {}, r"`images` must be of shape .*Received: shape=\(16,\)"),
        ([(np.full((4, 4, 1), np.nan), 0)], {}, "`images` must be finite. Received nan"),
        ([(np.zeros((4, 4, 1)), 0)], {"batch_size": 2, "seed": 0}, "`batch_size` .* =2|2$"),
        ([(np.zeros((4, 4, 1)), 0)], {"batch_size": 0}, "`batch_size` must lie between 1"),
        (
            [(np.zeros((4, 4, 1)), 0)],
            {"augmentation": Augmentation(shift=1)},
            "`augmentation` needs a `seed`",
        ),
        (
            [(np.zeros((4, 4, 1)), 0)],
            {"augmentation": Augmentation(mixup=0.2), "seed": 0, "batch_size": 1},
            "mixes labels needs `one_hot=True`",
        ),
    ],
)
def test_bad_records_are_refused_before_training(model, source, options, message):
    with pytest.raises(ValueError, match=message):
        batches(source, model, **options)


def test_labels_in_memory_are_checked_whole(model):
    labels = np.asarray([0, 1, 11])
    with pytest.raises(ValueError, match=r"num_classes - 1 = 9\. Received: 11"):
        batches(ArraySource(np.zeros((3, 4, 4, 1)), labels), model, 1)
