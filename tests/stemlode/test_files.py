"""Files appear whole or not at all."""

import errno
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stemlode import files


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = str(tmp_path / "a" / "b.bin")
    with pytest.raises(RuntimeError), files.atomic_write(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert files.list_files(str(tmp_path)) == []


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    target = str(tmp_path / "b.bin")
    files.write_bytes(target, b"old")
    with pytest.raises(RuntimeError), files.atomic_write(target) as file:
        file.write(b"new")
        raise RuntimeError
    assert files.read_bytes(target) == b"old"
    assert [Path(path).name for path in files.list_files(str(tmp_path))] == ["b.bin"]


@pytest.mark.parametrize(
    "name", ["ü ñ.txt", "a#b?c.txt", "[x]*.txt", "-rf", "a::b", "~", "new\nline", "%41"]
)
def test_hostile_names_are_just_names(tmp_path: Path, name: str) -> None:
    path = files.join(str(tmp_path), name)
    files.write_bytes(path, b"x")
    assert files.list_files(str(tmp_path)) == [path]
    assert files.read_bytes(path) == b"x" and files.size(path) == 1
    assert len(files.stamps(path)) == 1
    files.remove(path)
    assert not files.exists(path)


def test_only_our_temporaries_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / f"mine{files.TEMPORARY}").write_text("keep")
    (tmp_path / f"half.{'0123456789abcdef' * 2}{files.TEMPORARY}").write_text("drop")
    files.remove_temporaries(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.tmp", "mine.txt"]


def test_a_scheme_that_nobody_knows_and_one_that_is_not_installed_are_said() -> None:
    with pytest.raises(files.BadAddress, match=r"foo://a/b: Protocol not known"):
        files.absolute("foo://a/b")
    with pytest.raises(files.BadAddress, match="reference://"):
        files.exists("reference://")
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(OSError, match="Install s3fs") as caught:
            files.read_bytes("s3://a/b")
        assert caught.value.filename == "s3://a/b"


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    other_end = os.open(tmp_path / "pipe.wav", os.O_RDWR)  # else a failure would wait for ever
    with pytest.raises(OSError, match="not a regular file"):
        files.open_input(str(tmp_path / "pipe.wav"))
    os.close(other_end)


def test_stamps_pass_over_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "x").write_text("one")
    names = [Path(stamp[0]).name for stamp in files.stamps(str(tmp_path))]
    assert names == ["dangling", "x"]


def test_stamps_tell_a_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    before = files.stamps(str(tmp_path))
    path.write_text("three")
    assert files.stamps(str(tmp_path)) != before
    assert files.stamps(str(tmp_path / "nothing")) == []


def test_linked_folders_are_looked_into_where_asked_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "song.wav").write_text("x")
    (tmp_path / "far" / "up").symlink_to(tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "linked").symlink_to(tmp_path / "far")
    folder = str(tmp_path / "music")
    assert f"{folder}/linked/song.wav" in files.list_files(folder, follow_links=True)
    assert f"{folder}/linked/song.wav" not in files.list_files(folder)
    assert any(stamp[0].endswith("linked/song.wav") for stamp in files.stamps(folder))


def test_an_absolute_path_has_no_way_up_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert files.absolute(f"{tmp_path}/a/../c") == str(tmp_path.resolve() / "c")
    assert files.absolute(f"{tmp_path}/link/../c") == str(tmp_path.resolve() / "a" / "c")
    assert files.absolute(f"{tmp_path}/link/c") == f"{tmp_path}/link/c"
    assert files.absolute("s3://bucket/a/") == "s3://bucket/a"


def test_folders_that_cannot_be_looked_into_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open", "closed"):
        files.write_bytes(str(tmp_path / name / "song.wav"), b"x")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # modes do not keep root out
    told: list[OSError] = []
    found = files.list_files(str(tmp_path), follow_links=True, unreadable=told.append)
    assert found == [str(tmp_path / "open" / "song.wav")]
    assert [error.filename for error in told] == [str(tmp_path / "closed")]


@pytest.mark.parametrize("happened", [True, False])
def test_a_rename_in_a_store_whose_answer_was_lost_has_happened(
    happened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"memory://lost-{happened}/file"
    files.write_bytes(path, b"old")
    real = MemoryFileSystem.mv

    def lost(self: MemoryFileSystem, source: str, target: str) -> None:
        if happened:
            real(self, source, target)
        else:
            self.rm(source)
        raise FileNotFoundError(source)  # as the second request is answered

    monkeypatch.setattr(MemoryFileSystem, "mv", lost)
    if happened:
        files.write_bytes(path, b"newer")
    else:
        with pytest.raises(FileNotFoundError):
            files.write_bytes(path, b"newer")
    assert files.read_bytes(path) == (b"newer" if happened else b"old")


def test_a_store_that_fails_does_not_say_that_there_is_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise ConnectionError("no answer")

    fs, _ = files.system("memory://a")
    assert not files.is_file("memory://a")
    monkeypatch.setattr(type(fs), "info", fails)
    with pytest.raises(OSError, match="no answer"):
        files.is_file("memory://a")
