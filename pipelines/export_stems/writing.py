"""A stretch of a song → a folder of float WAV files, chunk by chunk."""

import contextlib
from collections.abc import Callable
from typing import IO

import numpy as np

from pipelines.export_stems.songs import MIXTURE, Stretch
from stemlode import files
from stemlode.audio import wav
from stemlode.shards import songs

LEAST_CHANNELS = 2  # what other trainers take for granted: mono is written twice
PIECE = 1 << 20  # frames of silence at once


def write(
    corpus: str, stretch: Stretch, folder: str, done: Callable[[float], object] = lambda s: None
) -> float:
    """Write `STEM.wav` for each stem, and `mixture.wav` last; the largest value of them.

    The mixture is the one of the corpus, or the sum of the stems where a chunk has none. Memory
    holds one chunk. `done` is called with seconds that are written. Raises as `songs.chunk`.
    """
    names = [*stretch.sums, MIXTURE]
    channels = max(LEAST_CHANNELS, stretch.rows[0]["channels"])
    peak, at, first = 0.0, 0, round(stretch.start_s * stretch.rate)
    with contextlib.ExitStack() as stack:
        sinks: dict[str, IO[bytes]] = {}
        for name in reversed(names):  # closed in reverse, so the mixture is there last
            path = files.join(folder, f"{name}.wav")
            sinks[name] = stack.enter_context(files.atomic_write(path))
            sinks[name].write(wav.header(stretch.frames, channels, stretch.rate))
        for row in stretch.rows:
            begin = round(row["start_s"] * row["sample_rate"]) - first
            _silence(sinks, begin - at, channels)
            parts = _stems(songs.chunk(corpus, row, _wanted(row, stretch)), stretch, channels)
            for name, samples in parts.items():
                sinks[name].write(wav.samples(samples))
                peak = max(peak, float(np.abs(samples).max(initial=0.0)))
            at = begin + parts[MIXTURE].shape[1]
            done(row["duration_s"])
    return peak


def _wanted(row: dict, stretch: Stretch) -> list[str]:
    needed = {name for parts in stretch.sums.values() for name in parts}
    return sorted(needed | ({MIXTURE} & {*row["sources"]}))


def _stems(held: dict[str, np.ndarray], stretch: Stretch, channels: int) -> dict[str, np.ndarray]:
    """A chunk's stems and mixture, float32 [channels, frames], at the level that is written."""
    like = next(iter(held.values()))
    found = {
        name: np.sum([held[part] for part in parts], axis=0, dtype=np.float32)
        if parts
        else np.zeros_like(like)
        for name, parts in stretch.sums.items()
    }
    found[MIXTURE] = held.get(MIXTURE, np.sum([*found.values()], axis=0, dtype=np.float32))
    return {
        name: np.broadcast_to(samples, (channels, samples.shape[1])) * np.float32(stretch.gain)
        for name, samples in found.items()
    }


def _silence(sinks: dict[str, IO[bytes]], frames: int, channels: int) -> None:
    while frames > 0:
        some = min(frames, PIECE)
        for sink in sinks.values():
            sink.write(bytes(4 * channels * some))
        frames -= some
