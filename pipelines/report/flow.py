"""Geometry of the report's flow chart, in the manner of a Sankey diagram, in SVG units."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.pages.charts import Box

LEAST_HEIGHT = 20.0  # of a segment: room for its label


@dataclass(frozen=True)
class FlowSegment:
    """A part of a stage; whether it goes on to the next one, and came from the one before."""

    kind: str
    label: str
    value: int
    goes_on: bool = True
    arrives: bool = True


@dataclass(frozen=True)
class Stage:
    """A column of the flow. Columns have scales of their own: tracks are not pairs."""

    title: str
    segments: list[FlowSegment]

    @property
    def total(self) -> int:
        """Everything in the column."""
        return sum(segment.value for segment in self.segments)


@dataclass(frozen=True)
class Bar:
    """A segment as drawn, and where its label stands; a column's only one needs no label."""

    box: Box
    value: int
    label: str
    text_x: float
    text_y: float


@dataclass(frozen=True)
class Ribbon:
    """What goes from one column to the next."""

    path: str
    kind: str


@dataclass(frozen=True)
class Heading:
    """A column's title and total."""

    x: float
    title: str
    total: int


@dataclass(frozen=True)
class Flow:
    """The flow as drawn."""

    width: float
    height: float
    headings: list[Heading]
    bars: list[Bar]
    ribbons: list[Ribbon]


def flow(stages: Sequence[Stage]) -> Flow | None:
    """Columns from left to right, each on its own scale, and ribbons between them.

    What goes on of one column becomes what arrives in the next. None for fewer than two columns.
    """
    stages = [stage for stage in stages if stage.total]
    if len(stages) < 2:
        return None
    width, thick, top, gap = 1080.0, 16.0, 58.0, 7.0
    most = max(len(stage.segments) for stage in stages)
    tall = 140.0 + most * (LEAST_HEIGHT + gap)
    column = (width - 190.0) / (len(stages) - 1)
    bars: list[list[Bar]] = []
    for position, stage in enumerate(stages):
        heights = _heights([s.value for s in stage.segments], tall, gap)
        y = top
        drawn = []
        for segment, height in zip(stage.segments, heights, strict=True):
            x = position * column
            box = Box(x, y, thick, height, segment.kind, f"{segment.label}: {segment.value:,}")
            middle = round(y + height / 2, 2)
            label = segment.label if len(stage.segments) > 1 else ""
            drawn.append(Bar(box, segment.value, label, x + thick + 9, middle))
            y += height + gap
        bars.append(drawn)
    ribbons = [
        ribbon
        for position in range(len(stages) - 1)
        for ribbon in _ribbons(
            [b.box for b, s in _both(stages[position], bars[position]) if s.goes_on],
            [b.box for b, s in _both(stages[position + 1], bars[position + 1]) if s.arrives],
        )
    ]
    headings = [
        Heading(position * column, stage.title, stage.total)
        for position, stage in enumerate(stages)
    ]
    return Flow(width, top + tall + 16, headings, [bar for drawn in bars for bar in drawn], ribbons)


def _heights(values: Sequence[int], tall: float, gap: float) -> list[float]:
    """Heights proportional to the values, none under LEAST_HEIGHT, together filling a column."""
    room = tall - gap * (len(values) - 1)
    fixed: set[int] = set()
    while True:
        free = room - LEAST_HEIGHT * len(fixed)
        total = sum(v for i, v in enumerate(values) if i not in fixed) or 1
        small = {
            i for i, v in enumerate(values) if i not in fixed and free * v / total < LEAST_HEIGHT
        }
        if not small:
            break
        fixed |= small
    return [
        LEAST_HEIGHT if i in fixed else round(free * v / total, 2) for i, v in enumerate(values)
    ]


def _both(stage: Stage, bars: list[Bar]) -> list[tuple[Bar, FlowSegment]]:
    return list(zip(bars, stage.segments, strict=True))


def _ribbons(going: list[Box], arriving: list[Box]) -> list[Ribbon]:
    """What goes on, as one block, spread over what arrives."""
    if not going or not arriving:
        return []
    at, end = going[0].y, going[-1].y + going[-1].height
    whole, total = end - at, sum(box.height for box in arriving)
    ribbons = []
    for box in arriving:
        share = whole * box.height / total
        x0 = going[0].x + going[0].width
        path = _band(x0, at, at + share, box.x, box.y, box.y + box.height)
        ribbons.append(Ribbon(path, box.kind))
        at += share
    return ribbons


def _band(x0: float, top0: float, bottom0: float, x1: float, top1: float, bottom1: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f},{top0:.1f} C{middle:.1f},{top0:.1f} "
        f"{middle:.1f},{top1:.1f} {x1:.1f},{top1:.1f} "
        f"L{x1:.1f},{bottom1:.1f} C{middle:.1f},{bottom1:.1f} {middle:.1f},{bottom0:.1f} "
        f"{x0:.1f},{bottom0:.1f} Z"
    )
