"""What a file does not say of itself. Free of Beam."""

from collections.abc import Sequence
from dataclasses import dataclass

UNITS = {"s": 1, "ms": 1000, "ticks": 10_000_000}  # of durations, and how many are in a second


@dataclass(frozen=True)
class Dialect:
    """How the files of a catalogue are written, as far as a user has to say it.

    encoding: of text; strict UTF-8 where it is None.
    delimiter: of CSV; where it is None, what a first line `sep=;` says, else what the name does.
    header_rows: of CSV, from which the columns have their names; with 0 these are 1, 2, 3, …
    list_separator: in a text that lists artist ids (";" where it is None) or ISRCs (none).
    duration_unit: one of UNITS, of numbers in duration_s.
    decimal_comma: whether durations in text have a comma where others have a point.
    constant: columns that all rows share and the files lack, `ours=value` each.
    partitions: "hive" where folders name columns (`artist=Muse/`), else folders mean nothing.
    catalog_format: the source's name (`beets`, `duckdb:TABLE`), where the files are of one that is
        known; None for Parquet, CSV and JSON by their names' ends.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header_rows: int = 1
    list_separator: str | None = None
    duration_unit: str | None = None
    decimal_comma: bool = False
    constant: Sequence[str] | None = None
    partitions: str | None = None
    catalog_format: str | None = None


PLAIN = Dialect()
