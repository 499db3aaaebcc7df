"""What went in and what came out adds up, from the files of a folder on."""

from pathlib import Path

import pytest

from pipelines.pages import inputs
from pipelines.report import command, counts
from stemlode import schemas
from tests.pipelines.report import folders


def scan_run(folder: Path, tracks: int, others: int, rejects: int) -> Path:
    """A finished run of scan."""
    run = folders.start("scan", folder, {})
    rows = [folders.track("A", f"Song {i}") for i in range(tracks)]
    folders.table(run, "catalogue", rows, schemas.TRACK)
    lost = [folders.reject(f"{i}.wav") for i in range(rejects)]
    folders.table(run, "rejects", lost, schemas.REJECT)
    held = {"files": tracks + others + rejects, "tracks": tracks, "not_audio": others}
    return folders.finish(run, held | {"rejected": rejects, "audio_seconds": 4 * tracks})


def match_run(folder: Path, catalog: Path, read: int) -> Path:
    """A finished run of match, of which no track found a partner."""
    run = folders.start("match", folder, {"rule": "thesis"}, catalog=catalog)
    folders.table(run, "candidates", [], schemas.CANDIDATE)
    folders.table(run, "rejects", [], schemas.REJECT)
    return folders.finish(run, {"tracks_read": read, "candidates": 0})


def test_the_flow_begins_with_what_scan_found(tmp_path: Path) -> None:
    scan = scan_run(tmp_path / "tracks", 4, 2, 3)
    match_run(tmp_path / "candidates", scan, 4)
    found = counts.chains(inputs.find([str(tmp_path)])[0])
    assert len(found) == 1
    first = [(segment.label, segment.value) for segment in found[0].stages[0].segments]
    assert first == [("with a track", 4), ("other endings", 2), ("rejected", 3)]
    assert found[0].stages[1].total == 4
    assert found[0].name == "tracks → candidates"
    assert found[0].checks and not found[0].broken


def test_tracks_that_got_lost_on_the_way_are_said(tmp_path: Path) -> None:
    scan = scan_run(tmp_path / "tracks", 4, 2, 3)
    match_run(tmp_path / "candidates", scan, 3)
    broken = counts.chains(inputs.find([str(tmp_path)])[0])[0].broken
    assert [(check.left, check.right) for check in broken] == [(4, 3)]


def test_songs_that_were_not_heard_are_counted(tmp_path: Path) -> None:
    run = folders.start("pitch", tmp_path / "pitch", {})
    folders.finish(run, {"inputs": 3, "heard": 2, "rejected": 1}, rejects={"c.mp3": "damaged"})
    (found,) = counts.read_and_rejected(inputs.find([str(tmp_path)])[0])
    assert (found.read, found.rejected, found.dropped, found.passed) == (3, 1, 0, 2)


def test_what_is_left_out_of_a_page_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = scan_run(tmp_path / "one" / "tracks", 2, 0, 0)
    match_run(tmp_path / "one" / "candidates", scan, 2)
    scan_run(tmp_path / "two" / "tracks", 3, 0, 0)
    half = scan_run(tmp_path / "two" / "half", 1, 0, 0)
    (half / "_SUCCESS").unlink()
    page = tmp_path / "page.html"
    words = [str(tmp_path / "two"), "--compare", str(tmp_path / "one"), "--output", str(page)]
    assert command.main(words) == 0
    said = capsys.readouterr().err
    assert f"not finished, and left out: {half}" in said
    assert "candidates: no other run of match is on the page; left out" in said
    assert "Two runs of scan" in page.read_text()
