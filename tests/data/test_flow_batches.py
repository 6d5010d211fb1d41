"""Batches of optical flow: crops that fit together, seeds, masks, and what is refused."""

import numpy as np
import pytest

import keras_perceiver as kp
from keras_perceiver.data import flow_batches
from keras_perceiver.preprocessing import FlowPreprocessor
from tiny_flow import IMAGE_SHAPE as SIZE
from tiny_flow import model as flow_model

pytestmark = pytest.mark.one_backend
HEIGHT, WIDTH = SIZE


@pytest.fixture(scope="module")
def model():
    return flow_model()


def record(index, height=HEIGHT + 5, width=WIDTH + 9):
    """Frames and flow that tell record, row and column of each pixel."""
    rows, columns = np.indices((height, width))
    frame1 = np.stack([rows, columns, np.full_like(rows, index)], axis=-1).astype("uint8")
    frame2 = frame1 + np.uint8([100, 100, 0])
    flow = np.stack([rows, columns], axis=-1).astype("float32")
    valid = (rows + columns) % 2 == 0
    return frame1, frame2, flow, valid


SOURCE = [record(i) for i in range(7)]


def unpacked(batch):
    """Indices of the records, their corners, and weights; crops are checked."""
    frames, flow, weights = batch
    pixels = np.rint((frames + 1) * 127.5)
    corners = flow[:, 0, 0] * 20
    rows, columns = np.indices(SIZE)
    for sample, vectors, corner, weight in zip(
        pixels, flow * 20, corners, weights, strict=True
    ):
        row, column = sample[0, 0, 0, :2]
        known = weight.astype(bool)
        np.testing.assert_array_equal(sample[0, ..., 0], row + rows)
        np.testing.assert_array_equal(sample[0, ..., 1], column + columns)
        np.testing.assert_array_equal(sample[1, ..., :2], sample[0, ..., :2] + 100)
        np.testing.assert_array_equal(known, (row + column + rows + columns) % 2 == 0)
        np.testing.assert_allclose(vectors[known], sample[0][known][:, :2], rtol=1e-5)
        assert (vectors[~known] == 0).all()
        if known[0, 0]:
            np.testing.assert_allclose(corner, (row, column), rtol=1e-5)
    return pixels[:, 0, 0, 0].astype(int).tolist()


def test_without_a_seed_the_middle_of_each_record_once(model):
    dataset = flow_batches(SOURCE, model, batch_size=3)
    found = [unpacked(dataset[i]) for i in range(len(dataset))]
    assert [len(x) for x in found] == [3, 3, 1]
    assert [x for batch in found for x in batch] == [[2, 4, i] for i in range(7)]
    frames, flow, weights = dataset[0]
    assert frames.shape == (3, 2, *SIZE, 3) and frames.dtype == np.float32
    assert flow.shape == (3, *SIZE, 2) and flow.dtype == np.float32
    assert weights.shape == (3, *SIZE) and weights.dtype == np.float32


def test_with_a_seed_random_crops_in_a_new_order_each_time(model):
    dataset = flow_batches(SOURCE, model, batch_size=3, seed=0)
    # Two batches a pass: the seventh record is left out, another one each time.
    found = [unpacked(dataset[i]) for i in range(20)]
    order = [[x[2] for x in found[i] + found[i + 1]] for i in range(0, 20, 2)]
    assert all(len(set(x)) == 6 for x in order) and order[0] != order[1]
    corners = {(x[0], x[1]) for batch in found for x in batch}
    assert len(corners) > 20
    assert {row for row, _ in corners} == set(range(6))
    assert {column for _, column in corners} == set(range(10))


def test_same_seed_same_batches_and_a_resumed_run_sees_the_same(model):
    first, resumed, other = (
        flow_batches(SOURCE, model, 2, seed=0),
        flow_batches(SOURCE, model, 2, seed=0)[5:],
        flow_batches(SOURCE, model, 2, seed=1),
    )
    for step in range(4):
        for a, b in zip(first[step + 5], resumed[step], strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(first[i][0], other[i][0]) for i in range(2))


def test_what_is_not_known_may_be_anything(model):
    frame1, frame2, flow, valid = record(0)
    broken = np.where(valid[..., None], flow, np.nan)
    ours, theirs = (
        flow_batches([(frame1, frame2, x, valid)], model, 1)[0] for x in (flow, broken)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    _, _, weights = flow_batches([(frame1, frame2, flow, None)], model, 1)[0]
    assert (weights == 1).all()


def test_the_scale_is_the_preprocessors(model):
    other = flow_model(preprocessor=FlowPreprocessor(SIZE, flow_scale=5.0))
    ours, theirs = (flow_batches(SOURCE, x, 1)[0][1] for x in (model, other))
    np.testing.assert_allclose(theirs, 4 * ours, rtol=1e-6)


FRAME1, FRAME2, FLOW, VALID = record(0)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([], {}, "`source` must hold at least one record"),
        ([(FRAME1, FRAME2, FLOW)], {}, r"records \(frame1, frame2, flow, valid\).*tuple"),
        ([FLOW], {}, "Received: ndarray"),
        ([record(0, HEIGHT - 1)], {}, r"at least as large as the model's frames"),
        ([(FRAME1, FRAME2[1:], FLOW, VALID)], {}, r"`source` must hold frames \[H, W, 3\]"),
        ([(FRAME1, FRAME2, FLOW[..., :1], VALID)], {}, "`source` must hold frames"),
        ([(FRAME1, FRAME2, FLOW, VALID[1:])], {}, "`source` must hold frames"),
        ([(FRAME1, FRAME2, FLOW * np.nan, VALID)], {}, "`flow` must be finite"),
        (SOURCE, {"batch_size": 8, "seed": 0}, "`batch_size` must .* 7. Received: .*=8"),
    ],
)
def test_bad_records_are_refused_before_training(model, source, options, message):
    with pytest.raises(ValueError, match=message):
        flow_batches(source, model, **options)


def test_later_records_are_checked_when_they_are_read(model):
    dataset = flow_batches([*SOURCE[:1], record(1, HEIGHT - 1)], model, 1)
    with pytest.raises(ValueError, match="at least as large as the model's frames"):
        dataset[1]


def test_moved_photographs_go_in_as_they_are(model):
    data = kp.data.moved_photographs(size=SIZE)
    frames, flow, _ = flow_batches(data.test, model, 2)[0]
    frame1, frame2, vectors, _ = data.test[1]
    np.testing.assert_allclose(frames[1, 0], frame1 / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(frames[1, 1], frame2 / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(flow[1] * 20, vectors, rtol=1e-6)
