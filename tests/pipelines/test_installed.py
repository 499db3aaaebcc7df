"""The extra `pipelines` alone goes from a folder of audio to a corpus and its report."""

import hashlib
from pathlib import Path

import pytest
import soundfile

from pipelines.demo.music import SAMPLE_RATE, render_song
from stemlode import runs
from tests.installed import Install


def _hashes(folder: Path) -> list[str]:
    """Of the tables, in the order of their names."""
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))
    ]


@pytest.mark.slow
def test_pipelines_alone_scans_matches_prunes_packs_and_reports(
    install: Install, tmp_path: Path
) -> None:
    stemlode = install("pipelines")
    assert not stemlode.has("torch")
    music = tmp_path / "music"
    music.mkdir()
    for seed in range(3):
        stems = render_song(seed, 20)
        instrumental = sum(samples for name, samples in stems.items() if name != "vocals")
        for name, samples in (("", instrumental + stems["vocals"]), (" (Inst.)", instrumental)):
            path = music / f"Band - Song {seed}{name}.flac"
            soundfile.write(path, 0.5 * samples.T, SAMPLE_RATE)
    tracks, candidates, pairs, corpus = (
        tmp_path / name for name in ("tracks", "candidates", "pairs", "corpus")
    )
    stemlode("scan", music, "--output", tracks)
    stemlode("match", "--catalog", tracks, "--output", candidates, "--rule", "extended")
    by_beam = tmp_path / "by-beam"
    stemlode(
        "match", "--catalog", tracks, "--output", by_beam, "--rule", "extended", "--engine", "beam"
    )
    assert _hashes(candidates) == _hashes(by_beam) != []
    stemlode("prune", "--candidates", candidates, "--output", pairs)
    assert runs.record(str(pairs))["counts"]["kept"] == 3
    stemlode("corpus", "--pairs", pairs, "--output", corpus, "--chunk-seconds", "2")
    assert "is whole" in stemlode("verify", corpus)
    stemlode("report", candidates, pairs, corpus, "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Song 1" in page
