"""Sources of optical flow: what a pixel of the first frame says of the second."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import keras_perceiver as kp
from flow_files import write_image, write_kitti
from keras_perceiver.data import photographs
from keras_perceiver.data.photographs import MovedPhotograph, smooth_flow

pytestmark = pytest.mark.one_backend
SIZE = (5, 7)


def moved_by(vector, monkeypatch):
    """Photographs in which everything moves alike."""

    def constant(size, max_flow, rng):
        return np.broadcast_to(np.float32(vector), (*size, 2))

    monkeypatch.setattr(photographs, "smooth_flow", constant)


def test_a_translation_is_one(monkeypatch):
    """Flow (2, -1): what is at (x, y) in frame 1 is at (x + 2, y - 1) in frame 2."""
    moved_by((2, -1), monkeypatch)
    record = kp.data.moved_photographs(size=(20, 30)).train[3]
    frame1, frame2, flow, valid = record
    assert frame1.shape == frame2.shape == (20, 30, 3) and frame1.dtype == np.uint8
    assert flow.shape == (20, 30, 2) and flow.dtype == np.float32 and valid is None
    np.testing.assert_array_equal(frame1[1:, :-2], frame2[:-1, 2:])


def test_the_ground_truth_of_a_warp_is_exact():
    """On an image that tells its own coordinates, for each way to lay a crop."""
    rows, columns = np.indices((90, 120))
    photograph = np.stack([rows * 2, columns * 2, rows], axis=-1).astype("uint8")
    ways = set()
    for frame1, frame2, flow, _ in MovedPhotograph(photograph, (24, 32), 4.0, 60):
        x, y = np.moveaxis(flow, -1, 0)
        here, there = frame1[..., :2].astype(float), frame2[..., :2].astype(float)
        right, down = there[0, 1] - there[0, 0], there[1, 0] - there[0, 0]
        ways.add((*right, *down))
        # Linear in x and y, so that frame 2 has a value between its pixels too.
        i, j = np.indices(x.shape)
        expected = there[0, 0] + (j + x)[..., None] * right + (i + y)[..., None] * down
        assert np.abs(here - expected).max() <= 0.6  # rounded to whole grey levels
        assert 0 < np.hypot(x, y).max() <= 4
    assert len(ways) == 8


def test_frames_of_a_real_photograph_follow_the_flow():
    records = kp.data.moved_photographs(test_count=9).test
    frame1, frame2, flow, _ = max(records, key=lambda record: np.abs(record[2]).max())
    inside = slice(10, -10)
    y, x = np.indices(flow.shape[:2])

    def difference(sign):
        there = np.stack([y + sign * flow[..., 1], x + sign * flow[..., 0]])
        seen = map_coordinates(frame2[..., 1].astype(float), there)
        return np.abs(seen - frame1[..., 1])[inside, inside].mean()

    assert difference(1) < 0.6
    assert difference(-1) > 5 * difference(1)


def test_both_frames_are_recoloured_alike():
    grey = np.indices((60, 60)).sum(0)[..., None].repeat(3, axis=-1).astype("uint8") + 60
    plain, coloured = (
        MovedPhotograph(grey, (16, 16), 2.0, 20, recolour=recolour)
        for recolour in (False, True)
    )
    kinds = set()
    for before, after in zip(plain, coloured, strict=True):
        np.testing.assert_array_equal(before[2], after[2])
        old, new = (np.stack(record[:2]).astype(float) for record in (before, after))
        for channel in range(3):
            x, y = old[..., channel].ravel(), new[..., channel].ravel()
            seen = (y > 0) & (y < 255)  # not cut off at black or white
            if seen.sum() < 50:
                continue
            contrast, brightness = np.polyfit(x[seen], y[seen], 1)
            assert np.abs(contrast * x[seen] + brightness - y[seen]).max() < 2
            assert 0.45 < contrast < 1.55
            kinds.add(round(contrast, 1))
    assert len(kinds) > 8
    china = kp.data.moved_photographs(train_count=2)
    assert china.train.recolour and not china.test.recolour


def test_one_photograph_is_held_out_whole():
    from sklearn.datasets import load_sample_image

    data = kp.data.moved_photographs(train_count=5, test_count=3)
    assert (len(data.train), len(data.test)) == (5, 3)
    assert len(list(data.test)) == 3
    for source, name in ((data.train, "china.jpg"), (data.test, "flower.jpg")):
        np.testing.assert_array_equal(source.photograph, load_sample_image(name))
    assert not np.array_equal(data.train[0][2], data.test[0][2])  # nor its warps


def test_a_record_depends_on_its_index_and_the_seed_alone():
    first, again = (kp.data.moved_photographs(train_count=n).train for n in (5, 9))
    other = kp.data.moved_photographs(seed=1).train
    for a, b in zip(first[4][:3], again[4][:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[4][1], first[3][1])
    assert not np.array_equal(first[4][1], other[4][1])


def test_warps_are_smooth_and_of_all_lengths(rng):
    flows = [smooth_flow((64, 48), 4.0, rng) for _ in range(60)]
    longest = [np.linalg.norm(flow, axis=-1).max() for flow in flows]
    assert 0 < min(longest) < 0.5 and 3.5 < max(longest) <= 4
    for flow in flows:
        # Neighbours move nearly alike: nothing tears or folds.
        assert max(np.abs(np.diff(flow, axis=axis)).max() for axis in (0, 1)) < 0.5
    assert max(np.ptp(flow, axis=(0, 1)).max() for flow in flows) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (64, 420)}, r"`size` .* 1 to .*, 419\. Received: size=\(64, 420\)"),
        ({"size": (0, 8)}, "`size` must be"),
        ({"max_flow": 0}, "`max_flow` must be positive. Received: max_flow=0"),
        ({"max_flow": float("nan")}, "`max_flow` must be positive"),
        ({"test_count": 0}, "`count` must be 1 or more. Received: count=0"),
    ],
)
def test_moved_photographs_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        kp.data.moved_photographs(**options)


def sintel_folder(root, scenes=("alley", "market", "temple")):
    from PIL import Image

    images = {}
    for i, scene in enumerate(scenes):
        for number in (1, 2, 3):
            name = f"{scene}/frame_{number:04}"
            path = root / f"training/clean/{name}.png"
            images[name] = write_image(path, 10 * i + number, SIZE)
            if number == 3:
                continue
            flow = np.full((*SIZE, 2), 10 * i + number)
            path = root / f"training/flow/{name}.flo"
            path.parent.mkdir(parents=True, exist_ok=True)
            kp.preprocessing.write_flo(path, flow)
            invalid = np.zeros(SIZE, "uint8")
            invalid[0, number] = 255
            path = root / f"training/invalid/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(invalid).save(path)
    return images


def test_sintel(tmp_path):
    images = sintel_folder(tmp_path)
    data = kp.data.sintel(str(tmp_path), test_fraction=0.3)
    assert (len(data.train), len(data.test)) == (4, 2)
    scenes = [{paths[0].parent.name for paths in x.paths} for x in (data.train, data.test)]
    assert not scenes[0] & scenes[1] and len(scenes[1]) == 1
    for part in (data.train, data.test):
        for paths, record in zip(part.paths, part, strict=True):
            scene, number = paths[0].parent.name, int(paths[0].stem[-4:])
            frame1, frame2, flow, valid = record
            np.testing.assert_array_equal(frame1, images[f"{scene}/frame_{number:04}"])
            np.testing.assert_array_equal(frame2, images[f"{scene}/frame_{number + 1:04}"])
            assert (flow[valid] % 10 == number).all()
            assert np.argwhere(~valid).tolist() == [[0, number]]
    with pytest.raises(ValueError, match=r"without 6 files|without 12 files"):
        kp.data.sintel(str(tmp_path), rendering="final")
    (tmp_path / "training/invalid/temple/frame_0002.png").unlink()
    with pytest.raises(ValueError, match=r"without 1 files, first .*invalid.*0002\.png"):
        kp.data.sintel(str(tmp_path))


@pytest.mark.parametrize("images", ["image_2", "colored_0"])
def test_kitti(tmp_path, images):
    for i in range(4):
        for j in (10, 11):
            write_image(tmp_path / f"training/{images}/{i:06}_{j}.png", 100 * i + j, SIZE)
        flow, valid = np.full((*SIZE, 2), i + 0.25), np.zeros(SIZE, bool)
        valid[2, 3] = True
        folder = tmp_path / "training/flow_occ"
        folder.mkdir(exist_ok=True)
        write_kitti(folder / f"{i:06}_10.png", flow, valid)
    data = kp.data.kitti_flow(str(tmp_path), test_fraction=0.25)
    assert (len(data.train), len(data.test)) == (3, 1)
    frame1, frame2, flow, valid = data.train[0]
    assert not np.array_equal(frame1, frame2)
    assert valid.sum() == 1 and flow[2, 3].tolist() == [flow[2, 3, 0]] * 2
    assert flow[2, 3, 0] % 1 == 0.25 and flow.sum() == 2 * flow[2, 3, 0]
    with pytest.raises(ValueError, match=r"two or more training/flow_noc/NNNNNN_10\.png"):
        kp.data.kitti_flow(str(tmp_path), flow="flow_noc")


def chairs_folder(root, count=3):
    (root / "data").mkdir()
    for i in range(1, count + 1):
        for j in (1, 2):
            write_image(root / f"data/{i:05}_img{j}.ppm", 10 * i + j, SIZE)
        kp.preprocessing.write_flo(root / f"data/{i:05}_flow.flo", np.full((*SIZE, 2), i))


def test_flying_chairs(tmp_path):
    chairs_folder(tmp_path)
    table = tmp_path / "FlyingChairs_train_val.txt"
    with pytest.raises(ValueError, match=r"a line for each .* Received: 0 lines for 3"):
        kp.data.flying_chairs(str(tmp_path))
    table.write_text("1\n2\n1\n")
    data = kp.data.flying_chairs(str(tmp_path))
    assert [record[2][0, 0, 0] for record in data.train] == [1, 3]
    assert [record[2][0, 0, 0] for record in data.test] == [2]
    table.write_text("1\n2\n3\n")
    with pytest.raises(ValueError, match="1 for training or 2"):
        kp.data.flying_chairs(str(tmp_path))
    (tmp_path / "data/00002_img2.ppm").unlink()
    table.write_text("1\n2\n1\n")
    with pytest.raises(ValueError, match=r"without 1 files, first .*00002_img2\.ppm"):
        kp.data.flying_chairs(str(tmp_path))


def test_broken_records_are_named(tmp_path):
    chairs_folder(tmp_path)
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n1\n2\n")
    data = kp.data.flying_chairs(str(tmp_path))
    write_image(tmp_path / "data/00001_img2.ppm", 0, (4, 4))
    with pytest.raises(ValueError, match=r"one size.*\(4, 4\), \(5, 7\).*00001_flow\.flo"):
        data.train[0]
    (tmp_path / "data/00002_img1.ppm").write_text("no image")
    with pytest.raises(ValueError, match=r"must be image files.*00002_img1\.ppm"):
        data.train[1]
    flow = tmp_path / "data/00003_flow.flo"
    flow.write_bytes(flow.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"00003_flow\.flo must hold the 7 x 5 vectors"):
        data.test[0]


def test_too_few_scenes(tmp_path):
    sintel_folder(tmp_path, ["alley"])
    with pytest.raises(ValueError, match="two or more training/flow/SCENE.* with 1"):
        kp.data.sintel(str(tmp_path))
    with pytest.raises(ValueError, match="path=/nowhere with 0"):
        kp.data.kitti_flow("/nowhere")
