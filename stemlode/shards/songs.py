"""The songs of a corpus, put together again from their chunks. Free of Beam.

A song's time is that of its index rows: where the corpus left a chunk out, it is silent.
"""

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import soundfile

from stemlode import files, runs
from stemlode.audio import AudioError
from stemlode.ids import digest
from stemlode.runs import BadUsage
from stemlode.shards import reading
from stemlode.tables import Row, read_part

COLUMNS = ["sample_id", "song_id", "split", "shard", "offset", "size", "kind", "sources"]
COLUMNS += ["start_s", "duration_s", "sample_rate", "channels", "scale", "track_ids"]
COLUMNS += ["augmentation", "sha256"]
# By which a row tells of which recording it is.
_TELLING = ("sample_id", "song_id", "kind", "start_s", "sample_rate", "track_ids", "augmentation")

LONGEST_S = 24 * 3600.0


def tables(corpus: str, name: str) -> list[str]:
    """The files of one of a corpus' tables; BadUsage where the folder holds no corpus."""
    try:
        record = runs.record(corpus)
    except BadUsage as error:
        raise BadUsage(f"--corpus {error}") from error
    outputs = sorted(record["outputs"])
    if not any(path.startswith("index-") for path in outputs):
        raise BadUsage(f"--corpus {corpus}: holds a run of {record['verb']}, not a corpus")
    return [files.join(corpus, path) for path in outputs if path.startswith(f"{name}-")]


def song_of(row: Row, recordings: Mapping[str, Sequence[str]]) -> str:
    """Which recording a row of the index was cut from: one of those of its song, or, where the
    corpus does not say, whatever shares its tracks and its augmentation."""
    known = recordings.get(row["song_id"], ())
    if len(known) == 1:
        return known[0]
    first_frame = str(round(row["start_s"] * row["sample_rate"]))
    for recording in known:
        if row["sample_id"] == digest(recording, first_frame):
            return recording
        if row["track_ids"] == [recording]:  # of pseudolabel, whose recordings are tracks
            return recording
    facts = [row["song_id"], row["kind"], *(row["track_ids"] or []), row["augmentation"] or ""]
    return digest(*facts)


def rows_of(corpus: str, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a corpus' index, each with the recording that it was cut from (see `song_of`).

    `columns` are wanted beside those that say so. Raises as `tables`, Failed for one that is
    damaged.
    """
    known: dict[str, list[str]] = defaultdict(list)
    for path in tables(corpus, "songs"):
        for row in read_part(path, ["recording_id", "song_id"]).to_pylist():
            known[row["song_id"]].append(row["recording_id"])
    wanted = [*dict.fromkeys((*_TELLING, *columns))]
    for path in tables(corpus, "index"):
        for batch in read_part(path, wanted).to_batches(max_chunksize=1024):
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                yield song_of(row, known), row


def sources(folder: str, rows: Sequence[Row]) -> tuple[dict[str, np.ndarray], int]:
    """A song's sources by name, float32 [channels, samples] at true level, and their rate.

    `rows` are those of the index, in order. A source that a chunk lacks is silent in it. AudioError
    where a chunk is damaged or two overlap, OSError where one cannot be reached.
    """
    (rate, *others) = {row["sample_rate"] for row in rows}
    if others:
        raise AudioError(
            f"its chunks have several sample rates: {rate}, {others[0]}", "mixed_rates"
        )
    for row in rows:
        if not (0 <= row["start_s"] < LONGEST_S and 0 < row["duration_s"] < LONGEST_S):
            raise AudioError("the index gives a chunk no place in a song")
    total = max(round((row["start_s"] + row["duration_s"]) * rate) for row in rows)
    found: dict[str, np.ndarray] = {}
    at = 0
    for row in rows:
        first, frames = round(row["start_s"] * rate), round(row["duration_s"] * rate)
        if first < at:
            raise AudioError(f"two chunks lie at {row['start_s']:g} s of it", "overlapping")
        at = first + frames
        for name, samples in chunk(folder, row).items():
            whole = found.setdefault(name, np.zeros((len(samples), total), np.float32))
            if len(whole) != len(samples):
                raise AudioError(f"{name} has {len(whole)} channels, and {len(samples)} later")
            whole[:, first:at] = samples
    return found, rate


def missing(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Stretches of a song, first and last second, before its last chunk that no chunk covers."""
    found, at = [], 0.0
    for row in rows:
        if row["start_s"] - at > 0.5 / row["sample_rate"]:
            found.append((at, row["start_s"]))
        at = row["start_s"] + row["duration_s"]
    return found


def chunk(folder: str, row: Row, wanted: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """A chunk's sources, or those that are wanted, float32 [channels, frames] at true level.

    `row` is its row of the index. Raises as `sources`.
    """
    names = row["sources"] if wanted is None else wanted
    frames = round(row["duration_s"] * row["sample_rate"])
    found = {}
    try:
        contents = reading.contents(folder, row, [f"{name}.flac" for name in names])
        for name in names:
            held, _ = soundfile.read(
                io.BytesIO(contents[f"{name}.flac"]), dtype="float32", always_2d=True
            )
            if len(held) != frames:
                raise ValueError(f"{len(held)} frames of {name}, not {frames}")
            found[name] = held.T * np.float32(row["scale"])
    except (ValueError, pa.ArrowException, soundfile.LibsndfileError, FileNotFoundError) as error:
        why = f"{row['shard']}: sample {row['sample_id']}: {runs.reason(error)}"
        raise AudioError(why) from error
    return found
