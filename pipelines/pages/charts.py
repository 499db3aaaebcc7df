"""Geometry of the report's charts in SVG units; the templates draw it, so that text is escaped."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MOST_POINTS = 300  # of a curve
MOST_DB = 60.0  # on an axis
GUEST = "oracle"  # the kind that may all but equal the truth, and leave the rest no room
GUESTS = 1.0  # how much of an axis it may take, relative to what the rest takes


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Box:
    """A rectangle; `kind` chooses its colour, `label` says what it stands for."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


@dataclass(frozen=True)
class Histogram:
    """A stacked histogram. `marks` are thresholds, `beyond` counts what the last bin gathers."""

    width: float
    height: float
    bottom: float
    boxes: list[Box]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[Tick]
    left: float
    right: float
    counted: int
    beyond: int
    limit: float


@dataclass(frozen=True)
class Curve:
    """A line through points; `kind` chooses its colour."""

    kind: str
    label: str
    points: str
    last: tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """Lines over steps, with a marked step."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    mark: tuple[float, float] | None
    logarithmic: bool
    x_title: str = "step"
    y_title: str = "loss"


@dataclass(frozen=True)
class Dot:
    """A value in a row of dots."""

    x: float
    kind: str
    label: str
    beyond: str = ""  # its value, where that lies beyond the axis


@dataclass(frozen=True)
class DotRow:
    """One row: its baseline, its label and its dots, from the lowest value to the highest."""

    y: float
    label: str
    dots: list[Dot]
    start: float
    end: float


@dataclass(frozen=True)
class Dots:
    """Rows of dots over one axis."""

    width: float
    height: float
    left: float
    right: float
    rows: list[DotRow]
    x_ticks: list[Tick]
    zero: float | None


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values within [low, high], about `count` of them."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number for an axis: as few digits as it needs, thousands as k, millions as M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}".replace("-", "−")


def histogram(
    values: Mapping[str, np.ndarray], marks: Mapping[str, float], *, bins: int = 48
) -> Histogram | None:
    """Values by kind [n] stacked in bins of nearly one width; None where there is not one value.

    What lies past the axis (twice the highest threshold, and at least 1.2) is gathered in the
    last bin.
    """
    width, height, left, right, bottom, top = 560.0, 300.0, 44.0, 548.0, 258.0, 34.0
    finite = {kind: v[np.isfinite(v)] for kind, v in values.items()}
    everything = np.concatenate([*finite.values(), np.zeros(0)])
    if not everything.size:
        return None
    marks = {name: mark for name, mark in marks.items() if mark >= 0}
    widest = max([1.2, *(2 * mark for mark in marks.values())])
    limit = min(widest, max(float(everything.max()) * 1.02, *marks.values(), 0.1))
    edges = _edges(limit, sorted(marks.values()), bins)
    stacks = {kind: _binned(v, edges) for kind, v in finite.items()}
    tallest = max(1, int(sum(stacks.values()).max()))  # type: ignore[union-attr]
    across = left + (right - left) * edges / limit
    boxes: list[Box] = []
    level = np.zeros(len(edges) - 1)
    for kind, counted in stacks.items():
        for i in np.flatnonzero(counted):
            tall = (bottom - top) * counted[i] / tallest
            y = bottom - (bottom - top) * level[i] / tallest - tall
            span = f"{edges[i]:.2f} to {edges[i + 1]:.2f}"
            if i == len(level) - 1 and everything.max() > limit:
                span = f"{edges[i]:.2f} and more"
            x, wide = float(across[i]) + 0.5, float(across[i + 1] - across[i]) - 1
            boxes.append(Box(x, y, wide, tall, kind, f"{span}: {counted[i]:,}"))
        level += counted
    return Histogram(
        width=width,
        height=height,
        bottom=bottom,
        boxes=boxes,
        x_ticks=[
            Tick(left + (right - left) * t / limit, f"{t:.3g}") for t in nice_ticks(0, limit, 6)
        ],
        y_ticks=[
            Tick(bottom - (bottom - top) * t / tallest, short(t))
            for t in nice_ticks(0, tallest, 4)
            if t == int(t)
        ],
        marks=[
            Tick(left + (right - left) * m / limit, f"{name} {m:g}") for name, m in marks.items()
        ],
        left=left,
        right=right,
        counted=int(everything.size),
        beyond=int((everything > limit).sum()),
        limit=limit,
    )


def shares(years: Sequence[tuple[int, float]]) -> Histogram | None:
    """A bar for each year, as high as its share in 0…1; None for less than two years, or where
    no bar would have a height."""
    if len(years) < 2 or not any(share > 0 for _, share in years):
        return None
    width, height, left, right, bottom, top = 560.0, 260.0, 44.0, 548.0, 218.0, 16.0
    first, last = min(year for year, _ in years), max(year for year, _ in years)
    tallest = max(share for _, share in years)
    step = (right - left) / (last - first + 1)
    boxes = []
    for year, share in years:
        tall = (bottom - top) * share / tallest
        x = left + (year - first) * step + step / 10
        boxes.append(Box(x, bottom - tall, 0.8 * step, tall, "paired", f"{year}: {share:.1%}"))
    return Histogram(
        width=width,
        height=height,
        bottom=bottom,
        boxes=boxes,
        x_ticks=[
            Tick(left + (year - first + 0.5) * step, f"{year:.0f}")
            for year in nice_ticks(first, last, 6)
            if year == int(year)
        ],
        y_ticks=[
            Tick(bottom - (bottom - top) * t / tallest, f"{100 * t:.3g}%")
            for t in nice_ticks(0, tallest, 4)
        ],
        marks=[],
        left=left,
        right=right,
        counted=len(years),
        beyond=0,
        limit=1.0,
    )


def _edges(limit: float, marks: Sequence[float], bins: int) -> np.ndarray:
    """Edges of about as many bins of nearly one width, with an edge at every mark."""
    ends = [0.0, *(mark for mark in marks if 0 < mark < limit), limit]
    pieces = [
        np.linspace(low, high, max(1, round(bins * (high - low) / limit)) + 1)[:-1]
        for low, high in itertools.pairwise(ends)
    ]
    return np.concatenate([*pieces, [limit]])


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], mark: float | None = None
) -> Curves | None:
    """Lines of (step, value) by label, on a logarithmic axis where they span a factor of 20.

    `mark` is the step to point out on the last line. None where there is nothing to draw.
    """
    width, height, left, right, bottom, top = 560.0, 300.0, 52.0, 476.0, 258.0, 18.0
    drawn = {label: _thinned(points) for label, points in lines.items() if len(points)}
    every = [point for points in drawn.values() for point in points]
    if not every:
        return None
    low, high = min(y for _, y in every), max(y for _, y in every)
    logarithmic = low > 0 and high / low > 20
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = (low - margin if logarithmic or low < 0 else max(0.0, low - margin)), high + margin
    first, last = min(x for x, _ in every), max(x for x, _ in every)
    span = (last - first) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        value = math.log10(y) if logarithmic else y
        return (
            round(left + (right - left) * (x - first) / span, 2),
            round(bottom - (bottom - top) * (value - low) / (high - low), 2),
        )

    placed = {label: [place(x, y) for x, y in points] for label, points in drawn.items()}
    marked = None
    if mark is not None:
        label = list(drawn)[-1]
        near = min(range(len(drawn[label])), key=lambda i: abs(drawn[label][i][0] - mark))
        marked = placed[label][near]
    return Curves(
        width=width,
        height=height,
        left=left,
        right=right,
        bottom=bottom,
        curves=_apart(
            [
                Curve(label, label, " ".join(f"{x:g},{y:g}" for x, y in points), points[-1])
                for label, points in placed.items()
            ]
        ),
        x_ticks=[Tick(place(t, every[0][1])[0], short(t)) for t in nice_ticks(first, last, 5)],
        y_ticks=[
            Tick(place(first, t)[1], short(t))
            for t in (_log_ticks(low, high) if logarithmic else nice_ticks(low, high, 5))
        ],
        mark=marked,
        logarithmic=logarithmic,
    )


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(low), math.ceil(high) + 1)
    every = [m * 10.0**p for p in powers for m in ((1,) if high - low > 3 else (1, 2, 5))]
    return [value for value in every if value > 0 and low <= math.log10(value) <= high]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS of them: means of consecutive points; the last one stays."""
    if len(points) <= MOST_POINTS:
        return list(points)
    groups = np.array_split(np.asarray(points, np.float64), MOST_POINTS - 1)
    means = [(float(g[:, 0].mean()), float(g[:, 1].mean())) for g in groups]
    return [*means, (float(points[-1][0]), float(points[-1][1]))]


def _apart(drawn: list[Curve], gap: float = 18.0) -> list[Curve]:
    """Labels at the lines' ends, moved so that they do not overlap."""
    ordered = sorted(drawn, key=lambda c: c.last[1])
    moved: dict[str, tuple[float, float]] = {}
    before = -math.inf
    for curve in ordered:
        before = max(curve.last[1], before + gap)
        moved[curve.label] = (curve.last[0], before)
    return [Curve(c.kind, c.label, c.points, moved[c.label]) for c in drawn]


def axis(
    values: Sequence[float], left: float, right: float, guests: Sequence[float] = ()
) -> tuple[Callable[[float], float], float, float]:
    """Where a value in dB stands between `left` and `right`; the lowest and highest value there.

    Zero is on it, and a margin is on either side. Guests (an oracle's) get as much room again as
    GUESTS of what the values need, so that they never squeeze them. What lies beyond that, or
    beyond ±MOST_DB, stands at that end.
    """
    hosts = values or guests
    low, high = max(-MOST_DB, min(0.0, *hosts)), min(MOST_DB, max(0.0, *hosts))
    room = GUESTS * (high - low)
    low = max(-MOST_DB, low - room, min(low, *guests, low))
    high = min(MOST_DB, high + room, max(high, *guests, high))
    margin = (high - low) * 0.05 or 1.0
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        inside = min(high, max(low, value))
        return round(left + (right - left) * (inside - low) / (high - low), 2)

    return place, low, high


def dots(rows: Sequence[tuple[str, Mapping[str, float]]]) -> Dots | None:
    """Rows of (label, value by kind) in dB; None where there is not one value."""
    every = [(kind, value) for _, row in rows for kind, value in row.items()]
    if not every:
        return None
    width, left, right, top, pitch = 560.0, 168.0, 540.0, 18.0, 30.0
    hosts, guests = ([v for k, v in every if (k == GUEST) is told] for told in (False, True))
    place, low, high = axis(hosts, left, right, guests)

    drawn = []
    for position, (label, row) in enumerate(rows):
        found = [
            Dot(
                place(value),
                kind,
                f"{kind}: {value:.2f} dB".replace("-", "−"),
                "" if low <= value <= high else f"{value:.0f} dB".replace("-", "−"),
            )
            for kind, value in row.items()
        ]
        if found:
            places = [dot.x for dot in found]
            y = top + pitch * (position + 0.5)
            drawn.append(DotRow(y, label, found, min(places), max(places)))
    return Dots(
        width=width,
        height=top + pitch * len(rows) + 44,
        left=left,
        right=right,
        rows=drawn,
        x_ticks=[Tick(place(t), short(t)) for t in nice_ticks(low, high, 6)],
        zero=place(0.0) if low < 0 < high else None,
    )
