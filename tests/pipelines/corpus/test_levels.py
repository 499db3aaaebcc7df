"""A pair whose level changes, from `prune`'s row to the report, as a user takes it there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.verify import command
from stemlode import audio, cli, runs, tables
from tests.pipelines.corpus.test_command import _pair, _track, _write_pairs

RATE = 44_100


@pytest.mark.slow
def test_hours_that_a_level_gave_are_counted_and_told(test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "audio" / "multitrack" / "so_easy"
    backing, vocals = (
        audio.read(str(folder / f"{name}.mp3"), sample_rate=RATE).samples[:, : 24 * RATE]
        for name in ("accompaniment", "vocals")
    )
    gain = 10 ** (np.minimum(0, 12 - np.arange(24 * RATE) / RATE) / 20).astype(np.float32)
    for name, samples in (("mix", (backing + vocals) * gain), ("instrumental", backing)):
        soundfile.write(tmp_path / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    tracks = (_track(n, str(tmp_path / f"{n}.wav")) for n in ("mix", "instrumental"))
    row = _pair(*tracks, "song", coherent=True, matched_spans=[[0.0, 24.0]])
    pairs = _write_pairs(tmp_path / "pairs", [row])
    output = tmp_path / "corpus"
    argv = ["corpus", "--pairs", str(pairs), "--output", str(output), "--split", "train=1"]
    assert cli.main([*argv, "--fingerprints", "off"]) == 0
    first, last = sorted(tables.read(str(output), "index").to_pylist(), key=lambda r: r["start_s"])
    assert first["level_db"] is None and first["repaired"] is None
    assert last["repaired"] == "level" and last["level_db"][0] > -1 and last["level_db"][-1] < -11
    assert "vocals" in last["sources"]
    counts = runs.record(str(output))["counts"]
    assert counts["hours_repaired_level"] == pytest.approx(12 / 3600, abs=2e-6)
    assert command.check(str(output))[0] == []
    assert cli.main(["report", str(output), "--output", str(tmp_path / "page.html")]) == 0
    assert "Hours by what was mended of pairs" in (tmp_path / "page.html").read_text()
