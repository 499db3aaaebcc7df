"""What a report says of fine-tuning beyond training: what the teachers heard, and who taught."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pipelines.pages.charts import Box, Histogram, Tick, short
from pipelines.pages.inputs import Folder, real

# kind → the outcomes that the log counts in it
KINDS = {
    "clean_target": ("clean_target",),
    "clean_residual": ("clean_residual",),
    "pseudo": ("pseudo",),
    "silent": ("silent",),
    "refused": ("not_finite", "not_a_sum", "unsure"),
}
MOST_BARS, MOST_TEACHERS = 48, 50


@dataclass(frozen=True)
class TeacherEntry:
    """A teacher: at which step it began to teach, its score, the beginning of its hash."""

    step: int | None
    score: float | None
    sha256: str


@dataclass(frozen=True)
class BoostingFacts:
    """What was heard between validations, as shares; in all; and the lineage of teachers."""

    chart: Histogram | None
    kinds: list[tuple[str, int]]
    heard: int
    teachers: list[TeacherEntry]
    untold: int
    caption: str


def boosting(folder: Folder) -> BoostingFacts | None:
    """None for a run that had no teacher."""
    listed = folder.record.get("teachers")
    if not isinstance(listed, list):
        return None
    log, _ = folder.lines("log.jsonl")
    periods = []
    for entry in log:
        step, heard = real(entry.get("step")), entry.get("heard")
        if step is not None and isinstance(heard, dict):
            periods.append((step, _counted(heard)))
    total: Counter[str] = Counter()
    for _, counts in periods:
        total.update(counts)
    teachers = [_teacher(one) for one in listed if isinstance(one, dict)]
    return BoostingFacts(
        chart=shares(periods),
        kinds=[(kind, total[kind]) for kind in KINDS if total[kind]],
        heard=total.total(),
        teachers=teachers[-MOST_TEACHERS:],
        untold=max(0, len(teachers) - MOST_TEACHERS),
        caption=_caption(folder),
    )


def shares(periods: list[tuple[float, Counter[str]]]) -> Histogram | None:
    """A bar for each period, or for some neighbours where there are many: shares by kind, stacked.

    Args:
        periods: the step at which each ends, and what was heard in it by kind.
    """
    grouped = _grouped([(step, counts) for step, counts in periods if counts.total()])
    if not grouped:
        return None
    width, height, left, right, bottom, top = 560.0, 260.0, 44.0, 548.0, 218.0, 16.0
    wide = (right - left) / len(grouped)
    boxes = []
    for place, (step, counts) in enumerate(grouped):
        base = bottom
        for kind in KINDS:
            tall = (bottom - top) * counts[kind] / counts.total()
            if tall:
                base -= tall
                says = f"up to step {step:,.0f}: {counts[kind]:,} of {counts.total():,} segments"
                boxes.append(Box(left + (place + 0.05) * wide, base, 0.9 * wide, tall, kind, says))
    every = -(-len(grouped) // 6)
    return Histogram(
        width=width,
        height=height,
        bottom=bottom,
        boxes=boxes,
        x_ticks=[
            Tick(left + (place + 0.5) * wide, short(step))
            for place, (step, _) in enumerate(grouped)
            if (place + 1) % every == 0
        ],
        y_ticks=[
            Tick(bottom - (bottom - top) * percent / 100, f"{percent}%")
            for percent in (0, 25, 50, 75, 100)
        ],
        marks=[],
        left=left,
        right=right,
        counted=len(grouped),
        beyond=0,
        limit=1.0,
    )


def _grouped(periods: list[tuple[float, Counter[str]]]) -> list[tuple[float, Counter[str]]]:
    each = -(-len(periods) // MOST_BARS) or 1
    grouped = []
    for first in range(0, len(periods), each):
        counts: Counter[str] = Counter()
        for _, found in periods[first : first + each]:
            counts.update(found)
        grouped.append((periods[min(first + each, len(periods)) - 1][0], counts))
    return grouped


def _counted(heard: dict[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for kind, outcomes in KINDS.items():
        for outcome in outcomes:
            number = real(heard.get(outcome))
            counts[kind] += round(number) if number is not None and number > 0 else 0
    return counts


def _teacher(found: dict[str, Any]) -> TeacherEntry:
    step, score = real(found.get("step")), real(found.get("score"))
    return TeacherEntry(
        None if step is None else round(step), score, str(found.get("sha256", ""))[:12]
    )


def _caption(folder: Folder) -> str:
    names = ("targets_labelled", "targets_unlabelled", "residuals_labelled", "residuals_unlabelled")
    counts = [folder.count(name) for name in names]
    if any(count is None for count in counts):
        return ""
    own, theirs, rest, other = (count or 0 for count in counts)
    return (
        f"Of the targets that were learnt, {theirs:,} of {own + theirs:,} came from unlabelled "
        f"songs, of the residuals {other:,} of {rest + other:,}."
    )
