"""What `salience --estimate` says beside what a run then gives."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import estimates
from pipelines.salience import estimate
from stemlode import cli, runs, tables
from tests.pipelines.corpus.test_estimate import near, said
from tests.pipelines.salience import sung

RATE = 8000


def _songs(root: Path, count: int) -> Path:
    """Voices that rest now and then, of unequal lengths; and a voice that is silent."""
    random = np.random.default_rng(5)
    for number in range(count):
        time = np.arange(round(RATE * random.uniform(6, 18))) / RATE
        f0 = random.uniform(150, 300) * 2 ** (np.sin(time / 3) / 4)
        f0 *= time % 5 > random.uniform(0.5, 2)
        folder = root / f"song {number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "vocals.wav", sung.voice(f0, RATE) * (number > 0), RATE)
        hiss = 0.05 * random.standard_normal(len(time))
        soundfile.write(folder / "accompaniment.wav", hiss, RATE)
    return root


@pytest.mark.slow
def test_of_a_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--chunk-seconds", "2", "--sample-rate", str(RATE), "--channels", "1"]
    flags += ["--fingerprints", "off"]
    corpus = sung.corpus(_songs(tmp_path / "songs", 16), tmp_path / "corpus", *flags)
    words = ["salience", "--corpus", str(corpus)]
    monkeypatch.setattr(estimate, "HEARD_S", 8.0)
    assert cli.main([*words, "--estimate"]) == 0
    text = capsys.readouterr().out
    assert "tried 6 of 16 songs with vocals" in text and "GPU" not in text
    found = said(text)
    assert cli.main([*words, "--output", str(tmp_path / "out")]) == 0
    counts = runs.record(str(tmp_path / "out"))["counts"]
    assert counts["songs"] == 15 and counts["rejects/silent"] == 1
    near(found["rows"], counts["samples"])
    heard = tables.read(str(tmp_path / "out"), "salience", ["sample_id"])["sample_id"].to_pylist()
    index = tables.read(str(corpus), "index", ["sample_id", "duration_s"]).to_pylist()
    hours = sum(row["duration_s"] for row in index if row["sample_id"] in heard) / 3600
    near(found["audio"], hours)
    near(found["to write"], estimates.written_by(str(tmp_path / "out")))
    near(
        found["to read"],
        estimates.written_by(str(corpus / "train")) + estimates.written_by(str(corpus / "valid")),
    )
