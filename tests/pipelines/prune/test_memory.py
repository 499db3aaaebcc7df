"""However long a recording is, listening to it takes the memory of a short one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio

HOURS = 3
LISTEN = """
import json, sys
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune.scoring import Listener
from tests.pipelines.prune.folders import pair

def status(name, pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

listener = Listener(Settings(), Thresholds())
row = pair("long", *sys.argv[1:])
listener.decoder._start()
pids = ["self", listener.decoder._process.pid]
before = [status("VmRSS", pid) for pid in pids]
(found,) = listener.hear([row]).measures.values()
print(json.dumps([found, [status("VmHWM", pid) - had for pid, had in zip(pids, before)]]))
listener.close()
"""


@pytest.mark.slow
def test_a_pair_of_three_hours_takes_less_than_250_mib(tmp_path: Path, test_data: Path) -> None:
    songs = [
        [audio.read(str(test_data / f"audio/multitrack/{song}/{name}.mp3"), sample_rate=16_000,
                    mono=True).samples[0] for song in ("mallory", "so_easy")]
        for name in ("mixture", "accompaniment")
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    order = rng.integers(0, 2, HOURS * 120)
    levels = rng.uniform(0.2, 0.8, len(order))  # or half a minute would be like any other
    paths = [tmp_path / name for name in ("mixture.flac", "instrumental.flac")]
    for path, parts in zip(paths, songs, strict=True):
        with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
            for which, level in zip(order, levels, strict=True):
                file.write(level * parts[which])
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, *map(str, paths)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, (worker, decoder) = json.loads(done.stdout)
    assert found["decision"] == "kept", found["reason"]
    assert found["matched_spans"][-1][1] == pytest.approx(HOURS * 3600, abs=60)
    assert worker < 250
    assert decoder < 50
