"""Crops of performances: what is predicted from what, seeds, and what is held out."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_perceiver as kp
from keras_perceiver.data.midi_batches import longest_part
from keras_perceiver.preprocessing import MidiPreprocessor

pytestmark = pytest.mark.one_backend
GOLDEN = Path(__file__).parents[1] / "golden" / "midi"
# One performance, in which each event is the one before plus 1: what follows is known.
TOKENS = np.arange(300, dtype="uint16")


def batches(tokens=TOKENS, max_length=10, max_latents=10, **options):
    # All that is asked of a model.
    preprocessor = MidiPreprocessor(max_length)
    model = SimpleNamespace(preprocessor=preprocessor, max_latents=max_latents)
    return kp.data.midi_batches(tokens, model, **options)


def test_held_out_pieces_follow_one_another():
    (*full, last) = list(batches(batch_size=10))
    inputs = np.concatenate([x["token_ids"] for x, _, _ in [*full, last]])
    assert len(full) == 2 and last[1].shape == (7, 10)  # 27 pieces of 11
    np.testing.assert_array_equal(inputs, np.arange(297).reshape(27, 11)[:, :-1])
    for x, labels, weights in full:
        np.testing.assert_array_equal(labels, x["token_ids"] + 1)
        assert x["padding_mask"].all() and weights.all()
        assert x["token_ids"].dtype == labels.dtype == x["padding_mask"].dtype == np.int32
        assert weights.dtype == np.float32
    again = list(batches(batch_size=10))
    np.testing.assert_array_equal(again[-1][0]["token_ids"], last[0]["token_ids"])


def test_crops_are_random_seeded_endless_and_everywhere():
    dataset = batches(batch_size=9, seed=3)
    rows = np.concatenate([dataset[i][0]["token_ids"] for i in range(400)])
    assert (np.diff(rows) == 1).all()
    starts = rows[:, 0]
    assert set(starts.tolist()) == set(range(300 - 10))  # 3600 draws
    # Another time through (of 3 batches) has other crops; so has another seed.
    assert not np.array_equal(dataset[0][1], dataset[3][1])
    assert not np.array_equal(dataset[0][1], batches(batch_size=9, seed=4)[0][1])
    np.testing.assert_array_equal(dataset[7][1], batches(batch_size=9, seed=3)[7][1])
    np.testing.assert_array_equal(dataset[5:][2][1], dataset[7][1])


def test_random_lengths_are_padded_at_the_left():
    dataset = batches(batch_size=9, seed=0, min_length=4)
    lengths = set()
    for i in range(20):
        x, labels, weights = dataset[i]
        mask = x["padding_mask"]
        assert x["token_ids"].shape == labels.shape == (9, 10)
        np.testing.assert_array_equal(mask, weights)
        assert (np.diff(mask) >= 0).all()  # padding, then events
        assert (x["token_ids"][mask == 0] == 388).all()
        np.testing.assert_array_equal(labels[mask == 1], x["token_ids"][mask == 1] + 1)
        lengths |= set(mask.sum(axis=1).tolist())
    assert lengths == set(range(4, 11))


def test_only_the_last_positions_are_predicted():
    whole, last = batches(batch_size=9)[0], batches(batch_size=9, max_latents=3)[0]
    np.testing.assert_array_equal(last[0]["token_ids"], whole[0]["token_ids"])
    np.testing.assert_array_equal(last[1], whole[1][:, -3:])
    np.testing.assert_array_equal(last[2], whole[2][:, -3:])
    short = batches(batch_size=9, max_latents=3, length=2)[0]
    assert short[1].shape == short[0]["token_ids"].shape == (9, 2)


def test_no_row_goes_across_the_end_of_a_performance():
    tokens = TOKENS.copy()
    tokens[::7] = 388  # performances of 6 events
    for dataset, count in ((batches(tokens, batch_size=5), 6), (None, 20)):
        dataset = dataset or batches(tokens, batch_size=5, seed=0)
        for i in range(count - 1):
            x, labels, weights = dataset[i]
            mask = x["padding_mask"]
            # Of 11 events there are 6 in a row, or 5 on one side: 4 or 5 are predicted.
            assert set(mask.sum(axis=1).tolist()) <= {4, 5}
            np.testing.assert_array_equal(
                labels[weights == 1], x["token_ids"][mask == 1] + 1
            )
            assert not (x["token_ids"][mask == 1] == 388).any()


@given(st.lists(st.integers(386, 388), max_size=20))
def test_the_longest_part(ids):
    text = "".join(" " if i == 388 else str(i - 386) for i in ids)
    longest = max(text.split(" "), key=len)
    found = longest_part(np.array(ids, "uint16"))
    assert "".join(str(i - 386) for i in found) == longest


def test_the_golden_performances():
    tokens = kp.data.midi_tokens(sorted(GOLDEN.glob("*.mid")))
    options = {"max_length": 64, "max_latents": 64, "batch_size": 4, "seed": 0}
    x, labels, weights = batches(tokens, **options)[0]
    assert x["token_ids"].shape == (4, 64) and weights.sum() > 100
    assert labels.max() <= 388 and (labels[weights == 1] < 388).all()


def test_a_model_learns_from_them():
    model = kp.models.CausalLM(
        vocab_size=389, max_length=16, channels=32, max_latents=4, num_layers=1
    )
    dataset = batches(max_length=8, max_latents=4, batch_size=8, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit(dataset, steps_per_epoch=15, epochs=5, shuffle=False, verbose=0)
    first, *_, last = history.history["loss"]
    assert last < first - 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 11}, "`length` must .*max_length, 10. Received: length=11"),
        ({"length": 0}, "`length` must .*max_length, 10. Received: length=0"),
        ({"min_length": 11, "seed": 0}, "`min_length` must lie between 1 and 10"),
        ({"min_length": 5}, "`min_length` needs a `seed`. Received: seed=None"),
        (
            {"batch_size": 28, "seed": 0},
            "`batch_size` must.*number of rows of 10 events, 27",
        ),
        ({"tokens": TOKENS[:10]}, "at least 11 tokens.*Received: 10 tokens"),
        ({"tokens": TOKENS + np.uint16(100)}, "from 0 to 388. Received: from 100 to 399"),
        ({"tokens": TOKENS / 2}, r"array of integers \[N\].*dtype=float64"),
        ({"tokens": TOKENS[None]}, r"array of integers \[N\].*shape=\(1, 300\)"),
    ],
)
def test_batches_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        batches(**options)


def test_a_model_without_preprocessor_is_refused():
    with pytest.raises(ValueError, match="`model` must have a `preprocessor`"):
        kp.data.midi_batches(TOKENS, SimpleNamespace(preprocessor=None, name="bare"))
