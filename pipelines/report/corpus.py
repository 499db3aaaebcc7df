"""What a corpus holds: hours by kind, source, genre, year, licence; loudness, lengths, losses."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.pages.charts import Histogram
from pipelines.pages.inputs import Folder
from pipelines.report.counts import SPLITS
from pipelines.report.spread import Measure, spread

LISTED = 12  # rows of a table; what is left is added up, years by their decades
SHOWN = 12  # songs in a list
COLUMNS = {
    "split": "Hours by split",
    "kind": "Hours by kind",
    "source": "Hours by source",
    "genre": "Hours by genre",
    "release_year": "Hours by year",
    "licence": "Hours by licence",
}
MENDED = "Hours by what was mended of pairs"
LOUDNESS = Measure("loudness_db", "Loudness", "mean power of the mixture, dB re full scale")
LENGTH = Measure("length_s", "Length of songs", "seconds")
_INDEX = ("song_id", "split", "kind", "sources", "genre", "release_year", "licence")
_NUMBERS = ("duration_s", "energies_db", "augmentation", "repaired")
_SONG = ("name", "split", "joined", "chunks", "left_out", "sum_error_db")


@dataclass(frozen=True)
class Share:
    """Samples and hours that have one value; `others` counts further values put together."""

    value: str
    samples: int
    hours: float
    others: int = 0


@dataclass(frozen=True)
class Statistics:
    """One corpus, for the page."""

    hours: float
    tables: list[tuple[str, list[Share]]]
    loudness: Histogram | None = None
    length: Histogram | None = None
    causes: list[tuple[str, int]] = field(default_factory=list)  # of rejects
    chunks: int = 0
    left_out: int = 0
    copies: float = 0.0  # hours of augmented copies
    misses: list[tuple[str, float]] = field(default_factory=list)  # song, dB
    joined: list[tuple[str, str, str]] = field(default_factory=list)  # song, split, to whom and why
    joined_untold: int = 0


def statistics(corpus: Folder) -> Statistics | None:
    """All that the page says of a corpus; None without an index."""
    index = corpus.table("index", [*_INDEX, *_NUMBERS])
    if index is None:
        return None
    seconds = index["duration_s"].to_numpy(zero_copy_only=False).astype(np.float64)
    hours = float(np.nansum(seconds)) / 3600
    rejects = corpus.table("rejects", ["error"])
    causes = Counter(rejects["error"].to_pylist()) if rejects is not None else Counter()
    augmented = np.asarray(index["augmentation"].is_valid())
    songs = corpus.table("songs", _SONG)
    return Statistics(
        hours=hours,
        tables=[
            *((title, _shares(index, column)) for column, title in COLUMNS.items()),
            *([(MENDED, _mended(index))] if index["repaired"].null_count < len(index) else []),
        ],
        loudness=spread(_by_split(index["split"], _loudness(index)), {}, LOUDNESS),
        length=_lengths(index),
        causes=sorted(causes.items(), key=lambda item: (-item[1], str(item[0]))),
        copies=float(np.nansum(seconds[augmented])) / 3600,
        **(_of_songs(songs.to_pylist()) if songs is not None else {}),
    )


def _shares(index: pa.Table, column: str) -> list[Share]:
    """Samples and hours by the values of a column, the most hours first; years in order, or
    decades where there are many."""
    seconds = index["duration_s"]
    if column == "source":
        held = index["sources"].combine_chunks()
        values = pc.list_flatten(held)
        seconds = seconds.take(pc.list_parent_indices(held))
    else:
        values = index[column]
    table = pa.table({"value": values.cast(pa.string()), "seconds": seconds})
    grouped = table.group_by("value").aggregate([("seconds", "sum"), ("seconds", "count")])
    found = [
        Share(row["value"] or "", row["seconds_count"], (row["seconds_sum"] or 0.0) / 3600)
        for row in grouped.to_pylist()
    ]
    if column == "release_year" and len(found) > LISTED:
        found = _by_decade(found)
    found.sort(key=lambda share: (-share.hours, share.value))
    rest = found[LISTED:]
    found = found[:LISTED]
    if column == "release_year":
        found.sort(key=lambda share: share.value)
    if rest:
        samples, hours = sum(s.samples for s in rest), sum(s.hours for s in rest)
        found.append(Share("", samples, hours, len(rest)))
    return found


def _by_decade(years: Sequence[Share]) -> list[Share]:
    """1987 and 1981 are of the 1980s; what is not stated stays so."""
    found: dict[str, Share] = {}
    for year in years:
        value = f"{year.value[:-1]}0s" if year.value else ""
        held = found.get(value, Share(value, 0, 0.0))
        found[value] = Share(value, held.samples + year.samples, held.hours + year.hours)
    return list(found.values())


def _mended(index: pa.Table) -> list[Share]:
    """Samples and hours that each kind of repair gave; of two on one sample, each counts it."""
    lists = pc.split_pattern(pc.fill_null(index["repaired"].combine_chunks(), ""), "+")
    rows = pc.list_parent_indices(lists)
    values = pa.table(
        {"repaired": pc.list_flatten(lists), "duration_s": index["duration_s"].take(rows)}
    )
    return _shares(values.filter(pc.not_equal(values["repaired"], "")), "repaired")


def _loudness(index: pa.Table) -> np.ndarray:
    """Mean power in dB of each sample's mixture, or of its one source; NaN where none is known."""
    found = []
    for energies in index["energies_db"].to_pylist(maps_as_pydicts="lossy"):
        known = energies or {}
        level = known.get(
            "mixture", max((v for v in known.values() if v is not None), default=None)
        )
        found.append(np.nan if level is None else level)
    return np.array(found, np.float64)


def _lengths(index: pa.Table) -> Histogram | None:
    """How long the songs are, as they lie in the corpus, without their augmented copies."""
    own = index.filter(index["augmentation"].is_null()).select(["song_id", "split", "duration_s"])
    songs = own.group_by(["song_id", "split"]).aggregate([("duration_s", "sum")])
    lengths = songs["duration_s_sum"].to_numpy(zero_copy_only=False).astype(np.float64)
    return spread(_by_split(songs["split"], lengths), {}, LENGTH)


def _by_split(split: pa.ChunkedArray, values: np.ndarray) -> dict[str, np.ndarray]:
    names = np.asarray(split.to_pylist(), dtype=object)
    stacks = {name: values[names == name] for name in SPLITS}
    stacks["other"] = values[~np.isin(names, SPLITS)]
    return {name: held for name, held in stacks.items() if held.size}


def _of_songs(songs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the table of songs says: chunks left out, sums that miss, songs that were joined."""
    missed = [(s["name"] or "", s["sum_error_db"]) for s in songs if s["sum_error_db"] is not None]
    joined = sorted(
        (s["name"] or "", s["split"] or "", "; ".join(s["joined"])) for s in songs if s["joined"]
    )
    return {
        "chunks": sum(s["chunks"] or 0 for s in songs),
        "left_out": sum(s["left_out"] or 0 for s in songs),
        "misses": sorted(missed, key=lambda miss: (-miss[1], miss[0]))[:SHOWN],
        "joined": joined[:SHOWN],
        "joined_untold": len(joined[SHOWN:]),
    }
