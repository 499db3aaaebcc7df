"""The log of a run: a line every few steps.

While a run goes on, its log lies in parts, `log/000001.jsonl` and so on: a store cannot append, so
the part that grows is written anew with each line, and each saved state begins another one. At the
end all are joined in `log.jsonl`. A run that resumes drops the lines that its state does not know.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from stemlode import files
from stemlode.runs import Run
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
        """Go on with the first `count` lines; where a state does not say how many (of earlier
        versions), with those up to its step. Failed where they are not there."""
        if not self.writes:
            return
        parts = [_lines_of(path) for path in self._paths()]
        if count is not None and sum(map(len, parts)) >= count:
            self._keep(parts, count)
            return
        # A run that came to its end, and is to last longer now.
        path = self.run.path(FILE)
        if count is None:
            self.lines = [line for line in read(path) if line["step"] <= step]
        else:
            self.lines = [_parsed(path, line) for line in _lines_of(path)[:count]]
            if len(self.lines) < count:
                raise damaged(path, ValueError(f"{len(self.lines)} of {count} lines"))
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

    def _keep(self, parts: Sequence[Sequence[bytes]], count: int) -> None:
        paths, wanted = self._paths(), 0
        for path, held in zip(paths, parts, strict=True):
            if len(self.lines) == count:
                break
            self.lines += [_parsed(path, line) for line in held[: count - len(self.lines)]]
            wanted += 1
        self._remove(wanted)
        self._part, self._from = wanted + 1, count
        if wanted and sum(map(len, parts[:wanted])) > count:
            kept = count - sum(map(len, parts[: wanted - 1]))
            files.write_bytes(paths[wanted - 1], _text(self.lines[-kept:]))

    def _write(self) -> None:
        path = self.run.path(PARTS, f"{self._part:06}.jsonl")
        files.write_bytes(path, _text(self.lines[self._from :]))

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
    try:
        return [_parsed(path, line) for line in files.read_bytes(path).splitlines()]
    except OSError as error:
        raise damaged(path, error) from error


def _lines_of(path: str) -> list[bytes]:
    """The whole lines of a file; a torn last one is none."""
    try:
        return files.read_bytes(path).split(b"\n")[:-1]
    except OSError as error:
        raise damaged(path, error) from error


def _parsed(path: str, line: bytes) -> Line:
    try:
        row = json.loads(line)
        return {**row, "step": int(row["step"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, error) from error


def _number(path: str) -> tuple[int, str]:
    return len(path), path  # more than 999,999 have a digit more


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
