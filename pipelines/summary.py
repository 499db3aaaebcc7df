"""What a finished run says to its user: numbers with units, reasons in words. No Beam."""

from collections.abc import Iterator
from typing import Any

from stemlode import runs
from stemlode.addresses.rules import REFUSED, UNREACHABLE
from stemlode.progress import bars

CAUSES = 5  # of rejects that are named; the table has all
REJECTS = "rejects/"  # a count of each cause
# What a run is for: said also where there is none.
WANTED = {
    "scan": "tracks",
    "match": "candidates",
    "prune": "kept",
    "corpus": "samples",
    "pseudolabel": "samples",
    "salience": "samples",
    "perturb-songs": "songs",
}


def lines(record: dict[str, Any], output: str) -> Iterator[str]:
    """Of a run's record."""
    seconds = record["seconds"]
    took = bars.duration(seconds) if seconds >= 120 else f"{seconds:.1f} s"
    yield f"{record['verb']}: done in {took}, in {output}"
    counts = record["counts"]
    for name, number in counts.items():
        if not number and name == WANTED.get(record["verb"]):
            yield f"  {bars.words(name):<28} {'none':>12}"
        elif number and not name.startswith(REJECTS):
            yield f"  {bars.words(name):<28} {bars.with_unit(name, number)}"
    if causes := {n.removeprefix(REJECTS): c for n, c in counts.items() if REJECTS in n and c}:
        yield f"  rejected because: {reasons(causes)}"
    yield from unreached(record)
    for note in record.get("notes", []):
        yield runs.on_one_line(f"note: {note}")


def unreached(record: dict[str, Any]) -> Iterator[str]:
    """What can be tried again."""
    for name, what, how in (
        (UNREACHABLE, "could not be reached", ""),
        (REFUSED, "were refused for their addresses", " with --allow-uri"),
    ):
        if missed := record["counts"].get(name):
            some = "1 file" if missed == 1 else f"{missed:,} files"
            yield f"note: {some} {what}; --retry-rejects{how} tries again"


def reasons(causes: dict[str, int], most: int = CAUSES) -> str:
    """Causes of rejects, the most frequent first."""
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{cause.replace('_', ' ')} ({count:,})" for cause, count in ordered[:most]]
    return ", ".join(said) + (", …" if len(ordered) > most else "")
