"""Rows and what comes next in them: positions, padding, order, and what is refused."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_perceiver as kp
import tiny_ar
from keras_perceiver.preprocessing import ByteTokenizer, TextPreprocessor

S, L = 16, 6
# Five rows with their labels and a bit; each id is the one before plus 1.
TOKENS = np.arange(6, 6 + 5 * (S + 1) + 3, dtype="uint16")
PREPROCESSOR = TextPreprocessor(
    ByteTokenizer(), S, add_special_tokens=False, padding_side="left"
)
one_backend = pytest.mark.one_backend


def batches(tokens=TOKENS, max_latents=L, **options):
    # All that is asked of a model.
    model = SimpleNamespace(preprocessor=PREPROCESSOR, max_latents=max_latents)
    return kp.data.causal_batches(tokens, model, **options)


def flat(batch):
    inputs, labels, weights = batch
    return inputs["token_ids"], inputs["padding_mask"], labels, weights


def same(one, other):
    for x, y in zip(flat(one), flat(other), strict=True):
        np.testing.assert_array_equal(x, y)


@one_backend
def test_without_a_seed_each_row_once_in_order():
    dataset = batches(batch_size=2)
    assert [len(dataset[i][1]) for i in range(len(dataset))] == [2, 2, 1]
    ids = np.concatenate([dataset[i][0]["token_ids"] for i in range(3)])
    expected = TOKENS[: 5 * (S + 1)].reshape(5, S + 1)
    np.testing.assert_array_equal(ids, expected[:, :-1])
    labels = np.concatenate([dataset[i][1] for i in range(3)])
    np.testing.assert_array_equal(labels, expected[:, -L:])
    inputs, labels, weights = dataset[0]
    assert {x.dtype for x in inputs.values()} == {labels.dtype} == {np.dtype("int32")}
    assert weights.dtype == np.float32 and weights.shape == labels.shape == (2, L)
    assert inputs["padding_mask"].all() and weights.all()
    for one, other in zip(batches(batch_size=2), dataset, strict=True):
        same(one, other)


@one_backend
def test_as_many_positions_are_predicted_as_there_are_latents():
    inputs, labels, _ = batches(max_latents=100)[0]
    np.testing.assert_array_equal(labels, inputs["token_ids"] + 1)
    inputs, labels, weights = batches(length=4)[0]
    assert inputs["token_ids"].shape == labels.shape == weights.shape == (17, 4)


@one_backend
def test_every_epoch_has_its_own_order_and_a_resumed_run_sees_the_same():
    options = {"batch_size": 2, "seed": 3, "random_shift": True, "min_length": 4}
    dataset, again, resumed = (batches(**options) for _ in range(3))
    for step in range(6):
        same(dataset[step], again[step])
        same(dataset[step + 3], resumed[3:][step])
        same(dataset[2 * step + 1], resumed[1::2][step])
    whole = batches(batch_size=5, seed=0)
    starts = [whole[i][0]["token_ids"][:, 0].tolist() for i in range(3)]
    assert [sorted(x) for x in starts] == [TOKENS[: -S - 1 : S + 1].tolist()] * 3
    assert starts[0] != starts[1] != starts[2]
    assert starts[0] != batches(batch_size=5, seed=1)[0][0]["token_ids"][:, 0].tolist()


@one_backend
def test_shifted_rows_begin_anywhere_and_stay_in_one_piece():
    dataset = batches(batch_size=4, seed=0, random_shift=True, max_latents=S)
    starts = set()
    for step in range(150):
        inputs, labels, _ = dataset[step]
        np.testing.assert_array_equal(np.diff(inputs["token_ids"], axis=1), 1)
        np.testing.assert_array_equal(labels, inputs["token_ids"] + 1)
        starts |= set(inputs["token_ids"][:, 0].tolist())
    assert starts == set(range(6, 6 + 4 * (S + 1)))


@one_backend
def test_random_lengths_are_padded_at_the_left_and_padding_predicts_nothing():
    dataset = batches(batch_size=5, seed=0, min_length=3)
    lengths = set()
    for step in range(60):
        inputs, labels, weights = dataset[step]
        ids, mask = inputs["token_ids"], inputs["padding_mask"]
        assert ids.shape == (5, S) and (np.diff(mask, axis=1) >= 0).all()
        assert (ids[mask == 0] == PREPROCESSOR.tokenizer.pad_id).all()
        np.testing.assert_array_equal(weights, mask[:, -L:])
        np.testing.assert_array_equal(labels[weights == 1], ids[:, -L:][weights == 1] + 1)
        # What is cut is the end: rows begin where whole ones do.
        first = ids[np.arange(5), S - mask.sum(axis=1)]
        assert set((first - 6) % (S + 1)) == {0}
        lengths |= set(mask.sum(axis=1).tolist())
    assert lengths == set(range(3, S + 1))


DOCUMENTS = [chr(ord("a") + i) * (7 * i % 50) for i in range(26)]


def stream(documents=DOCUMENTS, max_latents=S, **options):
    model = SimpleNamespace(preprocessor=PREPROCESSOR, max_latents=max_latents)
    return kp.data.causal_stream(documents, model, **options)


def take(dataset, steps):
    iterator = iter(dataset)
    return [next(iterator) for _ in range(steps)]


@one_backend
def test_a_stream_without_a_seed_is_the_corpus_in_order():
    found = list(stream(batch_size=4))
    corpus = kp.data.tokens(DOCUMENTS, PREPROCESSOR.tokenizer, eos=True)
    inputs, masks, labels, weights = (
        np.concatenate(x) for x in zip(*map(flat, found), strict=True)
    )
    assert inputs.shape == labels.shape == (-(-len(corpus) // (S + 1)), S)
    # The last row begins with padding, and its first token follows nothing.
    rows = [
        [*row[mask == 1], y[-1]] for row, mask, y in zip(inputs, masks, labels, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(rows), corpus)
    assert (np.diff(masks, axis=1) >= 0).all() and not masks[-1].all()
    np.testing.assert_array_equal(masks, weights)
    # In full rows what comes next is what comes next in the corpus.
    for one, other in zip(take(stream(batch_size=1), 9), batches_of(corpus), strict=False):
        same(one, other)
    plain = list(stream([(x, 0) for x in DOCUMENTS], batch_size=4, eos=False))
    assert not any(
        (x["token_ids"] == PREPROCESSOR.tokenizer.eos_id).any() for x, *_ in plain
    )


def batches_of(corpus):
    return batches(np.asarray(corpus), max_latents=S, batch_size=1)


@one_backend
def test_a_stream_is_seeded_cut_at_random_and_resumed():
    options = {"batch_size": 4, "seed": 3, "min_length": 5, "max_latents": L}
    iterator = iter(stream(**options))
    found = [next(iterator) for _ in range(40)]
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(5)]
    lengths = np.concatenate([x["padding_mask"].sum(axis=1) for x, _, _ in found])
    assert set(lengths) == set(range(5, S + 1))
    assert {y.shape for _, y, _ in found} == {(4, L)}
    for one, other in zip(found, take(stream(**options), 40), strict=True):
        same(one, other)
    other = take(stream(**{**options, "seed": 4}), 40)
    assert any((a[1] != b[1]).any() for a, b in zip(found, other, strict=True))
    resumed = iter(stream(**options))
    resumed.set_state(state)
    for batch in expected:
        same(next(resumed), batch)


@one_backend
def test_shards_of_a_stream_share_the_documents():
    shards = [list(stream(batch_size=1, eos=False, shard=(i, 3))) for i in range(3)]
    for i, found in enumerate(shards):
        ids = {b + 6 for text in DOCUMENTS[i::3] for b in text.encode()}
        assert {x for _, y, w in found for x in y[w == 1].tolist()} <= ids


@one_backend
def test_a_model_learns_from_them():
    model = tiny_ar.causal_lm(max_length=S, dropout=0.0)
    model.compile(keras.optimizers.Adam(1e-2), kp.training.TokenCrossentropy())
    tokens = np.tile(model.preprocessor.tokenizer.encode("some words and more "), 40)
    options = {"seed": 0, "random_shift": True, "min_length": 2}
    train = kp.data.causal_batches(tokens, model, 8, **options)
    fit = {"steps_per_epoch": 30, "epochs": 2, "shuffle": False, "verbose": 0}
    first, last = model.fit(train, **fit).history["loss"]
    held_out = kp.data.causal_batches(tokens, model, 8)
    loss = model.evaluate(held_out.repeat(), steps=len(held_out), verbose=0)
    assert loss < last < first - 0.5 and first < 7
    documents = ["some words and more " * 9] * 4
    train = kp.data.read_ahead(kp.data.causal_stream(documents, model, 8, seed=0))
    fit |= {"steps_per_epoch": 5, "epochs": 1}
    assert model.fit(train, **fit).history["loss"][-1] < first


@one_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": TOKENS[:0]}, r"`tokens` must be a non-empty array.*shape=\(0,\)"),
        ({"tokens": TOKENS[None]}, r"`tokens` must be .* Received: shape=\(1, 88\)"),
        ({"tokens": TOKENS / 2}, "`tokens` must be .* dtype=float64"),
        ({"tokens": TOKENS + 200}, "from 0 to 261. Received: from 206 to 293"),
        ({"tokens": TOKENS[:S]}, "at least 17 tokens .*Received: 16"),
        ({"tokens": TOKENS[:33], "seed": 0, "random_shift": True}, "at least 34 tokens"),
        ({"seed": 0, "batch_size": 6}, "number of rows of 17 tokens, 5. .*=6"),
        ({"length": 17}, "`length` must lie between 1 and .*, 16. .*length=17"),
        ({"length": 0}, "`length` must lie between 1 and .*, 16. .*length=0"),
        ({"random_shift": True}, "`random_shift` needs a `seed`.*=True"),
        ({"min_length": 2}, "`min_length` needs a `seed`.*=2"),
        ({"min_length": 17, "seed": 0}, "`min_length` must lie between 1 and 16, .*=17"),
        ({"min_length": 0, "seed": 0}, "`min_length` must lie between 1 and 16, .*=0"),
    ],
)
def test_causal_batches_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        batches(**options)


@one_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"documents": ["", " "]}, "`documents` must hold at least one text"),
        ({"shard": (0, 27)}, "at least one text for each shard, 27. Received: 26"),
        ({"shard": (2, 2)}, "an `index` from 0 to `count` - 1. .*index=2, count=2"),
        ({"length": 17}, "`length` must lie between 1 and .*, 16. .*length=17"),
        ({"min_length": 2}, "`min_length` needs a `seed`.*=2"),
        ({"min_length": 17, "seed": 0}, "`min_length` must lie between 1 and 16, .*=17"),
    ],
)
def test_causal_stream_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        stream(**options)


@one_backend
def test_a_model_without_preprocessor_is_refused():
    bare = SimpleNamespace(preprocessor=None, name="bare")
    for make in (kp.data.causal_batches, kp.data.causal_stream):
        with pytest.raises(ValueError, match="`model` must have a `preprocessor`"):
            make(TOKENS, bare)
