"""What an estimate says beside what a run then gives."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import estimates
from pipelines.estimates import Estimate, Prices
from stemlode import cli, runs
from stemlode.runs import BadUsage

UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "h": 1.0}


def said(text: str) -> dict[str, float]:
    """The numbers of an estimate, by their names, in bytes and hours."""
    found = {}
    for line in text.splitlines():
        if match := re.match(
            r"  (rows|audio|to read|to write|core-hours) +([\d.,e-]+) ?(\w*)", line
        ):
            found[match[1]] = float(match[2].replace(",", "")) * UNITS.get(match[3], 1.0)
    return found


def near(estimated: float, real: float) -> None:
    assert estimated == pytest.approx(real, rel=0.25)


def _songs(folder: Path, count: int, seconds: float) -> None:
    random = np.random.default_rng(1)
    for number in range(count):
        frames = int(8000 * seconds * random.uniform(0.5, 1.5))
        song = folder / f"song{number}"
        song.mkdir(parents=True)
        for name in ("vocals", "accompaniment"):
            sound = random.normal(0, random.uniform(0.02, 0.1), frames)
            soundfile.write(song / f"{name}.wav", sound, 8000)


@pytest.mark.slow
def test_of_a_folder_of_songs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _songs(tmp_path / "songs", 30, 6.0)
    words = ["corpus", "--stems", str(tmp_path / "songs"), "--sample-rate", "8000"]
    words += ["--chunk-seconds", "2", "--channels", "1", "--fingerprints", "off"]
    assert cli.main([*words, "--estimate"]) == 0
    found = said(capsys.readouterr().out)
    assert cli.main([*words, "--output", str(tmp_path / "out")]) == 0
    counts = runs.record(str(tmp_path / "out"))["counts"]
    near(found["rows"], counts["samples"])
    near(found["audio"], counts["hours"])
    near(found["to write"], estimates.written_by(str(tmp_path / "out")))
    assert found["to read"] == pytest.approx(
        estimates.written_by(str(tmp_path / "songs")), rel=0.01
    )


def test_of_a_folder_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(2)
    (tmp_path / "music").mkdir()
    for number in range(150):
        sound = random.normal(0, 0.1, int(800 * random.uniform(1, 9)))
        soundfile.write(tmp_path / "music" / f"A{number % 9} - {number}.wav", sound, 8000)
        if number % 5 == 0:
            (tmp_path / "music" / f"{number}.flac").write_bytes(b"none")
    assert cli.main(["scan", str(tmp_path / "music"), "--estimate"]) == 0
    text = capsys.readouterr().out
    assert "tried 94 of 180 files" in text and "about 30 rejects" in text
    found = said(text)
    assert cli.main(["scan", str(tmp_path / "music"), "--output", str(tmp_path / "out")]) == 0
    counts = runs.record(str(tmp_path / "out"))["counts"]
    near(found["rows"], counts["tracks"])
    near(found["audio"] * 3600, counts["audio_seconds"])
    table = next((tmp_path / "out").glob("catalogue-*.parquet"))
    near(found["to write"], table.stat().st_size)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("currency = 1", "currency is missing or no str"),
        ("x", "--prices"),
        (estimates.EXAMPLE.replace("0.06", "-1"), "core_hour = -1: not from 0 on"),
        (estimates.EXAMPLE.replace("0.06", "nan"), "core_hour = nan: not from 0 on"),
        (estimates.EXAMPLE.replace("0.06", "true"), "core_hour is missing or no float"),
        (estimates.EXAMPLE + "\ncore_hours = 2", "core_hours is no price"),
    ],
)
def test_a_bad_price_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(BadUsage, match=re.escape(why)):
        estimates.prices_of(str(tmp_path / "prices.toml"))


def test_prices_make_a_cost_and_a_file_to_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "prices.toml")
    first = estimates.prices_of(path)
    assert "was not there: examples were written" in capsys.readouterr().out
    Path(path).write_text(estimates.EXAMPLE, encoding="utf-8-sig")  # as some editors save it
    assert first == estimates.prices_of(path) and first is not None and first.core_hour == 0.06
    assert capsys.readouterr().out == ""
    with pytest.raises(BadUsage, match=r"none\.toml: cannot be written: "):
        estimates.prices_of(f"{path}/none.toml")
    prices = Prices("EUR", 2.0, 10.0, 0.5, 0.25)
    what = Estimate("songs", 1, 2, 3, "samples", 1, 4e9, 2e9, 0, 5.0, gpu_hours=1.5)
    *_, last = estimates.lines(what, prices)
    assert last.endswith(
        "26.00 EUR (cores 10.00, GPUs 15.00, reading 1.00), and 1.00 a month for what is written"
    )


@pytest.mark.parametrize("verb", ["corpus --stems", "scan", "pseudolabel --teacher x --music"])
def test_an_input_that_is_not_there_is_bad_usage(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*verb.split(), str(tmp_path / "gone"), "--estimate"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_of_tracks_to_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    (tmp_path / "music").mkdir()
    for number in range(12):
        sound = random.normal(0, 0.1, (int(44100 * random.uniform(20, 40)), 2))
        soundfile.write(tmp_path / "music" / f"A - {number}.flac", sound, 44100)
    words = ["pseudolabel", "--music", str(tmp_path / "music")]
    words += ["--teacher", "tests.training.teachers.plain_teachers:split"]
    assert cli.main([*words, "--estimate"]) == 0
    found = said(capsys.readouterr().out)
    assert cli.main([*words, "--output", str(tmp_path / "out")]) == 0
    counts = runs.record(str(tmp_path / "out"))["counts"]
    near(found["rows"], counts["samples"])
    near(found["audio"], counts["hours"])
    near(found["to write"], estimates.written_by(str(tmp_path / "out")))
