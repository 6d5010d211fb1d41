"""Sets of points as records, and batches of them."""

import numpy as np
import pytest

import keras_perceiver as kp
import tiny_points
from keras_perceiver.data import PointSource, batches, digit_points

pytestmark = pytest.mark.one_backend


def test_digits_become_their_inked_pixels():
    data, images = digit_points(), kp.data.digits()
    assert data.labels == images.labels
    sizes = [len(points) for part in (data.train, data.test) for points, _ in part]
    assert (min(sizes), max(sizes)) == (16, 42)
    for part, expected in ((data.train, images.train), (data.test, images.test)):
        np.testing.assert_array_equal(part.labels, expected.labels)
        points, image = part[5][0], expected[5][0]
        assert points.dtype == np.float32
        drawn = np.zeros((8, 8), "float32")
        columns, rows = np.rint((points[:, 0] + 1) * 3.5), np.rint((1 - points[:, 1]) * 3.5)
        drawn[rows.astype(int), columns.astype(int)] = points[:, 2]
        np.testing.assert_array_equal(drawn, image[..., 0])


def test_folders_of_sets(tmp_path):
    for name, size in (("bar", 3), ("star", 7)):
        (tmp_path / name).mkdir()
        for i, points in enumerate(tiny_points.sets(*[size] * 5)):
            np.save(tmp_path / name / f"{i}.npy", points)
    data = kp.data.point_folder(str(tmp_path))
    assert (data.labels, len(data.train), len(data.test)) == (["bar", "star"], 8, 2)
    for part in (data.train, data.test):
        assert {(len(points), label) for points, label in part} == {(3, 0), (7, 1)}
    np.save(tmp_path / "bar" / "0.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"0.npy must hold an array .*shape=\(3,\)"):
        kp.data.point_folder(str(tmp_path))


@pytest.fixture(scope="module")
def model():
    return tiny_points.classifier()


def test_batches_have_one_shape(model):
    """As large as the largest set: a model is compiled once."""
    source = PointSource(tiny_points.sets(3, 9, 1, 5, 0, 2), np.arange(6) % 3)
    dataset = batches(source, model, batch_size=2, seed=0)
    for step in range(6):
        inputs, labels = dataset[step]
        assert inputs["points"].shape == (2, 9, 3)
        assert inputs["padding_mask"].shape == (2, 9)
        for points, mask, label in zip(*inputs.values(), labels, strict=True):
            found = [
                i for i, x in enumerate(source.sets) if np.array_equal(points[mask == 1], x)
            ]
            assert [source.labels[i] for i in found] == [label]
    ordered = batches(source, model, batch_size=6)[0]
    np.testing.assert_array_equal(
        ordered[0]["padding_mask"].sum(axis=1), [3, 9, 1, 5, 0, 2]
    )
    np.testing.assert_array_equal(ordered[1], source.labels)


def test_augmentation_may_leave_points_out(model):
    source = PointSource(tiny_points.sets(8, 8), [0, 1])

    def half(points, rng):
        return rng.permutation(points)[:4]

    dataset = batches(source, model, batch_size=2, seed=0, augmentation=half)
    (first, _), (again, _) = dataset[0], dataset[1]
    assert first["points"].shape == (2, 8, 3)
    assert (first["padding_mask"].sum(axis=1) == 4).all()
    assert not np.array_equal(
        np.sort(first["points"], axis=None), np.sort(again["points"], axis=None)
    )


def test_bad_sources_are_refused_before_training(model):
    with pytest.raises(ValueError, match="`labels` must be 2 integers, one a set"):
        PointSource(tiny_points.sets(3, 2), [0.5, 1])
    bad = PointSource([*tiny_points.sets(3), np.full((2, 3), 2.0)], [0, 1])
    with pytest.raises(ValueError, match="coordinates from -1 to 1"):
        batches(bad, model, batch_size=2)
    with pytest.raises(ValueError, match="`labels` must lie between 0 and num_classes - 1"):
        batches(PointSource(tiny_points.sets(3), [3]), model, batch_size=1)


def test_clips_and_paths_of_clips_are_records_too(tmp_path):
    import tiny_audio
    from keras_perceiver.preprocessing import write_wav

    model = tiny_audio.classifier(patch_size=16)
    clips = tiny_audio.clips(4)
    files = [
        write_wav(tmp_path / f"{i}.wav", clip, sample_rate=tiny_audio.RATE)
        for i, clip in enumerate(clips)
    ]
    records = list(zip([*clips[:2], *files[2:]], [0, 1, 2, 0], strict=True))
    inputs, labels = batches(records, model, batch_size=4)[0]
    np.testing.assert_allclose(inputs, clips, atol=1e-4)
    np.testing.assert_array_equal(labels, [0, 1, 2, 0])
