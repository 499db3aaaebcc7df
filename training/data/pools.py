"""The windows from which mixtures are made: those of each source in a corpus, paired or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stemlode.runs import Failed
from training.recipes.base import Mixing, rest_of


@dataclass(frozen=True)
class Pool:
    """The windows that a source can be drawn from: a row of the index and a start each."""

    rows: np.ndarray  # int64 [windows]
    starts: np.ndarray  # float64 [windows], seconds in the song; NaN where the chunk is the window
    alike: dict[Any, list[int]]  # windows by what the mixing is constrained in


def backings(index: pa.Table, mixing: Mixing) -> list[dict[str, Pool]]:
    """The ways to make a mixture, each with pools by source, the target first: of the other
    sources, or, from samples that lack some of them, of one source that is all but the target."""
    held = index["sources"].to_pylist()
    kinds = _kinds(index, mixing.mix_constraint)
    ready = rest_of(mixing.target)
    stems = {source: pool(index, held, source, kinds) for source in mixing.sources}
    without_stems = [[] if set(mixing.others) <= set(names) else names for names in held]
    whole = {mixing.target: stems[mixing.target], ready: pool(index, without_stems, ready, kinds)}
    if not all(len(pool.rows) for pool in stems.values()):  # no song has all the sources
        whole[ready] = pool(index, held, ready, kinds)
    options = [stems] if set(stems) == set(whole) else [stems, whole]
    return [pools for pools in options if all(len(pool.rows) for pool in pools.values())]


def pool(index: pa.Table, held: Sequence[Sequence[str]], source: str, kinds: Sequence[Any]) -> Pool:
    """A source's salient windows; a chunk whose salience was not measured is one window.

    Only sources that are written count. Mixture − accompaniment of a pair may hold more than
    vocals, so it is no source to mix from.
    """
    rows: list[int] = []
    starts: list[float] = []
    alike: dict[Any, list[int]] = {}
    salient = index["salient"]
    for row, names in enumerate(held):
        if source not in names:
            continue
        windows = dict(salient[row].as_py() or {}).get(source, [np.nan])
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
    row: dict[str, Any], window: float, window_s: float, length: float, place: float
) -> float:
    """The second of its chunk at which a piece of `length` seconds begins. It lies at `place`, from
    0 to 1, in a window that begins at `window` in the song.

    If the window reaches into the next chunk, the piece is moved back into this one.
    """
    chunk, duration = row["start_s"], row["duration_s"]
    latest = max(0.0, duration - length)
    if np.isnan(window):
        return place * latest
    start = window - chunk + place * max(0.0, window_s - length)
    return min(latest, max(0.0, start))
