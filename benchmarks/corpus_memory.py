"""Corpus writing: peak memory for 1, 4 and 16 GB of decoded sound, which is made while it is read.

Run with `python -m benchmarks.corpus_memory [GB …]`; takes about a minute a GB. Songs of four
minutes in two stereo stems; what lies on disk in their place is empty, and `audio.blocks` is
replaced by synthesis, so that nothing but the verb's own work is measured. Every size is a process
of its own, with the runner in it and all steps on: fingerprints, activity, FLAC, shards, index.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RATE, SONG_S, SIZES_GB = 44_100, 240, (1, 4, 16)
STEMS = ("vocals", "accompaniment")
SONG_BYTES = SONG_S * RATE * 2 * 4 * len(STEMS)
BLOCK_S = 4


def blocks(uri: str, *, sample_rate: int | None = None, **_: object) -> Iterator[object]:
    """What `audio.blocks` gives, for a file of synthetic music: a tuning, a tempo and chords of its
    own, and noise."""
    from stemlode import audio  # noqa: PLC0415

    rate = sample_rate or RATE
    seed = int(hashlib.sha256("/".join(uri.split("/")[-2:]).encode()).hexdigest()[:8], 16)
    draw = np.random.default_rng(seed)
    noise = 0.01 * draw.standard_normal((2, BLOCK_S * rate), np.float32)
    beat = round(draw.uniform(0.4, 0.9) * rate)
    lowest = draw.uniform(80, 160)
    t = np.arange(beat, dtype=np.float32) / np.float32(rate)
    for _ in range(SONG_S // BLOCK_S):
        block = np.roll(noise, draw.integers(rate), axis=1)
        for start in range(0, block.shape[1], beat):
            for pitch in lowest * 2 ** (draw.integers(0, 48, 3) / 12):
                tone = np.sin(np.float32(2 * np.pi * pitch) * t) * np.exp(-3 * t)
                piece = block[:, start : start + beat]
                piece += np.float32(0.15) * tone[: piece.shape[1]]
        yield audio.Audio(block, rate)


def write(folder: str) -> None:
    """The corpus of what lies in a folder; prints its peak memory and its counts."""
    from stemlode import audio, cli, runs  # noqa: PLC0415

    audio.blocks = blocks  # type: ignore[assignment]
    output = f"{folder}/corpus"
    started = time.perf_counter()
    assert cli.main(["corpus", "--stems", f"{folder}/stems", "--output", output]) == 0
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    facts = {"peak_mib": peak / 1024, "s": time.perf_counter() - started}
    print(json.dumps(facts | runs.record(output)["counts"]))


def main(sizes_gb: list[float]) -> None:
    first = 0.0
    for size_gb in sizes_gb:
        songs = max(1, round(size_gb * 1e9 / SONG_BYTES))
        with tempfile.TemporaryDirectory() as folder:
            for song in range(songs):
                for stem in STEMS:
                    path = Path(folder) / f"stems/song {song:04d}/{stem}.wav"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            command = [sys.executable, "-m", "benchmarks.corpus_memory", "--write", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            facts = json.loads(done.stdout.splitlines()[-1])
        first = first or facts["peak_mib"]
        print(
            f"  {size_gb:5g} GB decoded, {facts['songs']} songs, {facts['samples']} samples, "
            f"{facts['shards']} shards: peak {facts['peak_mib']:.0f} MiB, "
            f"{facts['peak_mib'] / first:.2f} of the first; {facts['s']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2])
    else:
        main([float(word) for word in sys.argv[1:]] or list(SIZES_GB))
