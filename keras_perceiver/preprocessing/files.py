"""Reading files that nobody vouches for."""

import os
import stat

# Vocabularies in use are smaller; what is larger is refused unread.
MAX_FILE_BYTES = 64 * 2**20


def read_bytes(path):
    """Content of a regular file of at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file (a pipe could block for ever), or too large.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} must be a regular file.")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"{path} must not be larger than {MAX_FILE_BYTES} bytes. "
            f"Received: {status.st_size} bytes"
        )
    with open(path, "rb") as file:
        return file.read()
