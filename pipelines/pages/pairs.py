"""Scored pairs as a report shows them: thresholds, distribution, the closest calls, examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.sound.repairs.clock import Part
from pipelines.pages import excerpts
from pipelines.pages.charts import Histogram, histogram
from pipelines.pages.inputs import Folder, real
from stemlode import runs, schemas
from stemlode.addresses.rules import Address

STACK = ("kept", *(d for d in reversed(schemas.DECISIONS) if d not in ("kept", "unreadable")))
COLUMNS = (
    "pair_id",
    "difference",
    "decision",
    "reason",
    "offset_s",
    "gain_db",
    "polarity",
    "mix_audio_uri",
    "instrumental_audio_uri",
    "mix.title",
    "mix.artist",
    "mix.duration_s",
    "instrumental.title",
    "repaired",
    "clock",
)
CLOSEST = 8  # pairs on each list
TRIPLES_KEPT = 3


@dataclass(frozen=True)
class ShownPair:
    """What the page says of one scored pair."""

    pair_id: str
    title: str
    instrumental: str
    artist: str
    decision: str
    reason: str
    difference: float | None
    offset_s: float | None
    gain_db: float | None
    polarity: int
    duration_s: float | None
    mix_uri: str | None
    instrumental_uri: str | None
    repaired: str = ""
    clock: tuple[Part, ...] = ()


def thresholds(prune: Folder) -> dict[str, float]:
    """The least and the greatest difference that are kept, as far as the options say."""
    found = {name: real(prune.option(f"d_{name}")) for name in ("min", "max")}
    return {name: value for name, value in found.items() if value is not None}


def distribution(prune: Folder) -> tuple[Histogram | None, int]:
    """The histogram of the difference by decision, and how many pairs have none."""
    table = prune.table("pairs", ["difference", "decision"])
    if table is None:
        return None, 0
    values = table["difference"].to_numpy().astype(np.float64)
    decisions = np.asarray(table["decision"].to_pylist(), dtype=object)
    stacks = {d: values[decisions == d] for d in STACK}
    stacks["other"] = values[~np.isin(decisions, STACK)]
    unscored = int((~np.isfinite(values)).sum())
    return histogram({k: v for k, v in stacks.items() if v.size}, thresholds(prune)), unscored


def closest_calls(prune: Folder) -> tuple[list[ShownPair], list[ShownPair]]:
    """The worst kept and the best dropped pairs: those nearest to the other side.

    A kept pair is bad as it comes near a threshold; a dropped one is good as its difference lies
    near the range that is kept, or inside it where another criterion dropped it.
    """
    table = prune.table("pairs", COLUMNS)
    if table is None:
        return [], []
    low, high = thresholds(prune).get("min", 0.0), thresholds(prune).get("max", 1.0)
    table = table.filter(pc.is_finite(pc.fill_null(table["difference"], float("nan"))))
    value = table["difference"].to_numpy()
    room = np.minimum(value - low, high - value)  # below 0 outside the range
    kept = np.asarray(pc.equal(table["decision"], "kept"))
    order = np.lexsort((table["pair_id"].to_pylist(), room)) if len(room) else np.zeros(0, int)
    worst = [int(i) for i in order if kept[i]][:CLOSEST]
    best = [int(i) for i in order[::-1] if not kept[i]][:CLOSEST]
    return _pairs(prune, table, worst), _pairs(prune, table, best)


def nearest(prune: Folder, most: int) -> tuple[list[ShownPair], int]:
    """The pairs nearest to a threshold, those without a difference last; how many more are not."""
    table = prune.table("pairs", COLUMNS)
    if table is None:
        return [], 0
    value = table["difference"].to_numpy(zero_copy_only=False).astype(np.float64)
    edges = [edge for edge in thresholds(prune).values() if np.isfinite(edge)] or [0.0]
    away = np.min([np.abs(value - edge) for edge in edges], axis=0)
    order = np.lexsort((table["pair_id"].to_pylist(), np.where(np.isfinite(away), away, np.inf)))
    return _pairs(prune, table, order[:most].tolist()), max(0, len(order) - most)


def examples(prune: Folder) -> list[list[ShownPair]]:
    """Pairs to look at and listen to, each with a few to fall back on where audio is missing.

    Kept pairs from the lower, the middle and the upper part of the range; one of each other
    decision, from the middle of its range; one of each way in which pairs were mended.
    """
    table = prune.table("pairs", COLUMNS)
    if table is None:
        return []
    table = table.filter(
        pc.and_(pc.is_valid(table["mix_audio_uri"]), pc.is_valid(table["instrumental_audio_uri"]))
    )
    table = table.sort_by([("difference", "ascending"), ("pair_id", "ascending")])
    decision = np.asarray(table["decision"].to_pylist(), dtype=object)
    mended = np.asarray([text or "" for text in table["repaired"].to_pylist()], dtype=object)
    chosen: list[list[ShownPair]] = []
    for repair in sorted({*mended} - {""}):
        found = [int(i) for i in np.flatnonzero(mended == repair)]
        chosen.append(_pairs(prune, table, found[len(found) // 2 :][:3]))
    for wanted in ("kept", *(d for d in schemas.DECISIONS if d not in ("kept", "unreadable"))):
        rows = np.flatnonzero((decision == wanted) & (mended == ""))
        pieces = TRIPLES_KEPT if wanted == "kept" else 1
        for piece in np.array_split(rows, pieces):
            middle = len(piece) // 2
            around = sorted(range(len(piece)), key=lambda i, m=middle: abs(i - m))  # type: ignore[misc]
            if around:
                chosen.append(_pairs(prune, table, [int(piece[i]) for i in around[:3]]))
    return chosen


def _pairs(prune: Folder, table: pa.Table, rows: Sequence[int]) -> list[ShownPair]:
    rules = runs.rules([prune.path], [], prune.allowed)
    taken: list[dict[str, Any]] = table.take(pa.array(rows, pa.int64())).to_pylist()
    return [
        ShownPair(
            pair_id=row["pair_id"],
            title=row["mix.title"],
            instrumental=row["instrumental.title"],
            artist=row["mix.artist"] or "",
            decision=row["decision"],
            reason=row["reason"] or "",
            difference=real(row["difference"]),
            offset_s=real(row["offset_s"]),
            gain_db=real(row["gain_db"]),
            polarity=-1 if row["polarity"] == -1 else 1,
            duration_s=real(row["mix.duration_s"]),
            mix_uri=Address(row["mix_audio_uri"] or "", rules),
            instrumental_uri=Address(row["instrumental_audio_uri"] or "", rules),
            repaired=row["repaired"] or "",
            clock=excerpts.parts(row["clock"]),
        )
        for row in taken
    ]
