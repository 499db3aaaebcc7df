"""The state of a run by its folder alone: what it was asked, how far it is, what went wrong.

While it runs, after a crash and when it is done, wherever the folder lies. Nothing is written and
no part file is opened, so that a folder of 10^5 parts is looked at in seconds. Free of Beam.
"""

import contextlib
import fcntl
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemlode import files, locks, plans, runs, tables
from stemlode.progress import bars, meters
from stemlode.progress.meters import Counted, Facts
from stemlode.runs import BadUsage, Run

DONE, RUNNING, FAILED, STOPPED = "done", "running", "failed", "stopped"
SILENT_S = 4 * meters.ALIVE_S  # without a sign of life nothing works there any more
NO_PARTS = (".facts", ".plan.json", ".landmarks", runs.FREED)  # beside the part files
LOG = "log.jsonl"  # of training, and its parts while it goes on
TELLING = ("step", "loss", "valid_loss", "valid_sdr", "segments_per_s", "data_wait", "utilisation")


@dataclass
class Reject:
    """A cause of rejects, how many there are, and one of them."""

    count: int
    example: Facts = field(default_factory=dict)


@dataclass
class State:
    """What can be said of a run.

    state: DONE, RUNNING, FAILED (and says why) or STOPPED (killed, or without a sign of life).
    parts, parts_bytes: what is finished and kept for the next attempt, where there are parts.
    since_s: seconds since the last sign of life. where: hosts and processes, for people.
    """

    verb: str
    output: str
    state: str
    options: Facts
    counted: Counted | None = None
    rejects: dict[str, Reject] = field(default_factory=dict)
    parts: int = 0
    parts_bytes: int = 0
    shards: int = 0
    error: str = ""
    since_s: float | None = None
    where: str = ""
    record: Facts = field(default_factory=dict)
    training: Facts = field(default_factory=dict)
    seconds: float | None = None


def of(output: str, *, count: bool = True) -> State:
    """Look at a run folder; BadUsage where there is none. `count`: the part files too."""
    plan = files.join(output, runs.PLAN)
    try:
        held = plans.read(files.read_bytes(plan))
    except FileNotFoundError:
        what = "is not a run folder: it holds no " + runs.PLAN
        there = files.exists(output)
        raise BadUsage(f"{output} {what if there else 'does not exist'}") from None
    except (IsADirectoryError, NotADirectoryError):
        raise BadUsage(f"{output} is not a run folder") from None
    if held is None:
        raise BadUsage(f"{plan}: unreadable; it is no plan of a run")
    found = State(held["verb"], output, STOPPED, held["options"])
    is_added_to = files.exists(files.join(output, runs.PENDING))
    if files.exists(files.join(output, runs.SUCCESS)) and not is_added_to:
        _finished(found)
        return found
    counted = meters.held(output)
    now = time.time()
    if counted is not None:
        found.counted = counted[0]
        found.since_s = now - counted[0].updated
        found.seconds = counted[0].updated - counted[0].began
        launcher = counted[0].launcher
        found.where = f"{launcher.get('host', '?')} process {launcher.get('pid', '?')}"
        found.rejects = {
            cause: Reject(number, counted[0].examples.get(cause, {}))
            for cause, number in counted[0].rejects.items()
        }
    holder = _holder(output)
    found.error = _error(output)
    if holder:
        found.state, found.where, found.error = RUNNING, found.where or holder, ""
    elif found.error:
        found.state = FAILED
    elif not files.is_local(output) and found.since_s is not None and found.since_s < SILENT_S:
        found.state = RUNNING
    found.training = _training(output)
    if count:
        found.parts, found.parts_bytes = finished_parts(output)
    return found


def finished_parts(output: str) -> tuple[int, int]:
    """How many parts an attempt has left for the next one, and their bytes."""
    folder = files.join(output, runs.PARTS)
    if files.is_local(folder):
        return _local_parts(Path(folder))
    fs, name = files.system(folder)
    found = fs.find(name, detail=True) if fs.exists(name) else {}
    sizes = [int(info.get("size") or 0) for path, info in found.items() if _is_part(path)]
    return len(sizes), sum(sizes)


def _local_parts(folder: Path) -> tuple[int, int]:
    number = size = 0
    for path, _, names in os.walk(folder):
        for name in filter(_is_part, names):
            with contextlib.suppress(OSError):
                size += Path(path, name).stat().st_size
                number += 1
    return number, size


def _is_part(path: str) -> bool:
    return not path.endswith(NO_PARTS) and not files.is_temporary(path)


def resumed(output: str) -> str:
    """What an earlier attempt left for this one, in words; empty where it left nothing."""
    with contextlib.suppress(OSError):
        number, _ = finished_parts(output)
        if not number:
            return ""
        parts = f"{number:,} finished part{'s' * (number > 1)}"
        before = meters.held(output)
        first = (
            min(before[0].phases.items(), key=lambda p: p[1].began)
            if before and before[0].phases
            else None
        )
        return f"{bars.how_many(*first)}, {parts}" if first else parts
    return ""


def distributions(run: Run) -> Facts:
    """`distributions` of a run's record: what all its processes have observed, as far as they
    said so; empty where nothing was."""
    held = meters.current()
    if held is None or held.run.output != run.output:
        return {}
    found = meters.of_others(held).distributions
    return (
        {
            "distributions": {
                name: {key: round(value, 3) for key, value in vars(one).items()}
                for name, one in sorted(found.items())
            }
        }
        if found
        else {}
    )


def _finished(found: State) -> None:
    record = runs.record(found.output)
    found.state, found.record = DONE, record
    found.verb = record["verb"]
    found.seconds = record.get("seconds")
    causes: Counter[str] = Counter()
    examples: dict[str, Facts] = {}
    for name in sorted(record["outputs"]):
        if name.startswith("rejects-") and name.endswith(".parquet"):
            table = tables.read_part(
                files.join(found.output, name), ["stage", "key", "error", "message"]
            )
            for cause, number in tables.count_by(table, "error").items():
                causes[cause] += number
            firsts = table.group_by("error", use_threads=False).aggregate(
                [(column, "first") for column in ("stage", "key", "message")]
            )
            for row in firsts.to_pylist():
                example = {k.removesuffix("_first"): v for k, v in row.items() if k != "error"}
                examples.setdefault(row["error"], example)
    found.rejects = {c: Reject(n, examples.get(c, {})) for c, n in causes.most_common()}
    found.shards = sum(name.endswith((".tar",)) for name in record["outputs"])


def _error(output: str) -> str:
    """Why the last attempt ended: the cause that a step left, or the last line of the error."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        cause = json.loads(files.read_bytes(files.join(output, runs.CAUSE)))
        return str(cause["message"])
    with contextlib.suppress(OSError):
        text = files.read_bytes(files.join(output, runs.ERROR)).decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        is_trace = any(line.startswith("Traceback") for line in lines)
        # A signal's word comes first, and then where it was; an error's own word comes last.
        return (
            lines[0]
            if lines and not (is_trace and lines[0].startswith("Traceback"))
            else (lines[-1] if lines else "")
        )
    return ""


def _holder(output: str) -> str:
    """Who works in a local folder; empty where nobody does. Takes nobody's lock."""
    if output in locks.held():  # by this process: until it ends, also after its run has failed
        held = meters.current()
        is_at_work = held is not None and held.run.output == output
        return f"process {os.getpid()}" if is_at_work else ""
    path = Path(output, locks.NAME)
    if not files.is_local(output) or not path.exists():
        return ""
    try:
        with path.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                return file.read(100).decode(errors="replace").strip() or "another process"
            fcntl.lockf(file, fcntl.LOCK_UN)
    except OSError:
        return ""
    return ""


def _training(output: str) -> Facts:
    """The last line of a training's log; empty where there is none."""
    paths = [files.join(output, LOG)]
    with contextlib.suppress(OSError):
        paths += [p for p in files.list_files(files.join(output, "log")) if p.endswith(".jsonl")]
    for path in reversed(paths):
        with contextlib.suppress(OSError, ValueError, IndexError):
            line: Any = json.loads(files.read_bytes(path).splitlines()[-1])
            return {name: line[name] for name in TELLING if name in line}
    return {}
