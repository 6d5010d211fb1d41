"""Files of optical flow: what is in them, byte by byte, and what is refused."""

import struct

import numpy as np
import pytest

from flow_files import write_kitti
from keras_perceiver.preprocessing import read_flow, write_flo

pytestmark = pytest.mark.one_backend


def test_flo_is_middleburys_format(tmp_path, rng):
    flow = rng.normal(size=(3, 4, 2)).astype("float32")
    path = write_flo(tmp_path / "a.flo", flow)
    content = path.read_bytes()
    assert content[:4] == b"PIEH"
    assert struct.unpack("<ii", content[4:12]) == (4, 3)  # width first
    assert struct.unpack("<2f", content[12 + 8 : 12 + 16]) == tuple(flow[0, 1])
    again, valid = read_flow(path)
    np.testing.assert_array_equal(again, flow)
    assert valid.all() and again.dtype == np.float32 and valid.dtype == bool


def test_unknown_flow_of_a_flo_file_is_not_valid(tmp_path):
    flow, valid = np.ones((2, 3, 2)), np.ones((2, 3), bool)
    flow[1, 2] = np.nan
    valid[1, 2] = False
    path = write_flo(tmp_path / "a.flo", flow, valid)
    assert struct.unpack("<2f", path.read_bytes()[-8:]) == (1e10, 1e10)
    flow, again = read_flow(path)
    np.testing.assert_array_equal(again, valid)
    assert (flow[1, 2] == 0).all() and (flow[0] == 1).all()


def test_kitti_has_64ths_of_a_pixel_and_a_mask(tmp_path):
    flow = np.asarray([[[0, 0], [-511.5, 511.984375]], [[1 / 64, -1 / 64], [3, 4]]])
    valid = np.asarray([[True, True], [True, False]])
    path = write_kitti(tmp_path / "000000_10.png", flow, valid)
    again, mask = read_flow(path)
    np.testing.assert_array_equal(again, np.where(valid[..., None], flow, 0))
    np.testing.assert_array_equal(mask, valid)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.flo must be a \.flo file, .* 202021\.25\. Received: 0\.0"),
        (b"PIEH\2\0\0\0\3\0\0\0", r"the 2 x 3 vectors .* in 60 bytes\. Received: 12 bytes"),
        (b"PIEH" + 8 * b"\0", "the 0 x 0 vectors"),
        (b"PIEH" + 8 * b"\xff", "the -1 x -1 vectors"),
    ],
)
def test_broken_flo_files_are_refused(tmp_path, content, message):
    path = tmp_path / "a.flo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_flow(path)


def test_other_files_are_refused(tmp_path):
    from PIL import Image

    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((4, 5, 3), "uint8")).save(path)
    with pytest.raises(ValueError, match=r"a\.png must be .* 16 bits.* Received: rgb24"):
        read_flow(path)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ValueError, match=r"a\.png is not a complete PNG file"):
        read_flow(path)
    with pytest.raises(ValueError, match=r"`path` must end in one of \.flo, \.png"):
        read_flow(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        read_flow(tmp_path / "b.png")


def test_what_is_no_flow_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"`flow` must be \[H, W, 2\].*\(3, 4\)"):
        write_flo(tmp_path / "a.flo", np.zeros((3, 4)))
    with pytest.raises(ValueError, match="`flow` must be finite. Received nan"):
        write_flo(tmp_path / "a.flo", np.full((3, 4, 2), np.nan))
    assert not list(tmp_path.iterdir())
