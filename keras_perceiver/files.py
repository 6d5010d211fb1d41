"""Reading files that nobody vouches for, and writing folders that are never half there."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil

import ml_dtypes  # noqa: F401 (lets numpy read bfloat16 tensors)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keras_perceiver.preprocessing.files import check_regular, read_bytes

MAX_JSON_BYTES = 4 * 2**20
FLOAT_TYPES = ("F64", "F32", "F16", "BF16")
INTEGER_TYPE = "I8"  # of quantized weights


def read_json(path, max_bytes=MAX_JSON_BYTES):
    """The JSON object in a file.

    Args:
        path: of the file.
        max_bytes: size above which it is refused unread.

    Returns:
        A dict.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, too large, or not a JSON object.
    """
    content = read_bytes(path, max_bytes)
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{path} must hold a JSON object. Received: {type(value).__name__}"
        )
    return value


def sha256(path):
    """Digest of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut(path, pattern):
    """Cut a file off at the first line that begins like a pattern, if there is one.

    In one step: a process that is killed leaves the file as it was, or cut.

    Args:
        path: of a file that need not be there.
        pattern: a regular expression.
    """
    if not os.path.isfile(path):
        return
    with open(path, "rb+") as file:
        found = re.search(b"^" + pattern.encode(), file.read(), re.M)
        if found:
            file.truncate(found.start())


def write_json(path, value):
    """Write a JSON object, readably."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")


class TensorFile:
    """Tensors of a safetensors file: shapes first, values one at a time.

    Args:
        path: of the file. Its header is checked against its size here.
        ignored: functions of a name, true for tensors that nobody will read.
        types: of the tensors that will be read.

    Attributes:
        shapes: shape of each tensor by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, corrupt, or a tensor that is not ignored and of another
            type.
    """

    def __init__(self, path, ignored=(), types=FLOAT_TYPES):
        check_regular(path)
        self.path = path
        with self._naming_errors():
            self._file = safe_open(path, framework="np")
            slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
            self.shapes = {name: tuple(x.get_shape()) for name, x in slices.items()}
            self._types = {name: x.get_dtype() for name, x in slices.items()}
        for name in slices:
            if not any(ignore(name) for ignore in ignored):
                self._check_type(name, types)

    def read(self, name, integers=False):
        """Values of a tensor as a numpy array in float32, or in int8 if `integers`.

        Raises:
            ValueError: a tensor of the other kind.
        """
        self._check_type(name, (INTEGER_TYPE,) if integers else FLOAT_TYPES)
        with self._naming_errors():
            return self._file.get_tensor(name).astype("int8" if integers else "float32")

    def _check_type(self, name, types):
        if self._types[name] not in types:
            raise ValueError(
                f"Tensor `{name}` in {self.path} must be of one of the types {types}. "
                f"Received: {self._types[name]}"
            )

    @contextlib.contextmanager
    def _naming_errors(self):
        try:
            yield
        except SafetensorError as error:
            raise ValueError(
                f"{self.path} is not a complete safetensors file: {error}"
            ) from None


def write_tensors(path, tensors, metadata=None):
    """Write numpy arrays by name as a safetensors file.

    Raises:
        OSError: the file could not be written, for example for lack of space.
    """
    tensors = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    with open(path, "wb"):
        mode = os.stat(path).st_mode
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(f"Could not write {path}: {error}") from None
    os.chmod(path, mode)  # `save_file` lets nobody else read it


@contextlib.contextmanager
def atomic_folder(path):
    """A folder that appears complete, or not at all.

    Yields a new folder beside `path` to write into. On success it takes the place
    of `path`; on an error it is removed, and what was at `path` stays. A process
    killed midway leaves at most a hidden folder `.NAME.*.partial` beside it.

    Args:
        path: of the folder; parents are created.

    Raises:
        ValueError: `path` is a file, or a folder with something in it that the new
            one would not replace.
        OSError: `path` cannot be written.
    """
    with _fresh_folder(path) as fresh:
        yield fresh
        _sync(fresh)
        _replace(fresh, os.path.realpath(path))
    _sync_one(os.path.dirname(os.path.realpath(path)))


@contextlib.contextmanager
def atomic_files(path):
    """Files that appear complete in a folder, or not at all.

    Yields a new folder beside `path` to write into. On success its files move to
    `path`, next to what is there or in place of files of the same name; on an error
    they are removed.

    Args:
        path: of the folder; made if it is not there.

    Raises:
        ValueError: `path` is a file.
        OSError: `path` cannot be written.
    """
    with _fresh_folder(path) as fresh:
        yield fresh
        _sync(fresh)
        os.makedirs(path, exist_ok=True)
        for name in sorted(os.listdir(fresh)):
            os.replace(os.path.join(fresh, name), os.path.join(path, name))
    _sync_one(path)


@contextlib.contextmanager
def _fresh_folder(path):
    """A new folder beside `path`, which is gone in the end."""
    path = os.path.realpath(path)
    parent, name = os.path.split(path)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} must be a folder to write. Received: a file")
    fresh = os.path.join(parent, f".{name}.{secrets.token_hex(4)}.partial")
    try:
        os.makedirs(parent, exist_ok=True)
        os.mkdir(fresh)
    except OSError as error:
        raise OSError(
            error.errno, f"Cannot write into {parent} ({error.strerror})", path
        ) from None
    try:
        yield fresh
    finally:
        # After an exchange of folders, the old one.
        shutil.rmtree(fresh, ignore_errors=True)


def _replace(fresh, path):
    if not os.path.isdir(path):
        try:
            os.rename(fresh, path)
            return
        except OSError as error:
            # Another process may have written the same in the meantime.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    foreign = sorted(set(os.listdir(path)) - set(os.listdir(fresh)))
    if foreign:
        raise ValueError(
            f"{path} must be a new or empty folder, or one that this call wrote before: "
            f"it would be replaced, and with it {foreign[:5]}"
        )
    if not _exchange(fresh, path):
        # No atomic exchange here: for a moment there is no folder at `path`.
        old = f"{fresh}.old"
        os.rename(path, old)
        os.rename(fresh, path)
        shutil.rmtree(old)


def _exchange(one, other):
    """Swap two folders in one step, where the system can: whether it could."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), other)


def _sync(folder):
    for root, _, names in os.walk(folder):
        for name in names:
            _sync_one(os.path.join(root, name))
        _sync_one(root)


def _sync_one(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_constant(name):
    raise ValueError(f"{name} is not a JSON number")
