"""Hundreds of files with flipped bytes and cut ends: each comes out once, and none costs more."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemlode import runs, schemas, tables
from tests.pipelines.prune import folders
from tests.pipelines.prune.test_command import _prune
from tests.stemlode.audio.containers.making import BARE, encoded, sound, written

EACH = 60  # variants of a format
MOST_MIB = 250
SECONDS = 6.0


def _formats() -> dict[str, bytes]:
    music, fast = sound(SECONDS), sound(SECONDS, rate=48_000)
    return {
        "flac": written(music, "FLAC"),
        "mp3": encoded(music, "mp3", "libmp3lame", quality="4", **BARE),
        "ogg": written(music, "OGG"),
        "m4a": encoded(music, "ipod", "aac"),
        "webm": encoded(fast, "webm", "libopus", 48_000),
    }


def _variants() -> Iterator[tuple[str, bytes]]:
    """Half of them cut, half with one to a thousand bytes flipped, more of them in the header."""
    rng = random.Random(0)
    for ending, whole in _formats().items():
        for number in range(EACH):
            data = bytearray(whole)
            if number % 2:
                del data[rng.randrange(len(data)) :]
            for _ in range(rng.choice((0, 1, 1000)) if number % 2 else 10 ** rng.randrange(4)):
                if data:
                    end = rng.choice((200, len(data)))
                    data[rng.randrange(min(end, len(data)))] ^= 1 << rng.randrange(8)
            yield f"{number}.{ending}", bytes(data)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("bad")
    whole = folder / "whole.flac"
    whole.write_bytes(written(sound(SECONDS), "FLAC"))
    found = []
    for name, data in _variants():
        (folder / name).write_bytes(data)
        found.append(folders.pair(name, folder / name, whole))
    assert len(found) == 5 * EACH == 300
    return found


@pytest.mark.slow
def test_every_bad_file_comes_out_once(rows: list[dict], tmp_path: Path) -> None:
    scored = _prune(tmp_path, rows)
    assert sorted(row["pair_id"] for row in scored) == sorted(row["pair_id"] for row in rows)
    rejects = tables.read(str(tmp_path / "pairs"), "rejects").to_pylist()
    keys = [row["key"] for row in rejects]
    unreadable = [row["mix_track_id"] for row in scored if row["decision"] == "unreadable"]
    assert sorted(keys) == sorted(unreadable) and len({*keys}) == len(keys)
    assert 100 < len(keys) < len(rows)
    for row in rejects:
        assert row["error"] not in ("crashed", "timeout"), row
        assert "\n" not in row["message"] and len(row["message"]) < 120
    counts = runs.record(str(tmp_path / "pairs"))["counts"]
    assert sum(counts[name] for name in schemas.DECISIONS) == len(rows)


LISTEN = """
import json, sys
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune.scoring import Listener

def status(name, pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

listener = Listener(Settings(), Thresholds())
listener.decoder._start()
process = listener.decoder._process
before = [status("VmRSS", pid) for pid in ("self", process.pid)]
for row in json.load(open(sys.argv[1])):
    listener.hear([row])
    assert listener.decoder._process is process, "the decoder crashed or hung"
print([status("VmHWM", pid) - had for pid, had in zip(("self", process.pid), before)])
listener.close()
"""


@pytest.mark.slow
def test_none_takes_much_memory(rows: list[dict], tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, str(tmp_path / "rows.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    worker, decoder = json.loads(done.stdout)
    assert worker < MOST_MIB and decoder < MOST_MIB
    print(f"{worker:.0f} MiB in the worker, {decoder:.0f} MiB in its decoder")
