"""A run's log: an event a line, as JSON (`--log json`) or as text (`-v`). Free of Beam.

On this machine lines go to standard error, whichever process writes them. On a remote runner they
are messages of Python's `logging`, which the runner collects with its severity; where a worker has
nobody to collect them, as in Beam's pool of plain processes, they go to its standard error.
"""

import datetime
import json
import logging
import sys
from dataclasses import dataclass
from typing import Any

from stemlode.runs import on_one_line

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LOGGER = logging.getLogger("stemlode")


@dataclass(frozen=True)
class Wanted:
    """What a user wants to see. Small and picklable: workers get it too.

    json: events as JSON. verbose: every thing that is done, not only what goes wrong. remote: the
    runner collects the messages.
    """

    json: bool = False
    verbose: bool = False
    remote: bool = False


_WANTED = Wanted()


def want(wanted: Wanted) -> None:
    """From now on, in this process."""
    global _WANTED  # noqa: PLW0603 - a process has one log
    _WANTED = wanted


def wanted() -> Wanted:
    """What is wanted in this process."""
    return _WANTED


def event(level: str, name: str, verb: str, stage: str = "", key: str = "", **facts: Any) -> None:
    """Log one thing that happened."""
    if not (_WANTED.json or _WANTED.verbose) or (
        level == "info" and name == "step" and not _WANTED.verbose
    ):
        return
    if _WANTED.json:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": level, "event": name, "verb": verb, "stage": stage}
        text = json.dumps(line | {"key": key} | facts, ensure_ascii=True, default=str)
    else:
        said = " ".join(f"{k} {v}" if k != "message" else str(v) for k, v in facts.items())
        text = on_one_line(f"{verb}: " + " ".join(filter(None, (name, stage, key, said))))
    if _WANTED.remote and _LOGGER.hasHandlers():
        _LOGGER.log(LEVELS[level], "%s", text)
    else:
        tell(text)


def tell(line: str) -> None:
    """A line on standard error that does not break a bar."""
    from tqdm import tqdm  # noqa: PLC0415 - the decoding process does without

    try:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it any more
        pass
