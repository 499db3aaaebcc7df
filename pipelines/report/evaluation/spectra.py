"""Average spectra of sources and of their estimates (thesis, figure 6.6)."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from pipelines.pages.charts import Curves, Tick, curves
from pipelines.pages.inputs import Folder, real
from pipelines.report.evaluation import scores

LOWEST_HZ = 1000 * 2 ** (-16 / 3)  # of `training.evaluation.spectra`, which writes the columns
ROLES = {"reference": "spectrum_reference", "estimate": "spectrum_estimate"}
TICKS_HZ = {50: "50", 100: "100", 500: "500", 1000: "1k", 5000: "5k", 10_000: "10k"}


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """A source's chart."""

    source: str
    chart: Curves
    songs: int


def spectra(folder: Folder) -> list[Spectrum]:
    """The average spectra of `songs.parquet` by source and separator; empty where there are none.

    A band is drawn where all songs have it: their rates may differ.
    """
    columns = folder.columns("songs")
    if not {*ROLES.values()} <= {*columns}:
        return []
    also = [name for name in ("system",) if name in columns]
    table = folder.table("songs", ["song", "source", *also, *ROLES.values()])
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist() if table is not None else []:
        by_source.setdefault(scores.group(row), []).append(row)
    found = []
    for source, rows in sorted(by_source.items(), key=lambda one: not one[0].startswith("vocals")):
        lines = {role: _mean([row[name] for row in rows]) for role, name in ROLES.items()}
        chart = curves(lines)
        if chart is not None and all(lines.values()):
            found.append(Spectrum(source[:60], _in_hertz(chart, lines["reference"]), len(rows)))
    return found


def _mean(spectra: Sequence[Any]) -> list[tuple[float, float]]:
    """(octaves above 1 Hz, dB): the mean of powers, in bands that all have."""
    known = [one for one in spectra if isinstance(one, list)]
    if not known:
        return []
    points = []
    for number, levels in enumerate(zip(*known, strict=False)):
        here = [level for one in levels if (level := real(one)) is not None]
        if len(here) == len(known):
            power = statistics.fmean(10 ** (level / 10) for level in here)
            octave = math.log2(LOWEST_HZ) + number / 3
            points.append((octave, 10 * math.log10(max(power, 1e-12))))
    return points


def _in_hertz(chart: Curves, points: Sequence[tuple[float, float]]) -> Curves:
    """With ticks in hertz on an axis of octaves."""
    first, last = points[0][0], points[-1][0]
    scale = (chart.right - chart.left) / ((last - first) or 1.0)
    ticks = [
        Tick(round(chart.left + scale * (math.log2(hz) - first), 2), name)
        for hz, name in TICKS_HZ.items()
        if first <= math.log2(hz) <= last
    ]
    return dataclasses.replace(chart, x_ticks=ticks, x_title="Hz", y_title="dB re full scale")
