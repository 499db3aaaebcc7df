"""A pair whose level changes, or that went through an equaliser, from `prune`'s row to the
report, as a user takes it there."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import repair as cases
from pipelines.verify import command
from stemlode import audio, cli, runs, tables
from stemlode.shards import tar
from tests.pipelines.corpus.test_command import _pair, _track, _write_pairs

RATE = 44_100


@pytest.fixture
def song(test_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Accompaniment and voice of a real song."""
    folder = test_data / "audio" / "multitrack" / "so_easy"
    backing, vocals = (
        audio.read(str(folder / f"{name}.mp3"), sample_rate=RATE).samples[:, : 24 * RATE]
        for name in ("accompaniment", "vocals")
    )
    return backing, vocals


def _corpus(folder: Path, mixture: np.ndarray, backing: np.ndarray, *options: str) -> Path:
    """A corpus of one pair."""
    folder.mkdir()
    for name, samples in (("mix", mixture), ("instrumental", backing)):
        soundfile.write(folder / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    tracks = (_track(n, str(folder / f"{n}.wav")) for n in ("mix", "instrumental"))
    row = _pair(*tracks, "song", coherent=True, matched_spans=[[0.0, 24.0]])
    pairs = _write_pairs(folder / "pairs", [row])
    output = folder / "corpus"
    argv = ["corpus", "--pairs", str(pairs), "--output", str(output), "--split", "train=1"]
    assert cli.main([*argv, "--fingerprints", "off", *options]) == 0
    return output


def _rows(output: Path) -> list[dict]:
    return sorted(tables.read(str(output), "index").to_pylist(), key=lambda row: row["start_s"])


@pytest.mark.slow
def test_another_master_is_equalised_where_that_is_asked_for(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    backing, vocals = song
    other = cases.EQUALISED["another master"](backing)
    plain = _rows(_corpus(tmp_path / "plain", backing + vocals, other))
    assert not any(row["repaired"] or "vocals" in row["sources"] for row in plain)
    output = _corpus(tmp_path / "equalised", backing + vocals, other, "--equalise")
    for row in _rows(output):
        assert row["repaired"] == "equalised" and row["level_db"] is None
        assert len(row["equalised_db"]) == 18 and "vocals" in row["sources"]
        at = round(row["start_s"] * RATE)
        data = (output / row["shard"]).read_bytes()[row["offset"] :][: row["size"]]
        held = tar.contents(data)["vocals.flac"]
        got = soundfile.read(io.BytesIO(held))[0].T * row["scale"]
        true = vocals[:, at:][:, : got.shape[1]]
        assert 10 * np.log10(np.sum(true**2) / np.sum((got - true) ** 2)) > 40
    hours = runs.record(str(output))["counts"]["hours_repaired_equalised"]
    assert hours == pytest.approx(24 / 3600, abs=2e-6)


@pytest.mark.slow
def test_hours_that_a_level_gave_are_counted_and_told(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    backing, vocals = song
    gain = 10 ** (np.minimum(0, 12 - np.arange(24 * RATE) / RATE) / 20).astype(np.float32)
    mixture = (backing + vocals) * gain
    output = _corpus(tmp_path / "followed", mixture, backing)
    first, last = _rows(output)
    assert first["level_db"] is None and first["repaired"] is None
    assert last["repaired"] == "level" and last["level_db"][0] > -1 and last["level_db"][-1] < -11
    assert "vocals" in last["sources"]
    as_it_is = _rows(_corpus(tmp_path / "plain", mixture, backing, "--no-follow-level"))
    assert [row["level_db"] for row in as_it_is] == [None, None]
    assert "vocals" not in as_it_is[1]["sources"]
    counts = runs.record(str(output))["counts"]
    assert counts["hours_repaired_level"] == pytest.approx(12 / 3600, abs=2e-6)
    assert command.check(str(output))[0] == []
    assert cli.main(["report", str(output), "--output", str(tmp_path / "page.html")]) == 0
    assert "Hours by what was mended of pairs" in (tmp_path / "page.html").read_text()
