"""Arrays of an `.npz` file that nobody vouches for."""

import math
import os
import zipfile

import numpy as np

from keras_perceiver.preprocessing.files import check_regular


class ArrayFile:
    """Arrays of an `.npz` file: shapes first, values one at a time. Never a pickle.

    Args:
        path: of the file, as `numpy.savez` writes it.
        ignored: functions of a name, true for arrays that nobody will read.

    Attributes:
        shapes: shape of each array by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such archive, a compressed or an incomplete one, or an array
            that is not ignored and does not hold floats.
    """

    def __init__(self, path, ignored=()):
        check_regular(path)
        self.path = os.fspath(path)
        self.shapes, self._members = {}, {}
        try:
            self._archive = zipfile.ZipFile(path)
            for member in self._archive.infolist():
                name = member.filename.removesuffix(".npy")
                if not any(ignore(name) for ignore in ignored):
                    self.shapes[name] = self._shape(name, member)
                    self._members[name] = member
        except (zipfile.BadZipFile, OSError) as error:
            raise self._incomplete(error) from None

    def read(self, name):
        """Values of an array, in float32."""
        try:
            with self._archive.open(self._members[name]) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise self._incomplete(error) from None
        return array.astype("float32")

    def _shape(self, name, member):
        if member.compress_type != zipfile.ZIP_STORED:
            # What it would unpack to is not bounded by the size of the file.
            raise ValueError(f"{self.path} must be of numpy.savez, not compressed.")
        with self._archive.open(member) as file:
            try:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            except ValueError as error:
                raise self._incomplete(error) from None
            header = file.tell()
        if dtype.kind != "f":
            raise ValueError(
                f"Array `{name}` in {self.path} must hold floats. Received: {dtype}"
            )
        if header + math.prod(shape) * dtype.itemsize != member.file_size:
            raise self._incomplete(f"{name} is not of shape {shape}")
        return shape

    def _incomplete(self, error):
        return ValueError(f"{self.path} is not a complete .npz file: {error}")
