"""Files of a corpus' songs on web servers that fail and come back."""

import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpus import grouping
from pipelines.samples.chunks import AlignedSource
from pipelines.verify import command
from stemlode import cli, retry, runs, tables
from stemlode.retry import ReadFault
from tests.pipelines.corpus.test_command import _noise, _pair, _track, _write_pairs
from tests.web import Web, serving

OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
OPTIONS += ["--window-seconds", "0", "--split", "train=0.6,valid=0.2,test=0.2"]
SONGS, SIDES = 12, ("mix", "other")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "music").mkdir()
    for number in range(SONGS):
        for seed, side in enumerate(("mix", "other")):
            _noise(tmp_path / f"music/{number:02d}-{side}.wav", 1.0, 2 * number + seed)
    with serving(tmp_path / "music") as found:
        yield found


def _run(web: Web, tmp_path: Path, *flags: str, songs: int = 4, to: str = "out") -> int:
    pairs = tmp_path / f"pairs-{songs}"
    if not pairs.exists():
        sides = [
            [_track(f"{n:02d}-{side}", f"{web.address}/{n:02d}-{side}.wav") for side in SIDES]
            for n in range(songs)
        ]
        _write_pairs(pairs, [_pair(*both, f"song {n}") for n, both in enumerate(sides)])
    given = ["--pairs", str(pairs), "--allow-uri", web.address, *OPTIONS, *flags]
    return cli.main(["corpus", "--output", str(tmp_path / to), *given])


def _errors(folder: Path) -> Counter[str]:
    return Counter(row["error"] for row in tables.read(str(folder), "rejects").to_pylist())


def _samples(folder: Path) -> dict[str, object]:
    rows = tables.read(str(folder), "index").to_pylist(maps_as_pydicts="strict")
    return {row["sample_id"]: (row["split"], row["split_group"], row["sha256"]) for row in rows}


def _counts(folder: Path) -> dict[str, float]:
    return runs.record(str(folder))["counts"]


@pytest.mark.slow
def test_a_song_that_cannot_be_reached_is_a_reject_that_comes_in_later(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web.down()
    assert _run(web, tmp_path) == 1
    assert f"4 of 4 songs cannot be reached, 4 of them at {web.address}" in capsys.readouterr().err
    web.up()
    web.faults = {"02-other.wav": 503}
    assert _run(web, tmp_path) == 0
    assert "1 file could not be reached; --retry-rejects tries again" in capsys.readouterr().out
    (row,) = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    assert row["error"] == "unreachable" and "02-other.wav: cannot be reached" in row["message"]
    assert _counts(tmp_path / "out")["unreachable"] == 1
    for _ in range(2):  # and cannot be reached again, however often it is tried
        web.asked.clear()
        assert _run(web, tmp_path, "--retry-rejects") == 0
        assert web.asked["02-other.wav"] and _errors(tmp_path / "out") == {"unreachable": 1}
    web.faults = {}
    assert _run(web, tmp_path, "--retry-rejects") == 0
    assert _errors(tmp_path / "out") == {} and not _counts(tmp_path / "out")["unreachable"]
    assert command.check(str(tmp_path / "out"))[0] == []
    assert _run(web, tmp_path, to="whole") == 0
    assert _samples(tmp_path / "out") == _samples(tmp_path / "whole")
    capsys.readouterr()
    assert _run(web, tmp_path, "--retry-rejects") == 0
    assert "already complete" in capsys.readouterr().out


@pytest.mark.slow
def test_a_song_that_failed_when_it_was_compared_is_not_taken_unseen(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sketch = grouping._sketch

    def broken(sources: list[AlignedSource], *rest: Any) -> Any:
        if sources[0].uri.endswith("01-mix.wav"):
            raise ReadFault(errno.ECONNRESET, "reset", sources[0].uri)
        return sketch(sources, *rest)

    monkeypatch.setattr(grouping, "_sketch", broken)
    assert _run(web, tmp_path) == 0
    assert _errors(tmp_path / "out") == {"unreachable": 1} and not web.asked["01-mix.wav"]


def test_a_store_that_is_down_ends_the_run_and_keeps_what_was_made(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web.faults = {f"{number:02d}-mix.wav": 503 for number in range(1, SONGS)}
    options = ["--fingerprints", "off"]
    assert _run(web, tmp_path, *options, songs=SONGS) == 1
    said = capsys.readouterr().err
    assert f"11 of 12 songs cannot be reached, 11 of them at {web.address} (" in said
    assert "503" in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out" / runs.SUCCESS).exists()
    assert sum(map(bool, web.asked.values())) <= 2 * (retry.IN_A_ROW + 1)
    assert not [*(tmp_path / "out").rglob("*.tar")]  # which would take the sound out of the parts
    web.faults, web.asked = {}, Counter()
    assert _run(web, tmp_path, *options, songs=SONGS) == 0
    assert _errors(tmp_path / "out") == {}
    assert not web.asked["00-mix.wav"] and web.asked["01-mix.wav"]
    assert command.check(str(tmp_path / "out"))[0] == []


@pytest.mark.slow
def test_an_addition_of_what_cannot_be_reached_adds_nothing(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(web, tmp_path, songs=2) == 0
    before = _samples(tmp_path / "out")
    web.faults = {f"{number:02d}-mix.wav": 503 for number in range(2, SONGS)}
    assert _run(web, tmp_path, "--append", songs=SONGS) == 1
    assert "10 of 10 songs cannot be reached" in capsys.readouterr().err
    assert _samples(tmp_path / "out") == before
    web.faults = {}
    assert _run(web, tmp_path, "--append", songs=SONGS) == 0
    assert command.check(str(tmp_path / "out"))[0] == []
    assert _run(web, tmp_path, songs=SONGS, to="whole") == 0
    assert {*_samples(tmp_path / "out")} == {*_samples(tmp_path / "whole")}


@pytest.mark.parametrize("share", ["-0.1", "nan"])
def test_a_share_is_a_share(share: str, web: Web, tmp_path: Path) -> None:
    assert _run(web, tmp_path, "--max-unreachable", share) == 2
