"""What mixtures can be made of: the windows of each source in a corpus, paired or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stemlode.runs import Failed
from training.data import windows as data_windows
from training.recipes.base import Mixing, rest_of


@dataclass(frozen=True)
class Pool:
    """The windows that a source can be drawn from: a row of the index and a start each."""

    rows: np.ndarray  # int64 [windows]
    starts: np.ndarray  # float64 [windows], seconds in the song; NaN where the chunk is the window
    alike: dict[Any, list[int]]  # windows by what the mixing is constrained in


def backings(index: pa.Table, mixing: Mixing) -> list[dict[str, Pool]]:
    """What a mixture can be made of, the target first: the other sources, or, from samples that
    lack some of these, one ready source that is all but the target."""
    held = index["sources"].to_pylist()
    kinds = _kinds(index, mixing.mix_constraint)
    ready = rest_of(mixing.target)
    stems = {source: pool(index, held, source, kinds) for source in mixing.sources}
    without_stems = [[] if set(mixing.others) <= set(names) else names for names in held]
    whole = {mixing.target: stems[mixing.target], ready: pool(index, without_stems, ready, kinds)}
    if not all(len(pool.rows) for pool in stems.values()):  # then these are no alternative
        whole[ready] = pool(index, held, ready, kinds)
    options = [stems] if set(stems) == set(whole) else [stems, whole]
    return [pools for pools in options if all(len(pool.rows) for pool in pools.values())]


def pool(index: pa.Table, held: Sequence[Sequence[str]], source: str, kinds: Sequence[Any]) -> Pool:
    """A source's salient windows; a chunk whose salience nobody measured is one window."""
    rows: list[int] = []
    starts: list[float] = []
    alike: dict[Any, list[int]] = {}
    salient = index["salient"]
    for row, names in enumerate(held):
        if not data_windows.names(list(names), source):
            continue
        windows = dict(salient[row].as_py() or {}).get(source, [np.nan])
        if kinds[row] is not None:
            alike.setdefault(kinds[row], []).extend(range(len(rows), len(rows) + len(windows)))
        rows += [row] * len(windows)
        starts += windows
    return Pool(np.array(rows, np.int64), np.array(starts, np.float64), alike)


def _kinds(index: pa.Table, constraint: str) -> list[Any]:
    """Each row's kind; Failed where no row has one though the mixing is constrained in it."""
    if constraint == "none":
        return [None] * len(index)
    names = [name for name in index.column_names if name == constraint]
    rows = index.select(names).to_pylist()
    kinds = [kind_of(row, constraint) for row in rows]
    if not any(kind is not None for kind in kinds):
        raise Failed(f"--mix-constraint {constraint}: the corpus knows the {constraint} of no song")
    return kinds


def kind_of(row: dict[str, Any], constraint: str) -> Any:
    """What songs to be mixed must share; None where the song's is not known, which goes with any.

    Keys and genres by their names; tempos within ±3 %, where half and double are the same.
    """
    value = row.get(constraint)
    if value is None or constraint != "tempo":
        return value.casefold() if isinstance(value, str) and value.strip() else None
    return round(12 * math.log2(value)) % 12 if value > 0 else None


def windows(pools: dict[str, Pool]) -> float:
    """How often to choose these: by the windows of a source that is mixed with the target."""
    counts = [len(pool.rows) for pool in pools.values()][1:]
    return sum(counts) / len(counts)


def start_in_chunk(
    row: dict[str, Any], window: float, window_s: float, length: float, place: float
) -> float:
    """Where in its chunk a piece of `length` seconds begins, at `place` in 0…1 of its window, which
    begins at `window` in the song.

    A window may reach into the next chunk; the piece then lies as far back as it must.
    """
    chunk, duration = row["start_s"], row["duration_s"]
    latest = max(0.0, duration - length)
    if np.isnan(window):
        return place * latest
    start = window - chunk + place * max(0.0, window_s - length)
    return min(latest, max(0.0, start))
