"""Pairs of frames and the optical flow between them, in the folders of data sets."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

from keras_perceiver.data.text import random_split
from keras_perceiver.preprocessing.flow_files import read_flow
from keras_perceiver.preprocessing.images import open_image


@dataclasses.dataclass(frozen=True)
class FlowData:
    """A data set of optical flow, split in two.

    A record is `(frame1, frame2, flow, valid)`: two frames, uint8 `[H, W, 3]`; where each
    pixel of the first has gone in the second, in pixels to the right and down, float32
    `[H, W, 2]`; and where that is known, bool `[H, W]`, or None for everywhere.

    Args:
        train: records to train on.
        test: records held out.

    Example:
    >>> import keras_perceiver as kp
    >>> frame1, frame2, flow, valid = kp.data.moved_photographs().train[0]
    >>> frame1.shape, flow.shape
    ((64, 64, 3), (64, 64, 2))
    """

    train: Sequence
    test: Sequence


class FlowFiles(Sequence):
    """Frames and flow in files, read when asked for.

    Args:
        paths: of first frame, second frame, flow and, for data that have it, an image
            that is not black where the flow is not valid, else None: a tuple each.
    """

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        *frames, flow_path, invalid_path = self.paths[index]
        frame1, frame2 = (open_image(path) for path in frames)
        flow, valid = read_flow(flow_path)
        shapes = {frame1.shape[:2], frame2.shape[:2], valid.shape}
        if invalid_path is not None:
            invalid = open_image(invalid_path).any(axis=-1)  # [H, W]
            shapes.add(invalid.shape)
        if len(shapes) > 1:
            raise ValueError(
                "Frames and flow of a record must have one size. Received: "
                f"{sorted(shapes)} for {flow_path}"
            )
        return frame1, frame2, flow, valid if invalid_path is None else valid & ~invalid

    def __repr__(self):
        return f"FlowFiles({len(self)} pairs)"


def sintel(
    path: str,
    rendering: Literal["clean", "final"] = "clean",
    test_fraction: float = 0.1,
    seed: int = 0,
) -> FlowData:
    """MPI Sintel: scenes of an animated film.

    Args:
        path: of the folder that has `training`, with `clean`, `final`, `flow` and
            `invalid` in it.
        rendering: which of the two; `final` has blur and atmosphere.
        test_fraction: fraction of the scenes held out: the flow of the official test
            set is not public.
        seed: of the split.

    Returns:
        A `FlowData` of consecutive frames, whole scenes on one side.

    Raises:
        ValueError: fewer than two scenes, a file missing, or a fraction out of range.

    Reference:
        Butler et al., ECCV 2012; http://sintel.is.tue.mpg.de
    """
    root = pathlib.Path(path) / "training"
    scenes = {}
    for flow in sorted(root.glob("flow/*/frame_*.flo")):
        scene, number = flow.parent.name, int(flow.stem.removeprefix("frame_"))
        frames = (
            root / rendering / scene / f"frame_{i:04}.png" for i in (number, number + 1)
        )
        invalid = root / "invalid" / scene / f"{flow.stem}.png"
        scenes.setdefault(scene, []).append((*frames, flow, invalid))
    return _split(
        path, "training/flow/SCENE with frame_NNNN.flo", scenes, test_fraction, seed
    )


def kitti_flow(
    path: str,
    flow: Literal["flow_occ", "flow_noc"] = "flow_occ",
    test_fraction: float = 0.1,
    seed: int = 0,
) -> FlowData:
    """KITTI 2012 or 2015: streets, whose flow is known at a part of the pixels.

    Args:
        path: of the folder that has `training`, with the flow and `image_2` (2015) or
            `colored_0` (2012) in it.
        flow: with or without pixels that are hidden in the second frame.
        test_fraction: fraction of the pairs held out: the flow of the official test set
            is not public.
        seed: of the split.

    Returns:
        A `FlowData`.

    Raises:
        ValueError: fewer than two pairs, a file missing, or a fraction out of range.

    Reference:
        Menze and Geiger, CVPR 2015; https://www.cvlibs.net/datasets/kitti
    """
    root = pathlib.Path(path) / "training"
    images = root / ("image_2" if (root / "image_2").is_dir() else "colored_0")
    pairs = {
        file.name: [(images / file.name, images / f"{file.stem[:-1]}1.png", file, None)]
        for file in sorted(root.glob(f"{flow}/*_10.png"))
    }
    return _split(path, f"training/{flow}/NNNNNN_10.png", pairs, test_fraction, seed)


def flying_chairs(path: str) -> FlowData:
    """FlyingChairs: 22,872 pairs of chairs in front of photographs.

    Args:
        path: of the folder with `data` and `FlyingChairs_train_val.txt`, which says what
            is held out.

    Returns:
        A `FlowData` in the official split.

    Raises:
        ValueError: a file missing, or a split that is no line of 1 or 2 for each pair.

    Reference:
        Dosovitskiy et al., ICCV 2015.
    """
    root = pathlib.Path(path)
    table = root / "FlyingChairs_train_val.txt"
    paths = [
        (*(flow.with_name(f"{flow.name[:5]}_img{i}.ppm") for i in (1, 2)), flow, None)
        for flow in sorted(root.glob("data/*_flow.flo"))
    ]
    sides = table.read_text().split() if table.is_file() else []
    if len(sides) != len(paths) or set(sides) != {"1", "2"}:
        raise ValueError(
            f"{table} must have a line for each data/NNNNN_flow.flo, 1 for training or 2 "
            f"for what is held out, with both. Received: {len(sides)} lines for "
            f"{len(paths)} files"
        )
    _check_files(path, paths)
    return FlowData(
        *(
            FlowFiles([x for x, own in zip(paths, sides, strict=True) if own == side])
            for side in ("1", "2")
        )
    )


def _split(path, what, groups, test_fraction, seed):
    """A `FlowData` of paths in groups, each of which is on one side whole."""
    if len(groups) < 2:
        raise ValueError(
            f"`path` must be a folder with two or more {what}, because one is held out. "
            f"Received: path={path} with {len(groups)}"
        )
    _check_files(path, [x for group in groups.values() for x in group])
    names = sorted(groups)
    parts = random_split(len(names), test_fraction, seed)
    return FlowData(
        *(FlowFiles([x for i in part for x in groups[names[i]]]) for part in parts)
    )


def _check_files(path, pairs):
    files = [file for pair in pairs for file in pair if file is not None]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            "`path` must hold the images of each flow file. Received: "
            f"path={path} without {len(missing)} files, first {missing[0]}"
        )
