"""The histogram of the difference with what has been judged, as an SVG text. Numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment

from pipelines.pages import charts, text
from pipelines.pages.charts import Box, Histogram, Tick
from pipelines.review.estimates import DifferenceWindow

TEMPLATES = Path(__file__).with_name("templates")
ROWS = {"pair": 0, "unsure": 1, "not_a_pair": 2}  # of marks, from the top
ROW_PITCH, ROWS_TOP = 13.0, 12.0


@dataclass(frozen=True)
class Mark:
    """A judged pair: where it stands, its verdict and its difference."""

    x: float
    y: float
    verdict: str
    label: str


def environment() -> Environment:
    """The page's templates."""
    return text.environment(TEMPLATES)


def svg(
    difference: np.ndarray,
    reachable: np.ndarray | None,
    verdicts: Sequence[tuple[float, str]],
    window: DifferenceWindow | None,
    current: float | None,
) -> str:
    """All pairs of the table as bars, (difference, verdict) as marks above them, and a window.

    Args:
        difference: [n], of every readable pair of the table.
        reachable: [n], whether the thresholds decide on it; None hides it, all bars are alike.
        current: the difference of the pair on the page, None hides it.
    """
    shown = np.ones(len(difference), bool) if reachable is None else reachable
    stacks = {"reachable": difference[shown], "other": difference[~shown]}
    bars = charts.histogram({k: v for k, v in stacks.items() if v.size}, {}, bins=40)
    assert bars is not None  # a sample has at least one pair
    marks = [
        Mark(
            place(bars, value),
            ROWS_TOP + ROW_PITCH * ROWS[verdict],
            verdict,
            f"{verdict.replace('_', ' ')}, {value:.3f}",
        )
        for value, verdict in verdicts
    ]
    return (
        environment()
        .get_template("histogram.svg")
        .render(
            chart=bars,
            top=ROWS_TOP + ROW_PITCH * len(ROWS),
            boxes=_lowered(bars, ROWS_TOP + ROW_PITCH * len(ROWS) + 6),
            y_ticks=_lowered_ticks(bars, ROWS_TOP + ROW_PITCH * len(ROWS) + 6),
            marks=marks,
            band=None if window is None else (place(bars, window.low), place(bars, window.high)),
            current=None if current is None else place(bars, current),
        )
    )


def place(bars: Histogram, value: float) -> float:
    """Where a difference stands on the axis; what lies past its end stands at the end."""
    share = min(max(value, 0.0), bars.limit) / bars.limit
    return bars.left + (bars.right - bars.left) * share


def _lowered(bars: Histogram, top: float) -> list[Box]:
    """The bars, pressed together to leave room for the rows of marks above them."""
    found = []
    for box in bars.boxes:
        above = _at(bars, box.y, top)
        below = _at(bars, box.y + box.height, top)
        found.append(Box(box.x, above, box.width, below - above, box.kind, box.label))
    return found


def _lowered_ticks(bars: Histogram, top: float) -> list[Tick]:
    return [Tick(_at(bars, tick.at, top), tick.label) for tick in bars.y_ticks]


def _at(bars: Histogram, y: float, top: float) -> float:
    highest = min((box.y for box in bars.boxes), default=0.0)
    return bars.bottom - (bars.bottom - y) * (bars.bottom - top) / max(bars.bottom - highest, 1.0)
