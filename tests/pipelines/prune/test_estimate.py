"""The estimate listens to a few pairs, counts all of them, and writes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.prune import command, estimate
from pipelines.prune.scoring import Heard, Row
from stemlode import runs
from tests.pipelines.prune import folders
from tests.pipelines.prune.folders import candidate, pair, track

SONGS = 40


@pytest.fixture
def folder(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty songs of two pairs that share a mixture, all of them 30 s by the catalogue."""
    monkeypatch.setattr(estimate, "SAMPLE", 3)
    stems = test_data / "audio/multitrack/mallory"
    rows = []
    for song in range(SONGS):
        mix = track(f"mix {song}", str(stems / "mixture.mp3"))
        for name in ("accompaniment", "vocals"):
            other = track(f"{name} {song}", str(stems / f"{name}.mp3"))
            rows.append(candidate(f"song {song}", mix, other))
    return Path(folders.write(tmp_path / "candidates", rows))


def _lines(folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert command.main(["--candidates", str(folder), "--estimate", *flags]) == 0
    return capsys.readouterr().out


def _number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    assert found is not None, said
    return float(found[1].replace(",", ""))


def test_it_counts_all_and_listens_to_a_few(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    said = _lines(folder, capsys)
    assert "80 candidates in 40 songs; 120 tracks, to be decoded 120 times" in said
    assert "1.0 hours of audio to decode\n" in said  # 120 tracks of 30 s
    assert _number(r"listened to (\d+) pairs", said) == 2 * estimate.SAMPLE
    speed, hours = _number(r"([\d,]+) audio s a core", said), _number(r"about ([\d.]+) core", said)
    assert hours == pytest.approx(120 * 30 / 3600 / speed, rel=0.05)
    thesis = _number(r"\(([\d.,]+) for 20,000 such pairs\)", said)
    assert thesis == pytest.approx(hours * 20_000 / 80, rel=0.02)
    assert "with 100 workers" in said
    assert "  0 % (0 to 39 %) of the pairs need mending" in said
    assert sorted(tmp_path.rglob("*")) == before


class _Mended:
    """A listener to whom each song's first pair needs mending, a part of an hour."""

    decoder_cpu_s = 0.0

    def hear(self, song: list[Row]) -> Heard:
        first, *others = (row["pair_id"] for row in song)
        measures: dict[str, Row] = {first: {"repaired": "speed+parts", "matched_share": 0.5}}
        measures |= {pair_id: {"repaired": None} for pair_id in others}
        return Heard(measures, seconds=dict.fromkeys(measures, 3600.0), decoded_s=1.0)

    def close(self) -> None: ...


def test_hours_that_need_mending_are_foretold(folder: Path) -> None:
    said = estimate.lines(estimate.rows(str(folder)), _Mended(), 32)  # type: ignore[arg-type]
    for repair in ("parts", "speed"):  # half an hour of half of 80 pairs
        assert any(line.endswith(f"need mending: {repair}, about 20.00 hours") for line in said)


def test_groups_that_are_split_decode_a_track_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "to be decoded 160 times" in _lines(folder, capsys, "--pairs-per-part", "1")


@pytest.mark.slow
def test_lengths_that_are_not_stated_are_guessed_from_the_rest(
    test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(test_data / "audio/multitrack/mallory/mixture.mp3")
    rows = []
    for song in range(10):
        tracks = [track(f"{song} {role}", path) for role in ("mix", "instrumental")]
        lengths = [100.0, float("nan")] if song < 5 else [float("inf"), -1.0]
        rows.append(
            candidate(
                f"{song}",
                *(one | {"duration_s": s} for one, s in zip(tracks, lengths, strict=True)),
            )
        )
    said = _lines(Path(folders.write(tmp_path / "c", rows)), capsys)
    assert "0.6 hours of audio to decode (15 lengths are guessed)" in said  # 20 × 100 s


def test_what_cannot_be_read_gives_no_estimate(
    tmp_path: Path, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = folders.write(tmp_path / "none", [])
    assert "no estimate of the time: nothing to listen to" in _lines(Path(none), capsys)
    gone = pair("gone", tmp_path / "gone.wav", test_data / "audio/broken/empty.wav")
    broken = folders.write(tmp_path / "broken", [gone])
    said = _lines(Path(broken), capsys)
    assert "no estimate of the time: none of the sample can be read" in said


@pytest.mark.slow
def test_the_command_line(folder: Path, tmp_path: Path) -> None:
    words = ["--candidates", str(folder), "--estimate", "--output", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "prune", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "core-hours" in done.stdout
    assert not (tmp_path / "o").exists()
    with pytest.raises(runs.BadUsage, match="does not exist"):
        command.main(["--candidates", str(tmp_path / "gone"), "--estimate"])


@pytest.mark.parametrize(
    ("count", "pairs", "said"),
    [(0, 12, "0 % (0 to 24 %)"), (3, 12, "25 % (9 to 53 %)"), (5, 5, "100 % (57 to 100 %)")],
)
def test_shares_of_a_sample_are_told_with_an_interval(count: int, pairs: int, said: str) -> None:
    assert estimate._share(count, pairs) == said
