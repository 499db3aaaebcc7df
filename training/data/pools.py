"""The windows from which mixtures are made: those of each source in a corpus, paired or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from stemlode.runs import Failed
from training.data.windows import read
from training.recipes.answers import Mixing
from training.recipes.values import rest_of

_RECORDING = ("song_id", "track_ids", "augmentation")  # what its chunks share
_TOUCH_S = 1e-3


@dataclass(frozen=True)
class Pool:
    """The windows that a source can be drawn from: a row of the index and a start each."""

    rows: np.ndarray  # int64 [windows]
    starts: np.ndarray  # float64 [windows], seconds in the song; NaN where the chunk is the window
    alike: dict[Any, list[int]]  # windows by what the mixing is constrained in


def following(index: pa.Table) -> np.ndarray:
    """For each row of an index the row of the chunk in which its recording goes on, int64; −1 where
    there is none, or where it is not sure."""
    names = [name for name in (*_RECORDING, "start_s", "duration_s") if name in index.column_names]
    rows = index.select(names).to_pylist()
    at: dict[tuple[str, int], list[int]] = {}
    keys = [repr([row.get(name) for name in _RECORDING]) for row in rows]
    for number, (key, row) in enumerate(zip(keys, rows, strict=True)):
        at.setdefault((key, round(row["start_s"] / _TOUCH_S)), []).append(number)
    found = np.full(len(rows), -1, np.int64)
    for number, (key, row) in enumerate(zip(keys, rows, strict=True)):
        end, own = (
            round(s / _TOUCH_S) for s in (row["start_s"] + row["duration_s"], row["start_s"])
        )
        near = [one for place in (end - 1, end, end + 1) for one in at.get((key, place), ())]
        if len(near) == 1 and len(at[key, own]) == 1 and near[0] != number:
            found[number] = near[0]
    return found


@dataclass(frozen=True)
class Chunks:
    """The chunks of an index, from which pieces of pools are read. With `across`, a piece may begin
    in one chunk and end in the next; without, it is moved back into its own."""

    folder: str
    index: pa.Table
    window_s: float  # length of salient windows
    across: bool = True

    @cached_property
    def next(self) -> np.ndarray:
        """See `following`; all −1 without `across`."""
        if self.across:
            return following(self.index)
        return np.full(len(self.index), -1, np.int64)

    def row(self, number: int) -> dict[str, Any]:
        """A row of the index."""
        return self.index.slice(number, 1).to_pylist()[0]

    def spans(self, first: int, second: int, window: float) -> bool:
        """Whether a window begins in one row's chunk and ends in another's, which follows it."""
        starts, ends = self.limits
        begins = starts[first] - _TOUCH_S <= window < starts[second] - _TOUCH_S
        return bool(begins and window + self.window_s <= ends[second] + _TOUCH_S)

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each row's chunk begins and ends, in seconds of its song."""
        starts, lengths = (self.index[name].to_numpy() for name in ("start_s", "duration_s"))
        return starts, starts + lengths

    def piece(
        self,
        number: int,
        window: float,
        source: str,
        place: float,
        shape: tuple[int, int],
        rate: int,
    ) -> Tensor:
        """A piece of a source, float32 of `shape`, [channels, samples], at `rate`: at `place`, from
        0 to 1, in a window of the chunk that is row `number`. Raises one of `windows.UNREADABLE`.
        """
        row, length = self.row(number), shape[1] / rate
        after = self.row(self.next[number]) if self.next[number] >= 0 else None
        if after is not None and source not in after["sources"]:
            after = None
        room = after["duration_s"] if after else 0.0
        start = start_in_chunk(row, window, self.window_s, length, place, room)
        if after and start >= row["duration_s"]:
            row, start, after = after, start - row["duration_s"], None
        over = after if after and start + length > row["duration_s"] else None
        return read(self.folder, row, source, start, shape, rate, over)


def backings(
    index: pa.Table, mixing: Mixing, chunks: Chunks | None = None
) -> list[dict[str, Pool]]:
    """The ways to make a mixture, each with pools by source, the target first: of the other
    sources, or, from samples that lack some of them, of one source that is all but the target.

    `chunks` are those of the index, if pieces may go on from one into the next."""
    held = index["sources"].to_pylist()
    kinds = _kinds(index, mixing.mix_constraint)
    ready = rest_of(mixing.target)
    stems = {source: pool(index, held, source, kinds, chunks) for source in mixing.sources}
    without_stems = [[] if set(mixing.others) <= set(names) else names for names in held]
    others = pool(index, without_stems, ready, kinds, chunks)
    whole = {mixing.target: stems[mixing.target], ready: others}
    if not all(len(pool.rows) for pool in stems.values()):  # no song has all the sources
        whole[ready] = pool(index, held, ready, kinds, chunks)
    options = [stems] if set(stems) == set(whole) else [stems, whole]
    return [pools for pools in options if all(len(pool.rows) for pool in pools.values())]


def pool(
    index: pa.Table,
    held: Sequence[Sequence[str]],
    source: str,
    kinds: Sequence[Any],
    chunks: Chunks | None = None,
) -> Pool:
    """A source's salient windows; a chunk whose salience was not measured is one window. One that
    begins in a chunk and ends in the next counts once, in the first (`chunks` as for `backings`).

    Only sources that are written count. Mixture − accompaniment of a pair may hold more than
    vocals, so it is no source to mix from.
    """
    rows: list[int] = []
    starts: list[float] = []
    alike: dict[Any, list[int]] = {}
    salient = index["salient"]
    before: dict[int, int] = {}  # by row, the one before it, if that has the source too
    if chunks is not None:
        before = {int(chunks.next[row]): row for row, names in enumerate(held) if source in names}
    for row, names in enumerate(held):
        if source not in names:
            continue
        windows = dict(salient[row].as_py() or {}).get(source, [np.nan])
        if chunks is not None and row in before:
            windows = [w for w in windows if not chunks.spans(before[row], row, w)]
        if kinds[row] is not None:
            alike.setdefault(kinds[row], []).extend(range(len(rows), len(rows) + len(windows)))
        rows += [row] * len(windows)
        starts += windows
    return Pool(np.array(rows, np.int64), np.array(starts, np.float64), alike)


def _kinds(index: pa.Table, constraint: str) -> list[Any]:
    """The kind of each row (`kind_of`); Failed if a constraint is set and no row has a kind."""
    if constraint == "none":
        return [None] * len(index)
    names = [name for name in index.column_names if name == constraint]
    rows = index.select(names).to_pylist()
    kinds = [kind_of(row, constraint) for row in rows]
    if not any(kind is not None for kind in kinds):
        raise Failed(f"--mix-constraint {constraint}: the corpus knows the {constraint} of no song")
    return kinds


def kind_of(row: dict[str, Any], constraint: str) -> Any:
    """What songs must share to be mixed; None if it is not known of a song, which then goes with
    any other.

    Keys and genres are compared by name. Tempos are equal within ±3 %, and so are half and double
    tempos.
    """
    value = row.get(constraint)
    if value is None or constraint != "tempo":
        return value.casefold() if isinstance(value, str) and value.strip() else None
    return round(12 * math.log2(value)) % 12 if value > 0 else None


def windows(pools: dict[str, Pool]) -> float:
    """The weight of a way to make mixtures: the mean number of windows of the other sources."""
    counts = [len(pool.rows) for pool in pools.values()][1:]
    return sum(counts) / len(counts)


def start_in_chunk(
    row: dict[str, Any],
    window: float,
    window_s: float,
    length: float,
    place: float,
    room: float = 0.0,
) -> float:
    """The second of its chunk at which a piece of `length` seconds begins. It lies at `place`, from
    0 to 1, in a window that begins at `window` in the song.

    The piece ends at most `room` seconds after the chunk; if it would end later, it is moved back.
    """
    chunk, duration = row["start_s"], row["duration_s"]
    latest = max(0.0, duration + room - length)
    if np.isnan(window):
        return place * min(latest, duration)
    start = window - chunk + place * max(0.0, window_s - length)
    return min(latest, max(0.0, start))
