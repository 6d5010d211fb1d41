"""Masked batches and streams: rows, order, masks, resuming, and what is refused."""

import types

import keras
import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import masked_batches, masked_stream
from keras_perceiver.preprocessing import ByteTokenizer, Masking, TextPreprocessor

TOKENIZER = ByteTokenizer()
S = 16
# Five rows and a bit, each id once, so that a row says where it is from.
TOKENS = np.arange(6, 6 + 5 * S + 3, dtype="uint16")
WORDS = np.asarray(TOKENIZER.encode("some words and more "), "uint16")
# What a pipeline needs of a model.
MODEL = types.SimpleNamespace(name="m", preprocessor=TextPreprocessor(TOKENIZER, S))
one_backend = pytest.mark.one_backend


def every_token(rate=1.0):
    return Masking(rate=rate, whole_words=False)


def same(one, other):
    for x, y in zip(flat(one), flat(other), strict=True):
        np.testing.assert_array_equal(x, y)


def flat(batch):
    inputs, labels, weights = batch
    return inputs["token_ids"], inputs["padding_mask"], labels, weights


def masks(dataset, steps, rows):
    """Selected positions by first label of the row, `rows` rows an epoch."""
    found = {}
    for step in range(steps):
        _, labels, weights = dataset[step]
        for row, selected in zip(labels, weights, strict=True):
            found.setdefault(int(row[0]), []).append(selected.tolist())
    assert len(found) == rows
    return found


@one_backend
def test_without_a_seed_each_row_once_in_order():
    dataset = masked_batches(TOKENS, MODEL, 2)
    assert [len(dataset[i][1]) for i in range(len(dataset))] == [2, 2, 1]
    inputs, labels, weights = dataset[1]
    np.testing.assert_array_equal(labels, TOKENS[2 * S : 4 * S].reshape(2, S))
    assert {x.dtype for x in inputs.values()} == {labels.dtype} == {np.dtype("int32")}
    assert weights.dtype == np.float32 and weights.shape == labels.shape
    assert inputs["padding_mask"].all()
    kept = weights == 0
    np.testing.assert_array_equal(inputs["token_ids"][kept], labels[kept])
    assert masked_batches(TOKENS, MODEL, 2, length=8)[0][1].shape == (2, 8)


@one_backend
def test_held_out_masks_depend_on_nothing_but_the_row():
    whole = masked_batches(TOKENS, MODEL, 5)[0]
    same(whole, masked_batches(TOKENS, MODEL, 5)[0])
    pairs = masked_batches(TOKENS, MODEL, 2)
    for i, values in enumerate(zip(*map(flat, (pairs[j] for j in range(3))), strict=True)):
        np.testing.assert_array_equal(flat(whole)[i], np.concatenate(values))
    same(pairs[1], pairs.repeat()[4])
    assert 0 < whole[2].sum() < whole[2].size


@one_backend
def test_masking_is_applied_as_given():
    inputs, _, weights = masked_batches(
        np.tile(WORDS, 100), MODEL, 50, seed=0, masking=every_token()
    )[0]
    assert weights.all()
    assert np.mean(inputs["token_ids"] == TOKENIZER.mask_id) == pytest.approx(0.8, abs=0.1)
    few = masked_batches(np.tile(WORDS, 100), MODEL, 50, seed=0, masking=every_token(0.1))
    assert few[0][2].mean() == pytest.approx(0.1, abs=0.04)


@one_backend
@pytest.mark.parametrize("static", [False, True])
def test_static_masks_stay_and_dynamic_ones_change(static):
    dataset = masked_batches(
        TOKENS, MODEL, 5, seed=1, masking=every_token(0.5), static_masking=static
    )
    for epochs in masks(dataset, steps=3, rows=5).values():
        assert (epochs[0] == epochs[1] == epochs[2]) == static
    rows = [x[0] for x in masks(dataset, steps=1, rows=5).values()]
    assert rows[0] != rows[1]
    other = masked_batches(
        TOKENS, MODEL, 5, seed=2, masking=every_token(0.5), static_masking=static
    )
    assert masks(other, 1, 5) != masks(dataset, 1, 5)


@one_backend
def test_every_epoch_has_its_own_order_and_a_resumed_run_sees_the_same():
    options = {"seed": 3, "random_shift": True, "min_length": 4}
    dataset, again = (masked_batches(TOKENS, MODEL, 2, **options) for _ in range(2))
    resumed = masked_batches(TOKENS, MODEL, 2, **options)[3:]
    for step in range(6):
        same(dataset[step], again[step])
        same(dataset[step + 3], resumed[step])
    plain = masked_batches(TOKENS, MODEL, 5, seed=0)
    starts = [plain[i][1][:, 0].tolist() for i in range(3)]
    assert [sorted(x) for x in starts] == [list(range(6, 6 + 5 * S, S))] * 3
    assert starts[0] != starts[1] != starts[2]


@one_backend
def test_processes_share_the_batches():
    whole = masked_batches(TOKENS, MODEL, 1, seed=0)
    for i in range(3):
        part = masked_batches(TOKENS, MODEL, 1, seed=0)[i::3]
        for step in range(4):
            same(part[step], whole[i + 3 * step])


@one_backend
def test_shifted_rows_begin_anywhere_and_stay_in_one_piece():
    dataset = masked_batches(TOKENS, MODEL, 4, seed=0, random_shift=True)
    starts = []
    for step in range(50):
        labels = dataset[step][1]
        np.testing.assert_array_equal(np.diff(labels, axis=1), 1)
        starts += [int(x) - 6 for x in labels[:, 0]]
    assert {start % S for start in starts} == set(range(S))
    assert max(starts) + S <= len(TOKENS) and {start // S for start in starts} == {
        0,
        1,
        2,
        3,
    }


@one_backend
def test_random_lengths_are_padded_and_padding_is_never_predicted():
    dataset = masked_batches(TOKENS, MODEL, 5, 0, every_token(), min_length=3)
    lengths = []
    for step in range(60):
        inputs, _, weights = dataset[step]
        padding = inputs["padding_mask"] == 0
        assert (inputs["token_ids"][padding] == TOKENIZER.pad_id).all()
        np.testing.assert_array_equal(weights, inputs["padding_mask"])
        lengths += inputs["padding_mask"].sum(axis=1).tolist()
    assert set(lengths) == set(range(3, S + 1))


@one_backend
def test_only_some_positions_are_asked_for_the_selected_ones_first():
    """The same masks, and of each row those positions that count, K at most."""
    options = {"seed": 3, "masking": every_token(0.4)}
    (inputs, labels, weights) = masked_batches(TOKENS, MODEL, 4, **options)[0]
    counts = weights.sum(1)
    some = masked_batches(TOKENS, MODEL, 4, mask_selection_length=S - 2, **options)[0]
    assert counts.max() <= S - 2
    np.testing.assert_array_equal(some[0]["token_ids"], inputs["token_ids"])
    positions = some[0]["mask_positions"]
    assert positions.shape == some[1].shape == some[2].shape == (4, S - 2)
    assert positions.dtype == np.int32 and (np.diff(positions) > 0).all()
    np.testing.assert_array_equal(some[1], np.take_along_axis(labels, positions, 1))
    np.testing.assert_array_equal(some[2], np.take_along_axis(weights, positions, 1))
    np.testing.assert_array_equal(some[2].sum(1), counts)
    few = masked_batches(TOKENS, MODEL, 4, mask_selection_length=2, **options)[0]
    np.testing.assert_array_equal(few[2].sum(1), np.minimum(counts, 2))


@one_backend
def test_what_is_asked_for_beside_the_selected_is_no_padding():
    options = {"seed": 3, "masking": every_token(0.2), "min_length": 12}
    dataset = masked_batches(
        TOKENS, MODEL, 4, mask_selection_length=12, unmasked_weight=0.5, **options
    )
    inputs, _, weights = dataset[0]
    assert not inputs["padding_mask"].all()
    assert set(np.unique(weights)) == {0.5, 1.0}  # none is 0, as padding would be


@one_backend
@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        (TOKENS[:0], {}, r"`tokens` must be a non-empty array.*shape=\(0,\)"),
        (TOKENS[None], {}, r"`tokens` must be .* Received: shape=\(1, 83\)"),
        (TOKENS / 2, {}, "`tokens` must be .* dtype=float64"),
        (
            TOKENS + 200,
            {},
            "`tokens` must be ids .* from 0 to 261. Received: from 206 to 288",
        ),
        (TOKENS.astype(int) - 9, {}, "`tokens` must be ids .*Received: from -3"),
        (TOKENS[:15], {}, "at least 16 tokens .*Received: 15"),
        (TOKENS[:31], {"seed": 0, "random_shift": True}, "at least 32 tokens"),
        (TOKENS, {"seed": 0, "batch_size": 6}, "number of rows of 16 tokens, 5. .*=6"),
        (TOKENS, {"length": 17}, "`length` must lie between 1 and .*, 16. .*length=17"),
        (TOKENS, {"length": 0}, "`length` must lie between 1 and .*, 16. .*length=0"),
        (TOKENS, {"random_shift": True}, "`random_shift` needs a `seed`.*=True"),
        (TOKENS, {"unmasked_weight": 0.5}, "`unmasked_weight` needs a `seed`.*=0.5"),
        (
            TOKENS,
            {"unmasked_weight": 2.0, "seed": 0},
            "`unmasked_weight` must lie between 0 and 1",
        ),
        (TOKENS, {"min_length": 17, "seed": 0}, "`min_length` must .* 1 and 16, .*=17"),
        (TOKENS, {"min_length": 0, "seed": 0}, "`min_length` must .* 1 and 16, .*=0"),
        (
            TOKENS,
            {"mask_selection_length": 17, "seed": 0},
            "`mask_selection_length` must .* 1 and 16, .*=17",
        ),
        (TOKENS, {"mask_selection_length": 4}, "`mask_selection_length` needs a `seed`"),
        (TOKENS, {"min_length": 2}, "`min_length` needs a `seed`.*=2"),
        (
            TOKENS,
            {"seed": 0, "random_shift": True, "static_masking": True, "batch_size": 2},
            "`static_masking` needs rows that stay the same",
        ),
    ],
)
def test_masked_batches_refuses(tokens, options, message):
    with pytest.raises(ValueError, match=message):
        masked_batches(tokens, MODEL, **options)


@one_backend
def test_a_model_without_preprocessor_is_refused():
    model = types.SimpleNamespace(name="m", preprocessor=None)
    for function in (masked_batches, masked_stream, kp.data.batches):
        with pytest.raises(ValueError, match="`model` must have a `preprocessor`.*m with"):
            function(TOKENS, model)


DOCUMENTS = [chr(ord("a") + i) * (7 * i % 50) for i in range(26)]


def labels_of(batches):
    return [row for _, labels, _ in batches for row in labels.tolist()]


@one_backend
def test_a_stream_without_a_seed_is_the_corpus_in_order():
    batches = list(masked_stream(DOCUMENTS, MODEL, 4, eos=True))
    corpus = kp.data.tokens(DOCUMENTS, TOKENIZER, eos=True)
    padding_mask = np.concatenate([x["padding_mask"] for x, _, _ in batches])
    labels = np.concatenate([labels for _, labels, _ in batches])
    assert labels.shape == padding_mask.shape == (-(-len(corpus) // S), S)
    np.testing.assert_array_equal(labels[padding_mask == 1], corpus)
    assert (labels[padding_mask == 0] == TOKENIZER.pad_id).all()
    again = masked_stream(DOCUMENTS, MODEL, 4, eos=True)
    for one, other in zip(batches, again, strict=True):
        same(one, other)
        assert {x.dtype for x in flat(one)[:3]} == {np.dtype("int32")}
    records = [(text, 0) for text in DOCUMENTS]
    assert labels_of(masked_stream(records, MODEL, 4, eos=True)) == labels_of(batches)


def take(dataset, steps):
    iterator = iter(dataset)
    return [next(iterator) for _ in range(steps)]


@one_backend
def test_a_stream_shuffles_by_seed_and_never_ends():
    first, again = (take(masked_stream(DOCUMENTS, MODEL, 4, seed=0), 40) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        same(one, other)
        assert one[1].shape == (4, S)
    other = take(masked_stream(DOCUMENTS, MODEL, 4, seed=1), 40)
    assert labels_of(first) != labels_of(other)
    # An epoch has some 40 rows; the second has another order.
    rows = labels_of(first)
    assert rows[:40] != rows[40:80] != rows[80:120]


@one_backend
def test_a_stream_resumes_from_its_state():
    iterator = iter(masked_stream(DOCUMENTS, MODEL, 4, seed=0, eos=True))
    for _ in range(7):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(5)]
    resumed = iter(masked_stream(DOCUMENTS, MODEL, 4, seed=0, eos=True))
    resumed.set_state(state)
    for batch in expected:
        same(next(resumed), batch)


@one_backend
@pytest.mark.parametrize("seed", [None, 0])
def test_shards_share_the_documents(seed):
    shards = []
    for index in range(3):
        stream = masked_stream(DOCUMENTS, MODEL, 1, seed=seed, shard=(index, 3))
        # About as much as an epoch, which has a third of 41 rows.
        batches = list(stream) if seed is None else take(stream, 8)
        shards.append({x for row in labels_of(batches) for x in row} - {0})
    if seed is None:
        expected = [set("".join(DOCUMENTS[i::3]).encode()) for i in range(3)]
        assert shards == [{b + 6 for b in x} for x in expected]
    assert not shards[0] & shards[1] and not shards[1] & shards[2]


@one_backend
def test_shards_have_their_own_masks():
    documents = ["x" * 1000] * 4
    one, other = (
        take(masked_stream(documents, MODEL, 4, 0, every_token(0.5), shard=(i, 2)), 1)[0]
        for i in range(2)
    )
    np.testing.assert_array_equal(one[1], other[1])
    assert (one[2] != other[2]).any()


@one_backend
@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ([], {}, "`documents` must hold at least one text that is not empty"),
        (["", "\n"], {"seed": 0}, "`documents` must hold at least one text that is not"),
        (["a"], {"shard": (0, 2)}, "at least one text for each shard, 2. Received: 1"),
        (["a"], {"shard": (1, 1)}, "an `index` from 0 to `count` - 1. .*index=1, count=1"),
        (
            ["a"],
            {"length": 99},
            "between 1 and .* 16. Received: length=99",
        ),
    ],
)
def test_masked_stream_refuses(documents, options, message):
    with pytest.raises(ValueError, match=message):
        masked_stream(documents, MODEL, **options)


def tiny_encoder():
    return kp.models.TextEncoder(
        262, S, 8, num_latents=4, latent_channels=8, layers_per_block=1
    )


@one_backend
def test_a_masked_language_model_learns_from_either():
    model = kp.models.MaskedLM(tiny_encoder())
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    train = masked_batches(np.tile(WORDS, 20), model, 8, seed=0)
    options = {"steps_per_epoch": 4, "epochs": 3, "shuffle": False, "verbose": 0}
    history = model.fit(train, **options).history["loss"]
    assert history[-1] < history[0] < 6
    stream = masked_stream(["some words and more "] * 20, model, 8, seed=0)
    assert model.fit(stream, **options).history["loss"][-1] < history[-1]
    held_out = masked_batches(np.tile(WORDS, 5), model, 8).repeat()
    losses = [model.evaluate(held_out, steps=1, verbose=0) for _ in range(2)]
    assert losses[0] == losses[1]


@one_backend
def test_a_text_classifier_is_fed_by_the_same_batches():
    labels = [0, 1] * 6
    texts = [["abc", "xyz!"][i] * (1 + n % 3) for n, i in enumerate(labels)]
    source = kp.data.LabelledTexts(texts, labels)
    model = kp.models.TextClassifier(tiny_encoder(), num_classes=2)
    inputs, got = kp.data.batches(source, model, 5)[0]
    assert inputs["token_ids"].shape == (5, S) and got.tolist() == labels[:5]
    expected = model.preprocessor(texts[:5], pad_to=S)
    np.testing.assert_array_equal(inputs["token_ids"], expected["token_ids"])
    np.testing.assert_array_equal(inputs["padding_mask"], expected["padding_mask"])
    train = kp.data.batches(source, model, 4, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(train, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    held_out = kp.data.batches(source, model, 5).repeat()
    assert np.isfinite(model.evaluate(held_out, steps=3, verbose=0))


@one_backend
@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "`source` must hold at least one record"),
        (["a", "b"], [0, 2], r"num_classes - 1 = 1\. Received: 2"),
        (["a", "b"], [0, -1], r"num_classes - 1 = 1\. Received: -1"),
        (["a", "b" * 17], [0, 1], "at most 16 tokens.*with 19 tokens, max_length=16"),
    ],
)
def test_bad_texts_are_refused_before_training(texts, labels, message):
    model = types.SimpleNamespace(**vars(MODEL), num_classes=2)
    with pytest.raises(ValueError, match=message):
        kp.data.batches(kp.data.LabelledTexts(texts, labels), model, 1)


@one_backend
def test_texts_without_labels_are_refused():
    model = types.SimpleNamespace(**vars(MODEL), num_classes=2)
    with pytest.raises(ValueError, match=r"records \(input, label\). Received: str"):
        kp.data.batches(["a text", "another"], model, 1)
