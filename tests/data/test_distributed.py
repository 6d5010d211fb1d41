"""What each of several processes reads: together what a single one would."""

from types import SimpleNamespace

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data.shards import write_shard
from keras_perceiver.preprocessing import (
    ByteTokenizer,
    FlowPreprocessor,
    ImagePreprocessor,
    Masking,
    MidiPreprocessor,
    TextPreprocessor,
)

pytestmark = pytest.mark.one_backend
TOKENS = np.random.default_rng(0).integers(6, 262, 1000).astype("uint16")
EVENTS = np.random.default_rng(0).integers(0, 389, 1000).astype("uint16")


def text_model(side="right"):
    preprocessor = TextPreprocessor(
        ByteTokenizer(), 16, add_special_tokens=False, padding_side=side
    )
    return SimpleNamespace(preprocessor=preprocessor, max_latents=8)


def masked(seed):
    drawn = {"random_shift": True, "min_length": 5, "mask_selection_length": 4}
    return kp.data.masked_batches(
        TOKENS, text_model(), 6, seed, Masking(whole_words=False), **drawn if seed else {}
    )


def causal(seed):
    drawn = {"random_shift": True, "min_length": 5} if seed else {}
    return kp.data.causal_batches(TOKENS, text_model("left"), 6, seed, **drawn)


def midi(seed):
    model = SimpleNamespace(preprocessor=MidiPreprocessor(16), max_latents=8)
    return kp.data.midi_batches(EVENTS, model, 6, seed, min_length=5 if seed else None)


def images(seed, batch_size=6, count=20, **changes):
    model = SimpleNamespace(preprocessor=ImagePreprocessor((4, 4, 1)), num_classes=20)
    pixels = np.random.default_rng(0).random((count, 6, 6, 1), "float32")
    source = kp.data.ArraySource(pixels, np.arange(count))
    augmentation = kp.data.Augmentation(**changes or {"shift": 1}) if seed else None
    return kp.data.batches(source, model, batch_size, seed, augmentation, one_hot=True)


def mixed_images(seed):
    return images(seed, cutmix=1.0, flip=True)


def flow(seed):
    encoder = SimpleNamespace(image_shape=(4, 4))
    model = SimpleNamespace(encoder=encoder, preprocessor=FlowPreprocessor((4, 4)))
    rng = np.random.default_rng(0)
    source = [
        (*rng.integers(0, 255, (2, 6, 6, 3), "uint8"), rng.normal(size=(6, 6, 2)), None)
        for _ in range(7)
    ]
    return kp.data.flow_batches(source, model, 6, seed)


def leaves(batch):
    if isinstance(batch, dict):
        batch = tuple(batch.values())
    return (
        [x for part in batch for x in leaves(part)] if isinstance(batch, tuple) else [batch]
    )


@pytest.mark.parametrize("make", [masked, causal, midi, images, mixed_images, flow])
def test_parts_of_processes_are_the_batch_of_one(make):
    whole = make(seed=3)
    parts = [kp.data.shard(make(seed=3), i, 3) for i in range(3)]
    for step in (0, 1, 7):  # 7 is in another epoch for all
        expected = leaves(whole[step])
        received = zip(*(leaves(part[step]) for part in parts), strict=True)
        for one, several in zip(expected, received, strict=True):
            assert {len(x) for x in several} == {2}
            np.testing.assert_array_equal(one, np.concatenate(several))
    # A run that is resumed sees what it would have seen.
    resumed = kp.data.shard(make(seed=3)[7:], 1, 3)
    for one, other in zip(leaves(resumed[0]), leaves(parts[1][7]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [masked, causal, midi, images, flow])
def test_held_out_batches_are_divided_too(make):
    one, other = leaves(make(None)[0]), leaves(kp.data.shard(make(None), 1, 2)[0])
    for x, part in zip(one, other, strict=True):
        np.testing.assert_array_equal(x[3:], part)


@pytest.mark.parametrize(
    ("make", "name"), [(masked, "TOKENS"), (causal, "TOKENS"), (midi, "EVENTS")]
)
def test_rows_of_shards_are_those_of_an_array(make, name, tmp_path, monkeypatch):
    ids = globals()[name]
    for i, part in enumerate(np.array_split(ids, 7)):  # no length of a row divides them
        write_shard(tmp_path / str(i), [part], ids.dtype)
    expected = [make(3)[5], make(None)[1]]
    shards = kp.data.TokenShards([tmp_path / str(i) for i in range(7)])
    monkeypatch.setitem(globals(), name, shards)
    for one, other in zip(expected, [make(3)[5], make(None)[1]], strict=True):
        for x, y in zip(leaves(one), leaves(other), strict=True):
            np.testing.assert_array_equal(x, y)
    batches = [(None, x, np.ones(x.shape)) for x in [ids[None, :100].astype("int32")]]
    entropy = [kp.training.unigram_entropy(x, batches, 400) for x in (ids, shards)]
    assert entropy[0] == entropy[1]


def test_one_process_reads_what_there_is():
    dataset = images(3)
    assert kp.data.shard(dataset, 0, 1) is dataset


def test_a_process_that_makes_its_part_alone_has_the_same_records():
    """Up to the end of an epoch: 18 records are 3 batches of 6 and 9 of 2."""
    whole = images(3, 6, 18)
    parts = [images(3, 2, 18)[i::3] for i in range(3)]
    for step in range(7):
        received = zip(*(leaves(part[step]) for part in parts), strict=True)
        for one, several in zip(leaves(whole[step]), received, strict=True):
            np.testing.assert_array_equal(one, np.concatenate(several))


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_process_that_is_none_is_refused(index, count):
    with pytest.raises(ValueError, match=f"`index`.*index={index}, count={count}"):
        kp.data.shard(images(3), index, count)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="multiple of count=4 rows. Received: 6 rows"):
        kp.data.shard(images(3), 1, 4)[0]
