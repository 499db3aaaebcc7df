"""How scores are spread over songs: box plots as in figure 4.3 of the thesis, and its table 4.5."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.pages.charts import GUEST, Tick, axis, nice_ticks, short
from pipelines.pages.inputs import Folder, real

FEWEST = 3  # songs of which a box says anything
REACH = 1.5  # quartile ranges from the box within which a song is no outlier
MEASURES = {  # column of songs.parquet → what it is to people, and whose it is
    "usdr_mixture": ("uSDR, mixture", "mixture"),
    "usdr_estimate": ("uSDR, separated", "estimate"),
    "usdr_oracle": ("uSDR, oracle", "oracle"),
    "csdr_mixture": ("cSDR, mixture", "mixture"),
    "csdr_estimate": ("cSDR, separated", "estimate"),
    "csdr_oracle": ("cSDR, oracle", "oracle"),
    "sdr_frame_mean": ("frames' mean SDR", "estimate"),
    "isr_frame_median": ("frames' median ISR", "estimate"),
    "sir_frame_median": ("frames' median SIR", "estimate"),
    "sir_frame_mean": ("frames' mean SIR", "estimate"),
    "sar_frame_median": ("frames' median SAR", "estimate"),
    "sar_frame_mean": ("frames' mean SAR", "estimate"),
    "mir_sdr": ("mir_eval SDR", "estimate"),
    "mir_nsdr": ("mir_eval NSDR", "estimate"),
    "mir_sir": ("mir_eval SIR", "estimate"),
    "mir_sar": ("mir_eval SAR", "estimate"),
}


@dataclass(frozen=True)
class BoxRow:
    """A measure's box: places across in SVG units, from whisker to whisker."""

    y: float
    label: str
    kind: str
    low: float
    first: float  # quartile
    median: float
    third: float  # quartile
    high: float
    mean: float
    outliers: list[Tick]
    says: str
    beyond: str = ""  # its median, where that lies beyond the axis


@dataclass(frozen=True)
class Boxes:
    """Box plots below each other over one axis in dB, or in shares of 1."""

    width: float
    height: float
    left: float
    right: float
    rows: list[BoxRow]
    x_ticks: list[Tick]
    zero: float | None
    unit: str = "dB"


@dataclass(frozen=True)
class Measured:
    """What a measure comes to over songs, in dB."""

    label: str
    mean: float
    deviation: float | None  # of a sample; None of one song
    low: float
    high: float
    median: float
    songs: int


@dataclass(frozen=True)
class SourceSpread:
    """A source's measures over songs."""

    source: str
    chart: Boxes | None  # None of too few songs
    rows: list[Measured]


def spreads(folder: Folder, named: Callable[[str], str] = str) -> list[SourceSpread]:
    """The scores of `songs.parquet` by source, of songs by name; empty where there are none."""
    held = [name for name in MEASURES if name in folder.columns("songs")]
    if not held:
        return []
    also = [name for name in ("system",) if name in folder.columns("songs")]
    table = folder.table("songs", ["song", "source", *also, *held])
    read = table.to_pylist() if table else []
    rows = [{**row, "group": group(row), "song": named(str(row["song"]))} for row in read]
    values = {source: _values(rows, source, held) for source in _sources(rows)}
    return [
        SourceSpread(
            source,
            boxes({MEASURES[name]: by_song for name, by_song in by_name.items()}),
            [_measured(MEASURES[name][0], by_song) for name, by_song in by_name.items()],
        )
        for source, by_name in values.items()
        if by_name
    ]


def boxes(
    measures: Mapping[tuple[str, str], Mapping[str, float]],
    unit: str = "dB",
    reach: float = REACH,
) -> Boxes | None:
    """(label, kind) → value by song, finite, as boxes; None where all have too few songs.

    A box reaches from the first to the third quartile, with a line at the median and a triangle at
    the mean, as in chapter 5. Whiskers end at the outermost song within `reach` quartile ranges of
    the box; songs beyond are marked one by one.
    """
    after = f" {unit}" if unit == "dB" else ""
    drawn = {key: found for key, found in measures.items() if len(found) >= FEWEST}
    if not drawn:
        return None
    width, left, right, top, pitch = 560.0, 168.0, 540.0, 18.0, 30.0
    hosts, guests = (
        [v for (_, kind), found in drawn.items() if (kind == GUEST) is told for v in found.values()]
        for told in (False, True)
    )
    place, low, high = axis(hosts, left, right, guests)

    rows = []
    for position, ((label, kind), found) in enumerate(drawn.items()):
        values = np.array(list(found.values()))
        first, median, third = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
        far = reach * (third - first)
        inside = values[(values >= first - far) & (values <= third + far)]
        ends = float(inside.min()), float(inside.max())
        outliers = [
            Tick(place(value), f"{song}: {value:.2f}{after}".replace("-", "−"))
            for song, value in found.items()
            if not ends[0] <= value <= ends[1]
        ]
        mean = float(values.mean())
        says = f"{label}: median {median:.2f}{after}, "
        says += f"half of the songs from {first:.2f} to {third:.2f}, mean {mean:.2f}"
        at = {"low": ends[0], "first": first, "median": median, "third": third, "high": ends[1]}
        at["mean"] = mean
        y = top + pitch * (position + 0.5)
        placed = {name: place(value) for name, value in at.items()}
        says = says.replace("-", "−")
        beyond = "" if low <= median <= high else f"{median:.0f}{after}".replace("-", "−")
        rows.append(BoxRow(y, label, kind, **placed, outliers=outliers, says=says, beyond=beyond))
    return Boxes(
        width=width,
        height=top + pitch * len(rows) + 44,
        left=left,
        right=right,
        rows=rows,
        x_ticks=[Tick(place(t), short(t)) for t in nice_ticks(low, high, 6)],
        zero=place(0.0) if low < 0 < high else None,
        unit=unit,
    )


def _sources(rows: Sequence[dict[str, Any]]) -> list[str]:
    found = {str(row["group"]) for row in rows}
    return sorted(found, key=lambda name: (not name.startswith("vocals"), name))


def group(row: Mapping[str, Any]) -> str:
    """The source of a row, and whose estimate it is if not that of the checkpoints."""
    whose = row.get("system")
    return f"{row['source']} by {whose}" if whose else str(row["source"])


def alone(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> set[str]:
    """The songs in which only one of several sources sounds."""
    if len({row["source"] for row in rows}) < 2:
        return set()
    sounding = Counter(
        song
        for song, _ in {
            (str(row["song"]), str(row["source"]))
            for row in rows
            if any(real(row[name]) is not None for name in names)
        }
    )
    return {song for song, count in sounding.items() if count < 2}


def _values(
    rows: Sequence[dict[str, Any]], source: str, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Column → value by song, of a source over the songs in which it does not sound alone."""
    left_out = alone(rows, names)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        by_song = {
            str(row["song"]): value
            for row in rows
            if str(row["group"]) == source
            and str(row["song"]) not in left_out
            and (value := real(row[name])) is not None
        }
        if by_song:
            found[name] = by_song
    return found


def _measured(label: str, by_song: Mapping[str, float]) -> Measured:
    values = list(by_song.values())
    return Measured(
        label,
        statistics.fmean(values),
        statistics.stdev(values) if len(values) > 1 else None,
        min(values),
        max(values),
        statistics.median(values),
        len(values),
    )
