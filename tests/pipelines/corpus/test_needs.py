"""How much disk a corpus will need, and what it takes on the way."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.corpus import needs
from pipelines.corpus.command import main
from pipelines.corpus.options import CorpusPlan
from pipelines.samples.recordings import Shape
from stemlode import files, runs
from stemlode.layouts.songs import Part, Song
from stemlode.runs import Failed
from stemlode.shards import space
from tests.pipelines.corpus.test_command import _pair, _track, _write_pairs

RATE = 8000
PLAN = CorpusPlan(Shape(1.0, RATE, 1), "webdataset", 1 << 20, {"train": 1.0}, 0, 0, False)


def song(folder: Path, name: str, seconds: float) -> Song:
    parts = {}
    for source in ("vocals", "accompaniment"):
        path = folder / name / f"{source}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).uniform(-0.1, 0.1, round(seconds * RATE))
        soundfile.write(path, noise, RATE)
        parts[source] = (Part(str(path)),)
    return Song(name, parts)


def test_of_songs_and_of_pairs(tmp_path: Path) -> None:
    songs = [song(tmp_path, "a", 2.0), song(tmp_path, "bb", 4.0), Song("broken", {}, fault="none")]
    second = space.flac_bytes(1, RATE, 1, 16)
    assert needs.expected_bytes(None, songs, PLAN) == pytest.approx(second * 2 * (2.0 + 4.0))
    mixes = [_track("m", "m.wav", duration_s=5.0), _track("n", "n.wav", duration_s=7.0)]
    other = _track("i", "i.wav")
    rows = [
        _pair(mixes[0], other, "s", coherent=True),
        _pair(mixes[1], other, "t", coherent=None, mix_decoded_s=6.0),
        _pair(mixes[1], other, "u", decision="too_different"),
    ]
    pairs = str(_write_pairs(tmp_path / "pairs", rows))
    assert needs.expected_bytes(pairs, [], PLAN) == pytest.approx(second * (3 * 5.0 + 2 * 6.0))


@pytest.mark.slow
def test_parts_are_given_back_when_their_shard_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        song(tmp_path / "songs", "abc"[: number + 1], 8.0)
    flags = [f"--stems={tmp_path / 'songs'}", "--sample-rate=8000", "--channels=1"]
    flags += ["--chunk-seconds=4", "--window-seconds=0", "--shard-bytes=100kB"]
    assert main([*flags, f"--output={tmp_path / 'whole'}"]) == 0
    assert "corpus: needs about 0." in capsys.readouterr().out

    def lost(*_: object, **__: object) -> None:
        raise Failed("the last step is lost")

    output, remove = tmp_path / "out", files.remove
    with monkeypatch.context() as patched:
        patched.setattr(runs.Run, "finish", lost)
        patched.setattr(files, "remove", lambda path: None if "_parts" in path else remove(path))
        with pytest.raises(Failed, match="the last step is lost"):
            main([*flags, f"--output={output}"])
    parts = list((output / "_parts").glob("*.part"))
    assert len(parts) == 3
    before = {path: path.stat() for path in parts}
    if space.freed_beside(str(parts[0])):
        assert all(stat.st_blocks * 512 <= stat.st_size / 4 for stat in before.values())
    assert main([*flags, f"--output={output}"]) == 0
    whole, again = (runs.record(str(tmp_path / name)) for name in ("whole", "out"))
    assert whole["outputs"] == again["outputs"]
    assert not (output / "_parts").exists()
