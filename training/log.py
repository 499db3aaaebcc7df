"""The log of a run: a line every few steps.

While a run goes on, its log lies in parts, `log/000001.jsonl` and so on: a store cannot append, so
the part that grows is written anew with each line, and each saved state begins another one. At the
end all are joined in `log.jsonl`. A run that resumes drops the lines that its state does not know.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stemlode import files, runs
from stemlode.runs import Failed, Run
from training import console
from training.state import Progress, Unlogged, damaged

FILE, PARTS = "log.jsonl", "log"
PART = r"log/\d{6,}\.jsonl"
Line = dict[str, Any]


class Log:
    """The lines of a run so far; only the process that `writes` touches files."""

    def __init__(self, run: Run, *, writes: bool = True) -> None:
        self.run, self.writes = run, writes
        self.lines: list[Line] = []
        self._part, self._from = 1, 0  # the part that grows, and its first line

    def begin(self) -> None:
        """Start anew, whatever an attempt that saved no state left."""
        if self.writes:
            self._remove(0)

    def resume(self, step: int, count: int | None) -> None:
        """Go on with the first `count` lines, those up to a step, that a state knows; states of
        earlier versions do not say how many. Where some are damaged or gone, that is said, and the
        run goes on with the others: the net does not depend on them."""
        if not self.writes:
            return
        paths = self._paths()
        parts = [_held(path) for path in paths]
        lacks = "" if count is None else self._lacks(paths, parts, count)
        if count is not None and not lacks:
            self._keep(paths, parts, count)
            return
        # A run that came to its end, and is to last longer now; or one whose log is damaged.
        path = self.run.path(FILE)
        whole = _held(path) if files.exists(path) else Held([], [], "")
        if count is None:
            count = sum(line["step"] <= step for line in whole.every)
        if len(whole.lines) >= count:
            self.lines = whole.lines[:count]
        else:
            of_parts = [line for part in parts for line in part.every]
            known = max(of_parts, whole.every, key=len)
            self.lines = [line for line in known if line["step"] <= step][:count]
            lost = count - len(self.lines)
            is_of_whole = not lacks or (whole.trouble and not paths)
            trouble = f"{path}: {whole.trouble}" if is_of_whole else lacks
            console.tell(f"{trouble}; the net goes on as it was, the log without lines: {lost}")
        self._remove(0)
        if self.lines:
            self._write()
            self.next_part()

    def add(self, line: Line) -> None:
        """Note a line."""
        self.lines.append(line)
        if self.writes:
            self._write()

    def next_part(self) -> None:
        """The lines so far belong to a saved state; further ones go into another file."""
        if len(self.lines) > self._from:
            self._part, self._from = self._part + 1, len(self.lines)

    def join(self) -> None:
        """At the end: all lines in one file."""
        if self.writes:
            files.write_bytes(self.run.path(FILE), _text(self.lines))
            self._remove(0)

    def _lacks(self, paths: Sequence[str], parts: "Sequence[Held]", count: int) -> str:
        """What keeps the first `count` lines from being all in the parts; empty where they are."""
        have = 0
        for number, (path, part) in enumerate(zip(paths, parts, strict=True), 1):
            if have >= count:
                break
            if path != self._named(number):
                return f"{self._named(number)}: missing"
            have += len(part.lines)
            if part.trouble and have < count:
                return f"{path}: {part.trouble}"
        return "" if have >= count else f"{self._named(len(paths) + 1)}: missing"

    def _keep(self, paths: Sequence[str], parts: "Sequence[Held]", count: int) -> None:
        wanted, last = 0, 0
        while len(self.lines) < count:
            held = parts[wanted].lines[: count - len(self.lines)]
            self.lines += held
            last, wanted = len(held), wanted + 1
        self._remove(wanted)
        self._part, self._from = wanted + 1, count
        if wanted and not parts[wanted - 1].is_just(last):
            files.write_bytes(paths[wanted - 1], _text(self.lines[-last:]))

    def _write(self) -> None:
        files.write_bytes(self._named(self._part), _text(self.lines[self._from :]))

    def _named(self, number: int) -> str:
        return self.run.path(PARTS, f"{number:06}.jsonl")

    def _paths(self) -> list[str]:
        found = files.list_files(self.run.path(PARTS))
        return sorted((path for path in found if not files.is_temporary(path)), key=_number)

    def _remove(self, kept: int) -> None:
        """All parts but the first few: from the last one, so that what stays is always a log's
        beginning."""
        for path in reversed(self._paths()[kept:]):
            files.remove(path)
        self._part, self._from = kept + 1, 0


def line_of(progress: Progress, unlogged: Unlogged, learning_rate: float) -> Line:
    """One line; losses are means over the steps since the line before."""
    losses, norm = unlogged.losses, unlogged.norm
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "loss": sum(losses) / len(losses),
        **{f"loss_{name}": sum(held) / len(held) for name, held in unlogged.terms.items()},
        "learning_rate": learning_rate,
        "gradient_norm": norm if math.isfinite(norm) else None,
        "seconds": round(progress.seconds, 3),
    }


def read(path: str) -> list[Line]:
    """The lines of a log that is whole; Failed where it is damaged."""
    held = _held(path)
    if held.trouble:
        raise damaged(path, ValueError(held.trouble))
    return held.lines


@dataclass(frozen=True)
class Held:
    """What a file holds of a log."""

    lines: list[Line]  # up to the first one that is damaged
    after: list[Line]  # whole ones behind that
    trouble: str  # what is wrong with it; empty where nothing is

    @property
    def every(self) -> list[Line]:
        """All whole lines."""
        return [*self.lines, *self.after]

    def is_just(self, count: int) -> bool:
        """Whether so many lines are all that is there."""
        return not self.trouble and len(self.lines) == count


def _held(path: str) -> Held:
    """Raises Failed where a file cannot be read, which may pass."""
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise Failed(f"{path}: {runs.reason(error)}; run again to resume") from error
    *texts, torn = data.split(b"\n")
    found = Held([], [], "")
    for number, text in enumerate(texts, 1):
        try:
            row = json.loads(text)
            line = {**row, "step": int(row["step"])}
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            if not found.trouble:
                found = dataclasses.replace(found, trouble=f"line {number} is damaged")
            continue
        (found.after if found.trouble else found.lines).append(line)
    if torn and not found.trouble:
        return dataclasses.replace(found, trouble="its last line is torn")
    return found


def _number(path: str) -> tuple[int, str]:
    return len(path), path  # more than 999,999 have a digit more


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
