"""Scan: a folder of audio becomes a catalogue; nothing is decoded, nothing is lost."""

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import TIT2, TPE1

from pipelines.catalogue import scan
from stemlode import audio, runs, schemas, tables
from stemlode.audio import kinds


def _audio(path: Path, seconds: float = 1.5, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros((round(8000 * seconds), 1)), 8000)
    if tags:
        file = mutagen.File(path, easy=True)
        file.update({name: [value] for name, value in tags.items()})
        file.save()
    return path


def _scan(folder: Path, output: Path) -> dict[str, dict[str, Any]]:
    assert scan.main([str(folder), "--output", str(output)]) == 0
    table = tables.read(str(output), "catalogue")
    assert table.schema.equals(schemas.TRACK)
    root = f"{folder}/"
    return {row["audio_uri"].removeprefix(root): row for row in table.to_pylist()}


def _rejects(output: Path) -> dict[str, str]:
    rows = tables.read(str(output), "rejects").to_pylist()
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row["message"] for row in rows}


def test_tags_and_durations_are_read(tmp_path: Path) -> None:
    names = ["a.flac", "a.ogg", "a.mp3"]
    tags = {
        "artist": "Ünï Códe",
        "title": "Song (Instrumental)",
        "album": "Best of",
        "genre": "Dub",
    }
    for name in names:
        _audio(tmp_path / "in" / name, 1.5, **tags, date="2011-02-03", isrc="QZABC2100001")
    found = _scan(tmp_path / "in", tmp_path / "out")
    assert sorted(found) == sorted(names)
    for row in found.values():
        assert {column: row[column] for column in tags} == tags
        assert row["release_year"] == 2011 and row["isrc"] == "QZABC2100001"
        assert row["duration_s"] == pytest.approx(1.5, abs=0.1)


def test_wav_files_carry_tags_too(tmp_path: Path) -> None:
    path = _audio(tmp_path / "in" / "a.wav")
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(TPE1(text=["Someone"]))
    file.tags.add(TIT2(text=["Something"]))
    file.save()
    row = _scan(tmp_path / "in", tmp_path / "out")["a.wav"]
    assert (row["artist"], row["title"], row["duration_s"]) == ("Someone", "Something", 1.5)


@pytest.mark.parametrize(
    ("name", "artist", "title"),
    [
        ("Abba - Waterloo.wav", "Abba", "Waterloo"),
        ("03 - Abba - Waterloo (Live).wav", "Abba", "Waterloo (Live)"),
        ("Abba/Gold/07. Waterloo.wav", "Abba", "Waterloo"),
        ("Abba/Waterloo.wav", "Abba", "Waterloo"),
        ("1999.wav", "music", "1999"),
        ("99 Luftballons.wav", "music", "Luftballons"),
        (" - .wav", "music", "-"),
    ],
)
def test_names_stand_in_for_tags(name: str, artist: str, title: str) -> None:
    row = scan.track(f"/my/music/{name}", name, audio.AudioInfo(1.0, 8000, 1, "", "stated"), {})
    assert (row["artist"], row["title"]) == (artist, title)


def test_hostile_names_are_just_names(tmp_path: Path) -> None:
    names = ["new\nline.wav", "<script>.wav", "a::b.wav", "[x]*?#%41.wav", "-rf.wav"]
    for name in names:
        _audio(tmp_path / "in" / name)
    assert sorted(_scan(tmp_path / "in", tmp_path / "out")) == sorted(names)


def test_a_name_that_is_no_utf8_is_a_reject(tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "good.wav")
    bad = os.fsencode(tmp_path / "in") + b"/bad\xff.wav"
    Path(os.fsdecode(bad)).write_bytes((tmp_path / "in" / "good.wav").read_bytes())
    assert list(_scan(tmp_path / "in", tmp_path / "out")) == ["good.wav"]
    assert "not UTF-8" in _rejects(tmp_path / "out")["bad\\udcff.wav"]


def test_a_folder_that_cannot_be_looked_into_is_a_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _audio(tmp_path / "in" / "open" / "good.wav")
    _audio(tmp_path / "in" / "far" / "closed" / "lost.wav")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # modes do not keep root out
    assert list(_scan(tmp_path / "in", tmp_path / "out")) == ["open/good.wav"]
    assert "cannot be looked into: Permission denied" in _rejects(tmp_path / "out")["far/closed"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "a" / "song.wav")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    assert "a/song.wav" in _scan(tmp_path / "in", tmp_path / "out")


def test_counts_add_up_and_other_files_are_left_out(tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "song.wav", 2.0)
    (tmp_path / "in" / "cover.jpg").write_bytes(b"picture")
    (tmp_path / "in" / "broken.mp3").write_text("no audio")
    _scan(tmp_path / "in", tmp_path / "out")
    counts = runs.record(str(tmp_path / "out"))["counts"]
    wanted = {"files": 3, "tracks": 1, "rejected": 1, "not_audio": 1, "audio_seconds": 2}
    assert counts == wanted | {"rejects/unreadable": 1}
    assert counts["files"] == counts["tracks"] + counts["rejected"] + counts["not_audio"]


def test_real_audio_and_broken_files(tmp_path: Path, test_data: Path) -> None:
    found = _scan(test_data / "audio", tmp_path / "out")
    row = found["mixes/Jonathan Coulton - Code Monkey.ogg"]
    assert (row["artist"], row["title"]) == ("Jonathan Coulton", "Code Monkey")
    assert row["release_year"] == 2006 and row["duration_s"] == pytest.approx(189.3, abs=0.1)
    assert _rejects(tmp_path / "out").keys() == {
        f"broken/{name}"
        for name in ("empty.wav", "text_named.mp3", "zero_channels.wav", "zeros.ogg")
    }
    claims = found["broken/header_claims_4GiB.wav"]
    assert claims["duration_s"] < 60, "the header's 4 GiB are not there"


@pytest.mark.slow
def test_a_rerun_changes_no_byte_and_the_module_runs_by_itself(tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "song.wav")
    command = [sys.executable, "-m", "stemlode", "scan", str(tmp_path / "in")]
    command += ["--output", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "already complete" in done.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(runs.BadUsage, match="nowhere"):
        scan.main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")])


def test_links_to_nowhere_pipes_and_names_too_long_to_open_are_rejects(tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "good.flac")
    (tmp_path / "in" / "link.wav").symlink_to(tmp_path / "nothing")
    (tmp_path / "in" / "circle.wav").symlink_to(tmp_path / "in" / "circle.wav")
    os.mkfifo(tmp_path / "in" / "pipe.wav")
    other_end = os.open(tmp_path / "in" / "pipe.wav", os.O_RDWR)
    assert list(_scan(tmp_path / "in", tmp_path / "out")) == ["good.flac"]
    os.close(other_end)
    rejects = _rejects(tmp_path / "out")
    assert rejects["link.wav"] == "no such file"
    assert rejects["pipe.wav"] == "not a regular file"
    assert runs.record(str(tmp_path / "out"))["counts"]["files"] == 1 + len(rejects)


def test_a_single_file_is_no_folder(tmp_path: Path) -> None:
    song = _audio(tmp_path / "song.flac")
    with pytest.raises(runs.BadUsage, match=r"song\.flac: is a file"):
        scan.main([str(song), "--output", str(tmp_path / "out")])


def test_a_catalogue_inside_the_music_is_refused_for_it_would_change_the_music(
    tmp_path: Path,
) -> None:
    _audio(tmp_path / "in" / "song.flac")
    with pytest.raises(runs.BadUsage, match=r"--output .* is inside --music"):
        scan.main([str(tmp_path / "in"), "--output", str(tmp_path / "in" / "out")])
    assert not (tmp_path / "in" / "out").exists()


def test_a_run_of_fewer_endings_goes_on_with_these(tmp_path: Path) -> None:
    former = ",".join(kinds.FORMER_EXTENSIONS)
    assert runs.start("scan", str(tmp_path / "out"), {"extensions": former}, {}) is not None

    def endings(*more: str) -> str:
        options = scan.VERB.parse([str(tmp_path), f"--output={tmp_path / 'out'}", *more])
        return scan.VERB.own(options)["extensions"]

    assert endings() == former
    assert endings("--overwrite") == ",".join(kinds.EXTENSIONS)
    assert endings("--extensions=au") == "au"


def test_films_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("a.au", "b.w64", "film.mkv", "FILM.MOV", "cover.jpg"):
        (tmp_path / name).write_bytes(b"")
    found = [*scan.listed(str(tmp_path), {*kinds.EXTENSIONS})]
    assert [Path(path).name for path in found if isinstance(path, str)] == ["a.au", "b.w64"]
    counts = Counter(item.value[0] for item in found if not isinstance(item, str))
    assert counts == {"files": 5, "not_audio": 3, "films": 2}
    assert "2 films" in scan.films_left_out(counts)[0] and not scan.films_left_out({})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no audio: no file at all"),
        (["notes.txt"], r"holds no audio: 1 files, 1 of which have other endings \(--extensions"),
        (["a.wav", "b.txt"], r"no track came of it: 2 files, .* 1 are rejected; .*rejects-"),
    ],
)
def test_a_catalogue_of_nothing_is_no_success(
    names: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in names:
        (tmp_path / "in" / "deep" / name).write_text("no sound")
    with pytest.raises(runs.Failed, match=message):
        scan.main([str(tmp_path / "in"), f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["counts"]
    assert counts["files"] == len(names) == counts["rejected"] + counts["not_audio"]
