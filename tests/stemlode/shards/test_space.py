"""Disk: what a run needs and what there is, and part files that give theirs back."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from stemlode import files
from stemlode.runs import Failed
from stemlode.shards import space, tar
from tests.stemlode.shards.test_tar import _part

Usage = namedtuple("Usage", "free")
MIB = 1 << 20


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_what_is_needed_and_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(3e9))
    output = str(tmp_path / "not" / "yet")
    assert space.line(output, 2.5e9) == f"needs about 2.5 GB in {output}, where 3.0 GB are free"
    assert (space.line(output, 3.5e12) or "").startswith("needs about 3.5 TB")
    said = space.line(output, 3.5e9)
    assert (
        said and "it will stop when the disk is full, and go on from there when run again" in said
    )
    assert space.line("memory://bucket/corpus", 3.5e9) is None


def test_what_the_folder_holds_is_not_needed_again(tmp_path: Path) -> None:
    (tmp_path / "_parts").mkdir()
    (tmp_path / "_parts" / "a.part").write_bytes(os.urandom(4 * MIB))
    assert (space.line(str(tmp_path), 5 * MIB) or "").startswith("needs about 1.0 MB")
    assert (space.line(str(tmp_path), 1 * MIB) or "").startswith("needs about 0.0 MB")


def test_a_file_keeps_its_size_and_the_rest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    data = os.urandom(2 * MIB)
    path.write_bytes(data)
    space.free(str(path), [(MIB + 512, MIB // 2)])
    found = path.read_bytes()
    assert len(found) == len(data)
    assert found[: MIB + 512] == data[: MIB + 512]
    assert found[MIB + 512 + MIB // 2 :] == data[MIB + 512 + MIB // 2 :]
    if blocks(path) < len(data):  # where the file system can do it
        assert blocks(path) <= len(data) - MIB // 2 + 2 * 4096
        assert space.freed_beside(str(path)) == [str(path)]
    space.free(str(tmp_path / "gone.part"), [(0, 1)])  # nothing to give back is no error
    assert not (tmp_path / "gone.part").exists()


def test_a_shard_that_stands_needs_no_part(tmp_path: Path) -> None:
    samples = _part(tmp_path, "song", range(4))
    path = str(tmp_path / "train" / "train-00000.tar")
    sha256 = tar.write_shard(path, samples)
    tar.release(samples)
    assert tar.read_part(str(tmp_path / "song.part")) == samples
    assert tar.write_shard(path, samples) == sha256


def test_what_was_given_back_is_made_anew_all_at_once_where_shards_change(tmp_path: Path) -> None:
    kept = _part(tmp_path, "kept", range(20, 22))
    songs = [_part(tmp_path, name, range(n, n + 2)) for n, name in ((0, "a"), (4, "b"))]
    for number, samples in enumerate(songs):
        tar.write_shard(str(tmp_path / f"{number}.tar"), samples)
        tar.release(samples)
    if not space.freed_beside(songs[0][0].part):
        pytest.skip("this disk gives nothing back")
    with pytest.raises(Failed, match="run again to make it anew"):
        tar.write_shard(str(tmp_path / "0.tar"), [*songs[0], kept[0]])
    assert [tar.read_part(str(tmp_path / f"{name}.part")) for name in "ab"] == [None, None]
    assert tar.read_part(str(tmp_path / "kept.part")) == kept
    again = _part(tmp_path, "a", range(2))
    assert space.freed_beside(again[0].part) == [songs[1][0].part]
    assert tar.write_shard(str(tmp_path / "0.tar"), [*again, kept[0]])
    assert files.exists(str(tmp_path / "1.tar"))
