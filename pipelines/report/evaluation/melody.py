"""How well pitch is heard, by `evaluate --f0`: the thesis' figures 5.1 and 5.4, and its table 5.1.

Boxes as in chapter 5: from the first to the third quartile, whiskers one quartile range beyond, a
line at the median and a triangle at the mean. And the pictures that `stemlode pitch` drew, those of
one song beside each other (figures 5.6 and 5.7).
"""

import base64
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.pages.inputs import Folder, real
from pipelines.pages.media import Clip
from pipelines.report.evaluation.scores import Boxes, boxes
from stemlode import files

TABLE = "melody"
COLUMNS = ("song", "system", "hears", "oa", "rpa", "threshold", "oa_best", "sdr_db", "ours")
FIGURES = (  # title, column of our networks, column of others, unit
    ("Overall accuracy", "oa", "oa_best", "share"),
    ("Raw pitch accuracy", "rpa", "rpa", "share"),
    ("SDR of the vocals", "sdr_db", "sdr_db", "dB"),
)
VOCALS = "vocals"
PICTURE, PNG = "salience.png", b"\x89PNG\r\n"
REACH = 1.0  # quartile ranges from the box to the ends of its whiskers


@dataclass(frozen=True)
class Figure:
    """A measure of every system over songs."""

    title: str
    chart: Boxes


@dataclass(frozen=True)
class Scored:
    """A system's means over songs; None where it has no such score."""

    name: str
    oa: float | None
    rpa: float | None
    oa_best: float | None
    threshold: float | None
    sdr_db: float | None
    songs: int


@dataclass(frozen=True)
class Melodies:
    """What one run of `evaluate --f0` found."""

    figures: list[Figure]
    rows: list[Scored]


def melodies(folder: Folder) -> Melodies | None:
    """The scores of `melody.parquet`; None where there are none."""
    if not set(COLUMNS) <= set(folder.columns(TABLE)):
        return None
    table = folder.table(TABLE, COLUMNS)
    by: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist() if table is not None else []:
        by.setdefault(f"{row['system']}, {row['hears']}", []).append(row)
    figures = []
    for title, ours, others, unit in FIGURES:
        measures = {}
        for name, rows in by.items():
            mine = bool(rows[0]["ours"])
            values = _by_song(rows, ours if mine else others)
            if values:
                measures[name, "estimate" if mine else "oracle"] = values
        if chart := boxes(measures, unit, REACH):
            figures.append(Figure(title, chart))
    return Melodies(figures, [_scored(name, rows) for name, rows in by.items()]) if by else None


def pictures(runs: Sequence[Folder]) -> dict[str, list[Clip]]:
    """Song → the salience with its f0 that each run of `pitch` drew, as far as it is there.

    What was heard in `SONG/vocals.wav`, as `separate` leaves it, stands beside SONG, and so does
    `SONG/mixture.wav`.
    """
    found: dict[str, list[Clip]] = {}
    for folder in runs:
        for name in sorted(folder.facts("outputs")):
            song, _, file = name.rpartition("/")
            if file != PICTURE or not song or ".." in name.split("/"):
                continue
            heard_in = ""
            *_, parent, base = f"//{folder.facts('songs').get(song, '')}".split("/")
            stem = base.rpartition(".")[0]
            if stem in (VOCALS, "mixture") and parent:  # which say nothing of the song
                song, heard_in = parent, f" on its {VOCALS}" if stem == VOCALS else ""
            try:
                data = files.read_bytes(files.join(folder.path, name))
            except OSError:
                continue
            if data.startswith(PNG):
                uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
                label = f"{folder.option('teacher') or 'pitch'}{heard_in}, {folder.name}"
                found.setdefault(song, []).append(Clip(label, "", uri))
    return found


def _by_song(rows: list[dict[str, Any]], column: str) -> dict[str, float]:
    found = {str(row["song"]): real(row[column]) for row in rows}
    return {song: value for song, value in found.items() if value is not None}


def _scored(name: str, rows: list[dict[str, Any]]) -> Scored:
    def mean(column: str) -> float | None:
        values = list(_by_song(rows, column).values())
        return statistics.fmean(values) if values else None

    measures = {m: mean(m) for m in ("oa", "rpa", "oa_best", "threshold", "sdr_db")}
    return Scored(name, songs=len({str(row["song"]) for row in rows}), **measures)
