"""How the measures of scored pairs are spread, by decision, and what reasons pairs were given."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.pages.charts import Box, Histogram, Tick, nice_ticks, short
from pipelines.pages.inputs import Folder, real

BINS = 40
LISTED = 24  # reasons
_NUMBER = re.compile(r"[-+−±]?\d+([.,:]\d+)*|\b(nan|inf)\b")
_SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Measure:
    """A column of scored pairs. `limits` are the ends of its axis, None where values decide.

    `marks` are the options that are thresholds on it; a name after a minus is one on either side.
    `aligned` says that it means something only where an alignment was found.
    """

    column: str
    title: str
    axis: str
    limits: tuple[float, float] | None = None
    marks: tuple[str, ...] = ()
    aligned: bool = False


MEASURES = (
    Measure("alignment_confidence", "Alignment", "confidence", _SHARE, ("min_confidence",)),
    Measure("matched_share", "Match", "share of the mixture", _SHARE, ("min_share", "min_part")),
    Measure(
        "asymmetry", "Which holds more", "asymmetry, > 0: the mixture", (-1.0, 1.0),
        ("min_asymmetry", "-min_asymmetry", "sparse_asymmetry"),
    ),
    Measure(
        "surplus_spread", "When it holds more", "spread of the surplus over time", _SHARE,
        ("min_spread",),
    ),
    Measure("bass_correlation", "Bass", "correlation", _SHARE, ("min_bass",)),
    Measure("rest_share", "Instrumental at rest", "share of the mixture", _SHARE, ("max_rest",)),
    Measure("offset_s", "Offset", "seconds by which the instrumental is late", aligned=True),
    Measure("gain_db", "Level", "dB to add to the instrumental", aligned=True),
    Measure("drift_ppm", "Speed", "ppm by which the instrumental is faster", None,
            ("max_drift_ppm", "-max_drift_ppm")),
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """A measure's histogram, and what to say below it."""

    measure: Measure
    chart: Histogram
    missing: int


@dataclass(frozen=True)
class Outcome:
    """Pairs of one decision whose reasons differ in their numbers alone; `reason` is one's."""

    decision: str
    reason: str
    pairs: int


def spreads(prune: Folder, order: Sequence[str]) -> list[Spread]:
    """A histogram for each measure that any pair has, stacked by decision in this order."""
    held = prune.columns("pairs")
    names = [m.column for m in MEASURES if m.column in held]
    table = prune.table("pairs", [*names, "decision"])
    if table is None:
        return []
    decisions = np.asarray(table["decision"].to_pylist(), dtype=object)
    found = []
    for measure in MEASURES:
        if measure.column not in names:
            continue
        values = table[measure.column].to_numpy().astype(np.float64)
        if measure.aligned and "matched_share" in names:
            values[np.asarray(table["matched_share"].is_null())] = np.nan
        stacks = {kind: values[decisions == kind] for kind in order}
        stacks["other"] = values[~np.isin(decisions, order)]
        drawn = spread({k: v for k, v in stacks.items() if v.size}, _marks(prune, measure), measure)
        if drawn is not None:
            found.append(Spread(measure, drawn, int((~np.isfinite(values)).sum())))
    return found


def outcomes(prune: Folder, order: Sequence[str]) -> tuple[list[Outcome], int]:
    """Pairs by decision, in this order, and reason, the most frequent first; pairs not listed."""
    table = prune.table("pairs", ["decision", "reason"])
    if table is None:
        return [], 0
    counted: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for row in table.select(["decision", "reason"]).group_by(["decision", "reason"]).aggregate(
        [([], "count_all")]
    ).to_pylist():  # fmt: skip
        reason = row["reason"] or ""
        key = (row["decision"] or "unknown", _NUMBER.sub("…", reason))
        counted[key] += row["count_all"]
        example[key] = min(reason, example.get(key, reason))
    places = {decision: position for position, decision in enumerate(order)}
    keys = sorted(counted, key=lambda k: (places.get(k[0], len(places)), -counted[k], k))
    listed = [Outcome(key[0], example[key], counted[key]) for key in keys[:LISTED]]
    return listed, sum(counted[key] for key in keys[LISTED:])


def spread(
    values: Mapping[str, np.ndarray], marks: Mapping[str, float], measure: Measure
) -> Histogram | None:
    """Values by kind [n] stacked in bins of one width; None where there is not one value.

    Where the measure has no limits of its own, the axis covers all values but the outer percent
    and all marks; what lies beyond is gathered in the bins at its ends.
    """
    width, height, left, right, bottom, top = 360.0, 220.0, 40.0, 350.0, 178.0, 24.0
    finite = {kind: v[np.isfinite(v)] for kind, v in values.items()}
    everything = np.concatenate([*finite.values(), np.zeros(0)])
    if not everything.size:
        return None
    low, high = measure.limits or _ends(everything, list(marks.values()))
    edges = np.linspace(low, high, BINS + 1)
    stacks = {kind: np.histogram(np.clip(v, low, high), edges)[0] for kind, v in finite.items()}
    tallest = max(1, int(np.sum(list(stacks.values()), axis=0).max()))
    pitch = (right - left) / BINS

    def across(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    boxes: list[Box] = []
    level = np.zeros(BINS)
    for kind, counted in stacks.items():
        for i in np.flatnonzero(counted):
            tall = (bottom - top) * counted[i] / tallest
            y = bottom - (bottom - top) * level[i] / tallest - tall
            span = f"{edges[i]:.3g} to {edges[i + 1]:.3g}".replace("-", "−")
            label = f"{measure.title.lower()} {span}: {counted[i]:,}"
            boxes.append(Box(left + pitch * i + 0.5, y, pitch - 1, tall, kind, label))
        level += counted
    return Histogram(
        width=width,
        height=height,
        bottom=bottom,
        boxes=boxes,
        x_ticks=[Tick(across(t), short(t)) for t in nice_ticks(low, high, 5)],
        y_ticks=[
            Tick(bottom - (bottom - top) * t / tallest, short(t))
            for t in nice_ticks(0, tallest, 3)
            if t == int(t)
        ],
        marks=[Tick(across(m), short(m)) for m in sorted(set(marks.values())) if low <= m <= high],
        left=left,
        right=right,
        counted=int(everything.size),
        beyond=int(((everything < low) | (everything > high)).sum()),
        limit=high,
    )


def _marks(prune: Folder, measure: Measure) -> dict[str, float]:
    found = {}
    for name in measure.marks:
        value = real(prune.option(name.lstrip("-")))
        if value is not None:
            found[name] = -value if name.startswith("-") else value
    return found


def _ends(values: np.ndarray, marks: Sequence[float]) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(values, [0.01, 0.99]))
    low, high = min([low, 0.0, *marks]), max([high, 0.0, *marks])
    room = 0.05 * (high - low) or 0.5
    step = 10.0 ** math.floor(math.log10(room))
    return math.floor((low - room) / step) * step, math.ceil((high + room) / step) * step
