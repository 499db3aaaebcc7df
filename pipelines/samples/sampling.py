"""A recording's samples: its chunks encoded, with what sounds where. Free of Beam."""

import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipelines.samples import chunks
from pipelines.samples.multitrack_chunks import multitrack_chunks
from pipelines.samples.pair_chunks import pair_chunks
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable, native_rate
from stemlode.audio import activity
from stemlode.audio.powers import sum_squares
from stemlode.ids import digest
from stemlode.schemas.pairs import REPAIRS
from stemlode.shards import tar

_REST_FRAMES = 1 << 18
SPOOL_BYTES = 64 << 20  # of a song's encoded chunks that are held in memory, the rest on disk


def samples(
    recording: Recording, split: str, group: str, shape: Shape, facts: Facts
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """A recording's samples: index row (schemas.INDEX without shard, offset, size), files.

    Activity is measured on whole songs, so that the encoded chunks of one wait in a temporary
    file. `facts` is filled by the time of the last sample. Raises AudioError where the recording
    cannot be used, retry.ReadFault where trying again may help.
    """
    if recording.fault:
        raise Unusable(recording.fault, "layout")
    rate = shape.sample_rate or native_rate(recording)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        rows, meters = _encoded(recording, rate, shape, facts, spool)
        if not rows:
            raise Unusable("its sources have no moment in common", "nothing_in_common")
        first = rows[0]["start_s"]
        salient = {name: meter.starts(first) for name, meter in sorted(meters.items())}
        spool.seek(0)
        for row in rows:
            contents = {name: spool.read(size) for name, size in row.pop("sizes")}
            row |= {"split_group": group, "split": split}
            if meters:
                row["salient"] = _overlapping(salient, row, shape.window_seconds)
                if split == "train" and not any(row["salient"].values()):
                    facts.left_out += 1
                    continue
            contents["json"] = json.dumps(row, sort_keys=True, ensure_ascii=False).encode()
            yield row | {"sha256": tar.hashes(contents)}, contents
    if facts.left_out == facts.chunks:
        raise Unusable("no source is salient anywhere in it", "silent")


def _encoded(
    recording: Recording, rate: int, shape: Shape, facts: Facts, spool: Any
) -> tuple[list[dict[str, Any]], dict[str, "_Salience"]]:
    """Index rows, their FLAC files one after another in `spool`, and what sounds where."""
    chunk_frames = round(shape.chunk_seconds * rate)
    cut = pair_chunks if recording.kind == "pair" else multitrack_chunks
    rows: list[dict[str, Any]] = []
    end_frame = 0
    ear = _Ear(rate, shape)
    for chunk in cut(recording, rate, shape, chunk_frames, facts):
        integers, scale = chunk.integers, chunk.scale
        if rows and (gap := chunk.first_frame - end_frame) > 0:  # between two parts of a pair
            ear.rest(gap)
        names = sorted(integers)
        frames = integers[names[0]].shape[1]
        end_frame = chunk.first_frame + frames
        sizes = []
        for name in names:
            sizes.append(
                (f"{name}.flac", data := chunks.flac(integers[name], rate, shape.flac_bits))
            )
            spool.write(data)
        squares = ear.add(integers, chunks.full_scale(shape.flac_bits) / scale)
        facts.chunks += 1
        facts.duration_s += frames / rate
        rows.append(
            {
                "sample_id": digest(recording.recording_id, str(chunk.first_frame)),
                "song_id": recording.song_id,
                "kind": recording.kind,
                "sources": names,
                "salient": None,
                "start_s": chunk.first_frame / rate,
                "duration_s": frames / rate,
                "sample_rate": rate,
                "channels": shape.channels,
                "scale": scale,
                "track_ids": list(recording.track_ids) or None,
                "licence": recording.licence,
                "genre": recording.genre,
                "release_year": recording.release_year,
                "augmentation": recording.augmentation,
                "activity_threshold": shape.activity_threshold if shape.window_seconds else None,
                "energies_db": {
                    name: chunks.level_db(
                        squares[name], integers[name].size, scale, shape.flac_bits
                    )
                    for name in names
                },
                "leftover_db": chunk.leftover_db,
                "level_db": list(chunk.level_db) if chunk.level_db else None,
                "equalised_db": list(chunk.equalised_db) if chunk.equalised_db else None,
                "repaired": _repaired(recording, chunk),
                "teacher_sha256": None,
                "confidence": None,
                "sizes": [(name, len(data)) for name, data in sizes],
            }
        )
    return rows, ear.meters


def _repaired(recording: Recording, chunk: chunks.Chunk) -> str | None:
    """What was mended of a chunk, as in schemas.INDEX."""
    words = set((recording.repaired or "").split("+"))
    words |= {"level"} if chunk.level_db else set()
    words |= {"equalised"} if chunk.equalised_db else set()
    return "+".join(word for word in REPAIRS if word in words) or None


class _Ear:
    """The meters of a song's sources; a source that comes and goes is silent in between."""

    def __init__(self, sample_rate: int, shape: Shape) -> None:
        """Without windows there are no meters."""
        self.meters: dict[str, _Salience] = {}
        self._made = (
            functools.partial(_Salience, sample_rate, shape) if shape.window_seconds else None
        )
        self._channels, self._lengths = shape.channels, list[int]()

    def add(self, chunk: Mapping[str, np.ndarray], unit: float) -> dict[str, float]:
        """The next chunk: integers [channels, frames] by source, of which `unit` stands for full
        scale; the sum of each source's squares."""
        if self._made is None:
            return {name: sum_squares(samples) for name, samples in chunk.items()}
        for name in sorted({*chunk} - {*self.meters}):
            self.meters[name] = self._made()
            for frames in self._lengths:
                self.meters[name].add(self._silence(frames))
        self._lengths.append(next(iter(chunk.values())).shape[1])
        for name in {*self.meters} - {*chunk}:
            self.meters[name].add(self._silence(self._lengths[-1]))
        return {name: self.meters[name].add(samples, unit) for name, samples in chunk.items()}

    def rest(self, frames: int) -> None:
        """Silence of all sources."""
        if self._made is None:
            return
        for start in range(0, frames, _REST_FRAMES):
            count = min(_REST_FRAMES, frames - start)
            self._lengths.append(count)
            for meter in self.meters.values():
                meter.add(self._silence(count))

    def _silence(self, frames: int) -> np.ndarray:
        return np.zeros((self._channels, frames), np.float32)


class _Salience(activity.Meter):
    """A source's meter, with the starts of its salient windows in the song's time."""

    def __init__(self, sample_rate: int, shape: Shape) -> None:
        super().__init__(sample_rate, shape.window_seconds)
        self._rate, self._window_s = sample_rate, shape.window_seconds
        self._threshold = shape.activity_threshold

    def starts(self, first_s: float) -> list[float]:
        found = activity.starts(self.energies(), self._rate, self._window_s, self._threshold)
        return [round(first_s + start, 6) for start in found]


def _overlapping(
    salient: Mapping[str, list[float]], row: Mapping[str, Any], window_s: float
) -> dict[str, list[float]]:
    """The windows of each source that share at least a millisecond with a chunk."""
    begin, end = row["start_s"], row["start_s"] + row["duration_s"]
    return {
        name: [s for s in starts if s < end - 1e-3 and s + window_s > begin + 1e-3]
        for name, starts in salient.items()
        if name in row["sources"]
    }
