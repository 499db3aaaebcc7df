"""A catalogue of which most rows are rejected for one reason is read wrongly, and says so."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from pipelines.catalogue.tracks import MESSAGES
from stemlode import tables
from stemlode.tables import Row

MOST = 0.5  # of all rows: beyond, a reason is the catalogue's and not the rows'
ALLOW = "--allow-rejects"
SHOWN = 40  # characters of an example
RejectTally = tuple[int, Row]  # how many rejects a reason has, and the one that sorts first
_WHY = {**MESSAGES, "bad_row": "the line is no row"}
_WAYS_OUT = {  # what to type; an id that is there once more says nothing against a row
    "bad_id": "ids are written as integers or text",
    "no_track_id": "another column is taken with --columns track_id=NAME",
    "no_title": "another column is taken with --columns title=NAME",
    "no_artist": "another column is taken with --columns artist=NAME",
    "bad_duration": "another column is taken with --columns duration_s=NAME",
    "bad_row": "CSV has its --delimiter between the values, JSON an object a line or an array",
}
_BLAMED = {
    "bad_id": ["track_id", "artist_id"],
    "no_track_id": ["track_id"],
    "no_title": ["title"],
    "no_artist": ["artist"],
    "bad_duration": ["duration_s", "duration_ms"],
    "bad_row": ["line"],
}
_COMMA = re.compile(r"\s*\d+,\d+\s*")


def tallied(rejects: Iterable[Row]) -> dict[str, RejectTally]:
    """Rejects by their reasons."""
    found: dict[str, RejectTally] = {}
    for row in rejects:
        one = (1, row)
        found[row["error"]] = added([found[row["error"]], one]) if row["error"] in found else one
    return found


def added(tallies: Iterable[RejectTally]) -> RejectTally:
    """Tallies of one reason in one."""
    every = list(tallies)
    example = min((row for _, row in every), key=lambda row: tables.order(row, ("stage", "key")))
    return sum(count for count, _ in every), example


def verdict(catalog: str, rows: int, by_reason: dict[str, RejectTally]) -> str | None:
    """The line that ends a run of which a reason took most rows; None where none did.

    `catalog` is what was read, and `rows` how many rows it has.
    """
    for reason in _too_many(rows, {name: count for name, (count, _) in by_reason.items()}):
        count, example = by_reason[reason]
        value = _value(reason, example)
        such = f"such as {value[:SHOWN]!r}" if value else f"{example['key']} has none at all"
        way_out = _WAYS_OUT[reason]
        if reason == "bad_duration" and _COMMA.fullmatch(value):
            way_out = "commas are read as decimal ones with --decimal-comma"
        return (
            f"--catalog {catalog}: {count:,} of {rows:,} rows are rejected: {_WHY[reason]}, "
            f"{such}; {way_out}; to go on without them, repeat the command with {ALLOW}"
        )
    return None


def notes(rows: int, counts: Mapping[str, int]) -> Iterator[str]:
    """What to expect of a catalogue with so many rejects by reason."""
    for reason in _too_many(rows, counts):
        yield (
            f"{counts[reason]:,} of {rows:,} rows would be rejected, and end the run without "
            f"{ALLOW}: {_WHY[reason]}; {_WAYS_OUT[reason]}"
        )


def _too_many(rows: int, counts: Mapping[str, int]) -> list[str]:
    """The reason that takes most rows, if one does."""
    return [reason for reason in _WAYS_OUT if counts.get(reason, 0) > MOST * rows]


def _value(reason: str, reject: Row) -> str:
    """What a reject has where it should have something else; empty for nothing."""
    record = json.loads(reject["record"])
    values = [record[name] for name in _BLAMED[reason] if record.get(name) not in (None, "")]
    return str(values[0]) if values else ""
