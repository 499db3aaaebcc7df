"""The table of scores by song, and their statistics over all songs."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

METRICS = ("usdr", "csdr", "bsseval", "mir_eval")
ROLES = {
    "mixture": "of the mixture as estimate",
    "estimate": "of the trained nets' estimate",
    "oracle": "of the best mask of the nets' kind",
}


@dataclass(frozen=True)
class Column:
    """A score in dB: its metric, how it is averaged over songs, and a sentence about it."""

    name: str
    metric: str
    average: str  # over songs, as the papers do: mean or median
    sentence: str


COLUMNS = (
    *(
        Column(f"usdr_{role}", "usdr", "mean", f"uSDR {of}, over the whole song.")
        for role, of in ROLES.items()
    ),
    *(
        Column(f"csdr_{role}", "csdr", "median", f"Median of the SDR of 1 s frames {of}.")
        for role, of in ROLES.items()
    ),
    Column("sdr_frame_mean", "csdr", "median", "Mean of the estimate's SDR in frames, as CWS."),
    *(
        Column(
            f"{name}_frame_{average}",
            "bsseval",
            "median",
            f"{average.capitalize()} of the estimate's {name.upper()} in 1 s frames, BSS Eval v4.",
        )
        for name in ("isr", "sir", "sar")
        for average in ("median", "mean")
    ),
    Column("mir_sdr", "mir_eval", "mean", "SDR of the mono estimate by mir_eval's bss_eval."),
    Column("mir_nsdr", "mir_eval", "mean", "That minus the SDR of the mixture (thesis eq. 2.26)."),
    Column("mir_sir", "mir_eval", "mean", "SIR by mir_eval."),
    Column("mir_sar", "mir_eval", "mean", "SAR by mir_eval."),
)


def _field(name: str, kind: pa.DataType, unit: str, sentence: str, required: bool) -> pa.Field:
    return pa.field(name, kind, not required, {"unit": unit, "description": sentence})


SCHEMA = pa.schema(
    [
        _field("song", pa.string(), "", "The song's name in its layout, or its id.", True),
        _field("source", pa.string(), "", "vocals, accompaniment, …", True),
        _field("duration_s", pa.float64(), "s", "Its length.", True),
        _field("frames", pa.int64(), "", "Frames of 1 s; null where none were scored.", False),
        _field(
            "silent_frames", pa.int64(), "",
            "Those without a score, in which a source or an estimate is digital silence.", False,
        ),
        *(
            _field(
                column.name, pa.float64(), "dB",
                f"{column.sentence} NaN for a silent source, null where not asked for.", False,
            )
            for column in COLUMNS
        ),
        _field(
            "system", pa.string(), "",
            "Null for the estimates of the checkpoints, else the name of the folder of estimates.",
            False,
        ),
        *(
            _field(
                f"spectrum_{role}", pa.list_(pa.float64()), "dB re full scale",
                f"Mean power {of} in third octaves from 24.8 Hz on; null above half the rate.",
                False,
            )
            for role, of in (("reference", "of the source"), ("estimate", "of its estimate"))
        ),
    ]
)  # fmt: skip


def stems(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The sources that rows are of."""
    return list(dict.fromkeys(row["source"] for row in rows))


def group(row: dict[str, Any]) -> str:
    """What a row is averaged with: the source, and whose estimate it is if not the checkpoints'."""
    whose = row.get("system")
    return f"{row['source']} by {whose}" if whose else str(row["source"])


def is_silent(row: dict[str, Any]) -> bool:
    """Whether a row's source has nothing to score."""
    return math.isnan(row["usdr_mixture"])


def spread(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Group → column → mean, sd, min, max, median, count of songs (thesis tables 4.5, 4.6).

    Over the songs in which the source sounds, and another one too: "limited to clips that are known
    to contain vocals" (4.3); elsewhere the mixture is the accompaniment itself, and its score has
    no bound. The standard deviation is that of a sample; there is none of one song.
    """
    pairs = {(row["song"], row["source"]) for row in rows if not is_silent(row)}
    sounding = Counter(song for song, _ in pairs)
    voiceless = {row["song"] for row in rows if row["source"] == "vocals" and is_silent(row)}
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for source in dict.fromkeys(map(group, rows)):
        mine = [row for row in rows if group(row) == source and not is_silent(row)]
        heard = [row for row in mine if sounding[row["song"]] > 1]
        # Beside its own parts an accompaniment is still alone where the vocals are silent.
        heard = [r for r in heard if r["source"] != "accompaniment" or r["song"] not in voiceless]
        for column in COLUMNS:
            values = [row[column.name] for row in heard if row.get(column.name) is not None]
            values = [value for value in values if math.isfinite(value)]
            if values:
                found.setdefault(source, {})[column.name] = {
                    "mean": round(statistics.fmean(values), 6),
                    "sd": round(statistics.stdev(values), 6) if len(values) > 1 else None,
                    "min": round(min(values), 6),
                    "max": round(max(values), 6),
                    "median": round(statistics.median(values), 6),
                    "songs": len(values),
                }
    return found


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """GROUP_COLUMN → the average over songs that the papers give: the mean for uSDR and for
    mir_eval's scores, the median for scores of frames."""
    averages = {column.name: column.average for column in COLUMNS}
    return {
        f"{source}_{name}": value
        for source, columns in spread(rows).items()
        for name, found in columns.items()
        if (value := found[averages[name]]) is not None
    }


def text(found: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """`spread` as text: a table for each source, a line for each column, in the order of COLUMNS.

    `run.json` keeps them by name, so that a table read from there looks as it did when written.
    """
    order = {column.name: number for number, column in enumerate(COLUMNS)}
    lines = []
    wide = max([20, *map(len, found)]) + 4  # room for the longest name
    for source, unsorted in sorted(found.items(), key=lambda one: (one[0] != "vocals", one[0])):
        columns = dict(sorted(unsorted.items(), key=lambda one: order.get(one[0], len(order))))
        lines.append(
            f"{source + ', dB':<{wide - 2}}{'mean':>9}{'SD':>9}{'min':>9}{'max':>9}{'median':>9}"
        )
        for name, facts in columns.items():
            values = [facts[key] for key in ("mean", "sd", "min", "max", "median")]
            shown = "".join(f"{'–' if v is None else f'{v:.2f}':>9}" for v in values)
            lines.append(f"  {name:<{wide - 4}}{shown}")
    return "\n".join(lines)
