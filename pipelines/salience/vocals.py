"""The vocals of a song of a corpus: its chunks put together again, mono, on disk. Free of Beam.

The song's time is that of its index rows, so the grid begins at 0 s of the song, whichever chunks
the corpus holds. Where a chunk was left out, or holds no vocals of its own, the song is silent.
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import soundfile

from pipelines.samples.recordings import Unusable
from stemlode import runs
from stemlode.audio import mixdown
from stemlode.shards import reading, salience
from stemlode.tables import Row
from training.pitch.spool import Spool

SOURCE = "vocals"
FILE = f"{SOURCE}.flac"
SILENT = 1e-4  # of full scale: a song that never gets louder holds no voice
SILENCE_FRAMES = 1 << 18  # of a gap, at a time


def frame_count(rows: Sequence[Row]) -> int:
    """Frames of a song's salience by its rows, in order."""
    end_s = rows[-1]["start_s"] + rows[-1]["duration_s"]
    return salience.frame_count(round(end_s * salience.SAMPLE_RATE))


def signals(folder: str, rows: Sequence[Row], rates: Sequence[int]) -> dict[int, np.ndarray]:
    """A song's vocals at each rate: float32 [samples], the mean of the channels, at true level.

    They lie in nameless files, so a song's length costs no memory. `rows` are those of the index,
    in order. Raises Unusable where the song cannot be used, OSError where it cannot be reached.
    """
    (rate, *others) = {row["sample_rate"] for row in rows}
    if others:
        raise Unusable(f"its chunks have several sample rates: {rate}, {others[0]}", "mixed_rates")
    spools = {wanted: Spool(rate, wanted) for wanted in sorted(set(rates))}
    peak = 0.0
    for block in _blocks(folder, rows, rate):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        for spool in spools.values():
            spool.add(block)
    if peak < SILENT:
        raise Unusable("its vocals are silent in the mean of their channels", "silent")
    return {wanted: spool.signal() for wanted, spool in spools.items()}


def _blocks(folder: str, rows: Sequence[Row], rate: int) -> Iterator[np.ndarray]:
    """A song's vocals at its own rate, chunk by chunk, with silence where there are none."""
    at = 0
    for row in rows:
        first, frames = round(row["start_s"] * rate), round(row["duration_s"] * rate)
        if first < at:
            raise Unusable(f"two chunks lie at {row['start_s']:g} s of it", "overlapping")
        if SOURCE not in row["sources"]:
            continue
        while at < first:
            count = min(SILENCE_FRAMES, first - at)
            yield np.zeros(count, np.float32)
            at += count
        yield _chunk(folder, row, frames)
        at += frames
    end = round((rows[-1]["start_s"] + rows[-1]["duration_s"]) * rate)
    while at < end:
        count = min(SILENCE_FRAMES, end - at)
        yield np.zeros(count, np.float32)
        at += count


def _chunk(folder: str, row: Row, frames: int) -> np.ndarray:
    """A chunk's vocals, float32 [frames]."""
    try:
        data = reading.contents(folder, row, [FILE])[FILE]
        held, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (ValueError, pa.ArrowException, soundfile.LibsndfileError, FileNotFoundError) as error:
        why = f"{row['shard']}: sample {row['sample_id']}: {runs.reason(error)}"
        raise Unusable(why, "unreadable") from error
    if len(held) != frames:
        why = f"{row['shard']}: sample {row['sample_id']}: {len(held)} frames, not {frames}"
        raise Unusable(why, "unreadable")
    return mixdown.mean_of(held) * np.float32(row["scale"])
