"""Tables as the writers of training tools make them, each with its own habit of opening and rewriting files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class LightningCsv:
    """Lightning's ``CSVLogger``: a metric that comes late has the file rewritten in place, its header sorted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: list[str] = []
        self._rows: list[Mapping[str, Any]] = []

    def log(self, **row: Any) -> None:
        new = set(row) - set(self._keys)
        self._rows.append(row)
        self._keys = sorted({*self._keys, *row})
        with self.path.open("w" if new else "a", newline="") as file:
            writer = csv.DictWriter(file, self._keys)
            if new:
                writer.writeheader()
            writer.writerows(self._rows if new else [row])


class SbCsv:
    """``progress.csv`` of stable-baselines3: new columns go to the end, old rows are padded with commas."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+")
        self._keys: list[str] = []

    def log(self, **row: Any) -> None:
        if extra := sorted(set(row) - set(self._keys)):
            self._keys += extra
            self._file.seek(0)
            lines = self._file.readlines()
            self._file.seek(0)
            self._file.write(",".join(self._keys) + "\n")
            for line in lines[1:]:
                self._file.write(line[:-1] + "," * len(extra) + "\n")
        self._file.write(",".join(str(row.get(key, "")) for key in self._keys) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def write_deepspeed(folder: Path, names: list[str], steps: list[int], values: list[float]) -> None:
    """``csv_monitor`` of one start of DeepSpeed: a file for each name, its header at every start."""
    for name in names:
        with (folder / f"{name.replace('/', '_').replace(' ', '_')}.csv").open("a+", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", name.split("/")[-1]])
            writer.writerows(zip(steps, values, strict=True))
