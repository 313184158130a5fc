"""What the endings of files' names say: which files of a folder formats look into, and which they pass over.

An ending never makes a file a log: its content does. A folder may hold a million files, and of these only such as
may be logs are opened. A file that a person names is looked into whatever its ending is.
"""

from __future__ import annotations

import os
import re

NO_LOGS = frozenset({
    "7z", "aac", "arrow", "avi", "bin", "bmp", "bz2", "c", "cc", "ckpt", "cpp", "css", "cu", "cuh", "feather",
    "flac", "gif", "h", "h5", "hdf5", "heic", "html", "ico", "ipynb", "jpeg", "jpg", "js", "lmdb", "md",
    "mkv", "mov", "mp3", "mp4", "msgpack", "npy", "npz", "o", "ogg", "onnx", "parquet", "pdf", "pickle",
    "pkl", "png", "ppm", "pt", "pth", "py", "pyc", "pyd", "pyi", "rs", "rst", "safetensors", "so", "svg",
    "tar", "tflite", "tif", "tiff", "ts", "wav", "webm", "webp", "whl", "xz", "zst",
})  # fmt: skip
"""Of files that no training logs to and that come in great numbers."""
_OF_OTHER_KINDS = frozenset({
    "cfg", "csv", "db", "gz", "ini", "pid", "sh", "sqlite", "sqlite3", "swanlab", "toml", "tsv", "wandb",
    "yaml", "yml", "zip",
})  # fmt: skip
"""Of files that hold settings, tables or a log of some format of its own, and no lines of JSON."""
_TABLES = frozenset({"csv", "tsv", "tab", "log", "txt", "dat", ""})
OUTPUT = frozenset({"log", "out", "err", "stdout", "stderr"})
"""Of files that are a program's output by their names."""
_TEXTS = OUTPUT | {"txt", "e", ""}
_JOB = re.compile(r"\.[oe][0-9]+$")
"""A job's output, as batch systems name it: train.sh.o12345."""


def ending(name: str) -> str:
    """The ending of a file's name, in small letters and without its dot; empty where it has none."""
    return os.path.splitext(name)[1][1:].lower()  # noqa: PTH122 (of a hundred thousand names)


def may_be_lines(name: str) -> bool:
    """Whether a file of this name may hold lines of JSON."""
    return ending(name) not in _OF_OTHER_KINDS and not name.startswith(".")


def may_be_table(name: str) -> bool:
    """Whether a file of this name may hold a table."""
    return ending(name) in _TABLES


def may_be_output(name: str) -> bool:
    """Whether a file of this name may hold what a program printed."""
    return (ending(name) in _TEXTS and not name.startswith(".")) or _JOB.search(name) is not None
