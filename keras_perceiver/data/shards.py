"""Arrays in files one after the other: written whole or not at all, mapped into memory."""

import os
from collections.abc import Sequence

import numpy as np

from keras_perceiver.files import atomic_folder, read_json, sha256, write_json

TOKENS, MANIFEST = "tokens.npy", "manifest.json"


class TokenShards(Sequence):
    """Token ids in several files, read as one array `[N]`.

    The files are mapped into memory, so that they may exceed it: a slice reads what it
    takes, and is a view unless it goes across the end of a file. Pickled it is the paths
    alone, so that worker processes map the same files.

    Args:
        folders: where `write_shard` wrote, in order.

    Attributes:
        dtype: of the ids.
        shape: `(N,)`.

    Raises:
        OSError: a file is missing.
    """

    ndim = 1

    def __init__(self, folders):
        self.folders = tuple(folders)
        # Plain arrays: each slice of a `numpy.memmap` is one again, which takes longer.
        self._arrays = [
            np.load(os.path.join(folder, TOKENS), mmap_mode="r").view(np.ndarray)
            for folder in self.folders
        ]
        self._ends = np.cumsum([len(array) for array in self._arrays])
        self.dtype = self._arrays[0].dtype
        self.shape = (int(self._ends[-1]),)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if not isinstance(index, slice):
            index = range(len(self))[index]
            return self._between(index, index + 1)[0]
        indices = range(len(self))[index]
        if len(indices) == 0:
            return np.empty(0, self.dtype)
        low, high = sorted((indices[0], indices[-1]))
        return self._between(low, high + 1)[:: indices.step]

    def __array__(self, dtype=None, copy=None):
        array = np.asarray(self[:], dtype)
        return array.copy() if copy else array

    def __reduce__(self):
        return type(self), (self.folders,)

    def __repr__(self):
        return f"TokenShards({len(self)} tokens in {len(self.folders)} files)"

    def min(self):
        """The smallest id."""
        return min(array.min() for array in self._arrays if len(array))

    def max(self):
        """The largest id."""
        return max(array.max() for array in self._arrays if len(array))

    def _between(self, low, high):
        """Ids from `low` to before `high`, at least one."""
        first = int(np.searchsorted(self._ends, low, side="right"))
        last = int(np.searchsorted(self._ends, high, side="left"))
        parts = self._arrays[first : last + 1]
        start = int(self._ends[first]) - len(parts[0])
        ids = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return ids[low - start : high - start]


def write_shard(folder, pieces, dtype):
    """Write arrays `[n]`, one after the other, as one file with its checksum.

    A process killed midway leaves nothing at `folder`.
    """
    with atomic_folder(folder) as fresh:
        path = os.path.join(fresh, TOKENS)
        count = 0
        with open(path, "wb") as file:
            _write_header(file, dtype, count)
            for piece in pieces:
                count += len(piece)
                file.write(piece.tobytes())
            # numpy leaves room in the header for the length to grow.
            file.seek(0)
            _write_header(file, dtype, count)
        write_json(os.path.join(fresh, MANIFEST), {"sha256": sha256(path)})


def is_sound(folder):
    """Whether a shard is there, byte for byte what was written."""
    try:
        manifest = read_json(os.path.join(folder, MANIFEST))
        return manifest.get("sha256") == sha256(os.path.join(folder, TOKENS))
    except (ValueError, OSError):
        return False


def _write_header(file, dtype, count):
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": (count,)}
    )
