"""Reading files that nobody vouches for."""

import os
import stat

# Vocabularies in use are smaller; what is larger is refused unread.
MAX_FILE_BYTES = 64 * 2**20


def read_bytes(path, max_bytes=MAX_FILE_BYTES):
    """Content of a regular file.

    Args:
        path: of the file.
        max_bytes: size above which it is refused unread.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file (a pipe could block for ever), or too large.
    """
    size = check_regular(path)
    if size > max_bytes:
        raise ValueError(
            f"{path} must not be larger than {max_bytes} bytes. Received: {size} bytes"
        )
    with open(path, "rb") as file:
        return file.read()


def check_regular(path):
    """Size of a file; a ValueError if it is no regular one: a pipe could block for ever."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} must be a regular file.")
    return status.st_size
