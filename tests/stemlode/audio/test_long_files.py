"""However long or odd a file is, a verb reads it in the memory that a short one takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stemlode import audio
from tests.stemlode.audio.containers.making import BARE, encoded, sound, written

RATE, PIECE_S, PIECES = 8000, 300, 36  # three hours of mono
GROWTH_MIB = 250
CHILD = """
import json, sys, tempfile
from pathlib import Path
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.corpus import command as corpus
from pipelines.catalogue import scan
from pipelines.prune.scoring import Listener
from stemlode import audio, runs
from stemlode.audio import AudioError
from training.separation import streams

def memory(name, pid="self"):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

def to_folder(verb, *words):
    assert verb.main([*words, f"--output={folder}/{words[0].strip('-')[:4]}"]) == 0
    return runs.record(f"{folder}/{words[0].strip('-')[:4]}")["counts"]

def heard(decode):
    found = {}
    for path in sorted(Path(music).iterdir()):
        try:
            found[path.name] = decode(str(path))
        except AudioError as error:
            found[path.name] = error.error
    return found

verb, music, folder = sys.argv[1:]
audio.probe(min(map(str, Path(music).iterdir())))  # what is imported when it is needed
before, grown = memory("VmRSS"), 0.0
if verb == "scan":
    found = to_folder(scan, f"--music={music}")
elif verb == "corpus":
    shape = "--sample-rate=8000", "--channels=1", "--split=train=1"
    found = to_folder(corpus, f"--vocals={music}", *shape)
elif verb == "prune":
    listener = Listener(Settings(), Thresholds())
    listener.decoder._start()
    pid = listener.decoder._process.pid
    had = memory("VmRSS", pid)
    found = heard(lambda uri: listener.decoder.decode(uri).duration_s)
    grown = memory("VmHWM", pid) - had
    listener.close()
else:
    def separated(uri):
        with tempfile.TemporaryFile() as file:
            frames, _, rate = streams.decode_to(uri, {8000: file})
        return frames / rate
    found = heard(separated)
print(json.dumps([found, max(grown, memory("VmHWM") - before)]))
"""


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours each: joined FLAC whole and cut, MP3 whose length nothing states, chained Ogg."""
    folder = tmp_path_factory.mktemp("long")
    piece = sound(PIECE_S, 1, RATE)
    flac = written(piece, "FLAC", rate=RATE)
    mp3 = encoded(piece, "mp3", "libmp3lame", RATE, b="16000", **BARE)
    (folder / "joined.flac").write_bytes(flac * PIECES)
    (folder / "cut.flac").write_bytes((flac * PIECES)[: -len(flac) // 2])
    (folder / "bare.mp3").write_bytes(mp3 * PIECES)
    chained = folder / "chained.ogg"
    audio.write(str(chained), piece, RATE)
    chained.write_bytes(chained.read_bytes() * PIECES)
    return folder


HEARD = {  # by each verb, for time; what is wrong with the one that is cut
    "scan": ("joined.flac", "cut.flac", "bare.mp3", "chained.ogg"),
    "corpus": ("joined.flac",),
    "prune": ("bare.mp3", "cut.flac"),
    "separate": ("chained.ogg",),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", HEARD)
def test_three_hours_take_less_than_250_mib(verb: str, music: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for name in HEARD[verb]:
        (tmp_path / "music" / name).symlink_to(music / name)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, verb, str(tmp_path / "music"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, growth = json.loads(done.stdout.splitlines()[-1])
    assert growth < GROWTH_MIB
    if verb == "scan":
        assert found["tracks"] == len(HEARD[verb])
    elif verb == "corpus":
        assert found["songs"] == 1
    else:
        cut = found.pop("cut.flac", "damaged")
        assert cut == "damaged"
        assert all(abs(s - PIECE_S * PIECES) < 10 for s in found.values()), found
