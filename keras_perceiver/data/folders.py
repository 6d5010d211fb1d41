"""Files of a kind, in a folder for each class."""

import pathlib

import numpy as np


def class_folders(path, suffixes, test_fraction, seed):
    """Files in `path/<class>/`, split in two with every class in proportion.

    Args:
        path: folder with one sub-folder a class; its name is the class's.
        suffixes: what names of files end with, in lower case.
        test_fraction: fraction held out.
        seed: of the split.

    Returns:
        Paths to train on and their labels, those held out and theirs, and the names of
        the classes.

    Raises:
        ValueError: `path` is no folder, or has fewer than two classes, or a class has
            fewer than two files.
    """
    from sklearn.model_selection import train_test_split

    root = pathlib.Path(path)
    if not root.is_dir():
        raise ValueError(f"`path` must be a folder. Received: path={path}")
    files = {
        folder.name: sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    }
    if len(files) < 2 or min(map(len, files.values())) < 2:
        counts = {name: len(paths) for name, paths in files.items()}
        raise ValueError(
            "`path` must hold a sub-folder for each of two or more classes, with two or "
            f"more {', '.join(suffixes)} files each. Received: path={path} with "
            f"{counts}"
        )
    paths = [path for paths in files.values() for path in paths]
    labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])
    train, test, train_labels, test_labels = train_test_split(
        paths, labels, test_size=test_fraction, random_state=seed, stratify=labels
    )
    return (train, train_labels), (test, test_labels), list(files)
