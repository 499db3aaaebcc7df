"""Files that could not be had: rejects that can be tried again, and when they end a run. No Beam.

A run in which few files could not be reached is done, with a reject `unreachable` for each, and
keeps what it made in `_parts`. `--retry-rejects` opens it again: all but those files is found
there, and the result has the bytes of a run in which all was reachable.
"""

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from stemlode import runs, tables
from stemlode.addresses.rules import UNREACHABLE
from stemlode.retry import NOT_TRIED, store_of
from stemlode.runs import BadUsage

MOST = 0.01  # of a run's files
FEWEST = 10  # files: fewer end no run, whatever their share, but where they are all
TRIED = "files_tried"  # how they are counted: what was opened, or would have been
OPTIONS = ("retry_rejects", "max_unreachable")  # which decide nothing of the output


RETRY = "try those files again that a finished run could not reach, or was not allowed to"


def add_arguments(parser: argparse.ArgumentParser, retry: str = RETRY) -> None:
    """The two options of verbs that read files from where a catalogue says."""
    parser.add_argument("--retry-rejects", action="store_true", help=retry)
    parser.add_argument(
        "--max-unreachable",
        type=float,
        default=MOST,
        metavar="0…1",
        help=f"share of the files beyond which a run fails that could not reach at least {FEWEST}, "
        "or any at all",
    )


def check(share: float) -> None:
    """BadUsage for what is no share."""
    if not 0 <= share <= 1:
        raise BadUsage(f"--max-unreachable {share:g}: a share of the files, from 0 to 1")


@dataclasses.dataclass(frozen=True)
class Limit:
    """How many files may stay out of reach.

    Args:
        most: share of the files.
        held: files that came before what is counted, and count for the share.
        tried: the counts whose sum is that of the files.
        what: that each reject stands for.
    """

    most: float
    held: int = 0
    tried: tuple[str, ...] = (TRIED,)
    what: str = "files"

    def is_passed(self, counts: Mapping[str, float]) -> bool:
        """Whether so many files were not reached that the run is no success."""
        missed, every = counts.get(UNREACHABLE, 0), self.files(counts) + self.held
        return missed >= min(FEWEST, max(1, every)) and missed > self.most * every

    def files(self, counts: Mapping[str, float]) -> int:
        """How many were tried."""
        return sum(int(counts.get(name, 0)) for name in self.tried)

    def counts(self) -> tuple[str, ...]:
        """The names of all that it depends on."""
        return UNREACHABLE, *self.tried


def verdict(
    run: runs.Run,
    counts: Mapping[str, float],
    outputs: Sequence[str],
    limit: Limit,
    *,
    nothing_came: bool = False,
) -> str | None:
    """Why so many files unreached are no success, in a line; None where they are few.

    Args:
        outputs: the run's files, its tables of rejects among them.
        nothing_came: of the others either, so that a single one is too many.
    """
    missed = int(counts.get(UNREACHABLE, 0))
    if not (missed and nothing_came) and not limit.is_passed(counts):
        return None
    places: Counter[str] = Counter()
    said: dict[str, str] = {}
    for name in sorted(outputs):
        if name.startswith("rejects-"):
            for row in tables.rows(run.path(name)):
                if row["error"] == UNREACHABLE:
                    store = store_of(str(json.loads(row["record"]).get("audio_uri")))
                    places[store] += 1
                    if not row["message"].startswith(NOT_TRIED):
                        said.setdefault(store, row["message"])
    (store, count), *_ = places.most_common(1)
    why = f" ({said[store]})" if store in said else ""
    or_else = ", or allow more with --max-unreachable" if limit.is_passed(counts) else ""
    return (
        f"--output {run.output}: {missed:,} of {limit.files(counts):,} {limit.what} cannot be "
        f"reached, {count:,} of them at {store}{why}; run again when it answers{or_else}"
    )
