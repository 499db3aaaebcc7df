"""Which original? Of the candidates of one instrumental, the one that it was most likely made from.

A catalogue holds the same recording on a single, an album and a deluxe edition. In this order:

1. the same album, whatever a title in brackets or a case adds to its name;
2. the nearest duration;
3. an ISRC by the same registrant in the same year, its first seven characters;
4. the earliest release;
5. the smallest track id, so that there is always one.

Free of Beam.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from matching.titles import fuzzy

SAME_REGISTRANT_AND_YEAR = 7  # characters of an ISRC: country, registrant, year
NO_YEAR = 10_000
Candidate = dict[str, Any]


def rank(candidate: Candidate) -> tuple[bool, float, bool, int, str]:
    """What sorts the candidates of one instrumental, the likeliest first (schemas.CANDIDATE)."""
    mix, instrumental = candidate["mix"], candidate["instrumental"]
    year = mix["release_year"]
    return (
        not _same_album(mix["album"], instrumental["album"]),
        abs(candidate["duration_difference_s"]),
        not _same_isrc(mix["isrc"], instrumental["isrc"]),
        NO_YEAR if year is None else year,
        candidate["mix_track_id"],
    )


def likeliest(candidates: pa.Table) -> pa.Table:
    """Of a table with the schema CANDIDATE one row for each instrumental, in the same order."""
    best: dict[str, tuple[Any, int]] = {}
    for place, row in enumerate(_rows(candidates)):
        ranked = (rank(row), place)
        best[row["instrumental_track_id"]] = min(
            ranked, best.get(row["instrumental_track_id"], ranked)
        )
    chosen = np.sort(np.array([place for _, place in best.values()], np.int64))
    return candidates.take(pa.array(chosen))


def _rows(candidates: pa.Table) -> Iterator[Candidate]:
    """What `rank` looks at, and no more: a catalogue can have millions of candidates."""
    for batch in candidates.to_batches(max_chunksize=10_000):
        scalars = ("mix_track_id", "instrumental_track_id", "duration_difference_s")
        columns = {name: batch[name].to_pylist() for name in scalars}
        for side in ("mix", "instrumental"):
            fields = ("album", "isrc", "release_year")
            values = [batch[side].field(name).to_pylist() for name in fields]
            columns[side] = [
                dict(zip(fields, row, strict=True)) for row in zip(*values, strict=True)
            ]
        yield from (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )


def _same_album(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return False
    return one == other or fuzzy(one) == fuzzy(other) != ""


def _same_isrc(one: str | None, other: str | None) -> bool:
    first, second = (
        (isrc or "").replace("-", "").upper()[:SAME_REGISTRANT_AND_YEAR] for isrc in (one, other)
    )
    return first == second and len(first) == SAME_REGISTRANT_AND_YEAR
