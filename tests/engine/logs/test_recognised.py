"""What is recognised and cannot be read is named, as Aim 3.29 and Comet 3.58 leave it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from engine.errors import LogError
from engine.logs.folder import Folder
from engine.logs.read import read_logs
from engine.logs.recognised import unreadable

KEY = "4797c5cfd69a44a8976e98d88abaabd6.zip"


def test_an_aim_store_is_named(tmp_path: Path) -> None:
    for name in ("meta", "seqs"):
        (tmp_path / ".aim" / name / "chunks" / "c0").mkdir(parents=True)
    (tmp_path / ".aim" / "meta" / "chunks" / "c0" / "LOG").write_text("step 1 loss 2\n" * 9)
    (tmp_path / ".aim" / "run_metadata.sqlite").touch()
    assert [path for path, _ in unreadable(Folder(tmp_path / ".aim"))] == [tmp_path / ".aim"]
    for path in (tmp_path, tmp_path / ".aim"):
        with pytest.raises(LogError, match=r"\.aim: it is a repository of Aim"):
            read_logs(path)


def test_comet_archives_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / KEY, "w"):
        pass
    with pytest.raises(LogError, match="archive of an offline Comet experiment"):
        read_logs(tmp_path)
    with zipfile.ZipFile(tmp_path / KEY, "w") as archive:
        archive.writestr("experiment.json", "{}")
        archive.writestr("messages.json", "{}\n")
    with pytest.raises(LogError, match="archive of an offline Comet experiment"):
        read_logs(tmp_path / KEY)


def test_other_archives_and_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / ".aim").mkdir()
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("train.csv", "a,b\n")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert unreadable(Folder(tmp_path)) == []
