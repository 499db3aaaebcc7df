"""Files that could not be had: rejects that can be tried again, and when they end a run. No Beam.

A run in which few files could not be reached is done, with a reject `unreachable` for each, and
keeps what it made in `_parts`. `--retry-rejects` opens it again: all but those files is found
there, and the result has the bytes of a run in which all was reachable.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from stemlode import runs, tables
from stemlode.addresses.rules import UNREACHABLE
from stemlode.retry import NOT_TRIED, store_of
from stemlode.runs import BadUsage

MOST = 0.01  # of a run's files
FEWEST = 10  # files: fewer end no run, whatever their share
TRIED = "files_tried"  # how they are counted: what was opened, or would have been
OPTIONS = ("retry_rejects", "max_unreachable")  # which decide nothing of the output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two options of verbs that read files from where a catalogue says."""
    parser.add_argument(
        "--retry-rejects",
        action="store_true",
        help="try those files again that a finished run could not reach, or was not allowed to",
    )
    parser.add_argument(
        "--max-unreachable",
        type=float,
        default=MOST,
        metavar="0…1",
        help=f"share of the files beyond which a run fails that could not reach at least {FEWEST}",
    )


def check(share: float) -> None:
    """BadUsage for what is no share."""
    if not 0 <= share <= 1:
        raise BadUsage(f"--max-unreachable {share:g}: a share of the files, from 0 to 1")


def verdict(
    run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str], *, most: float
) -> str | None:
    """Why so many files unreached are no success, in a line; None where they are few.

    Args:
        outputs: the run's files, its tables of rejects among them.
        most: share of the files that may be missing.
    """
    missed, files = int(counts.get(UNREACHABLE, 0)), int(counts.get(TRIED, 0))
    if missed < FEWEST or missed <= most * files:
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
    return (
        f"--output {run.output}: {missed:,} of {files:,} files cannot be reached, {count:,} of "
        f"them at {store}{why}; run again when it answers, or allow more with --max-unreachable"
    )
