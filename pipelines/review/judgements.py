"""Judgements on disk: one JSON line each, synced before anybody is told that it is made.

The file only grows. An undo is a line as well, which takes back the last judgement that still
stands. A line that a crash cut short is passed over, and the next one begins afresh.
"""

import errno
import fcntl
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stemlode.runs import Failed

VERDICTS = ("pair", "not_a_pair", "unsure")


class Stale(Exception):
    """An undo of what is no longer the last judgement: somebody else has judged or undone."""


class Judgements:
    """The judgements of one file, which no other process may write at the same time.

    Safe to call from several threads.
    """

    def __init__(self, path: str) -> None:
        """Open or begin a file; Failed where another process has it, or it cannot be written."""
        self.path = path
        self.damaged = 0  # lines passed over
        self.events = 0  # judgements and undos ever made
        self._standing: list[tuple[int, str, str]] = []  # (event, pair id, verdict)
        self._lock = threading.Lock()
        try:
            new = not Path(path).exists()
            if not new and not Path(path).is_file():
                raise OSError(errno.EINVAL, "not a regular file", path)
            self._file = Path(path).open("a+b", buffering=0)  # noqa: SIM115 (held while we run)
            if new:
                _sync_folder(Path(path).parent)
        except OSError as error:
            raise Failed(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Failed(f"{path}: another review has it open; end that one first") from None
        self._file.seek(0)
        data = self._file.read()
        self._torn = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            self._replay(line)

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    @property
    def verdicts(self) -> dict[str, str]:
        """Pair id → its last verdict that stands."""
        with self._lock:
            return {pair_id: verdict for _, pair_id, verdict in self._standing}

    @property
    def last(self) -> tuple[int, str] | None:
        """The number and pair id of the judgement that an undo would take back."""
        with self._lock:
            return self._standing[-1][:2] if self._standing else None

    def judge(self, pair_id: str, verdict: str, **facts: Any) -> None:
        """Record a verdict, also over an earlier one. OSError where it did not reach the disk."""
        if verdict not in VERDICTS:
            raise ValueError(f"no verdict: {verdict!r}")
        with self._lock:
            self.events += 1  # also where it fails: what half reached the disk keeps its number
            event = {"event": self.events, "pair_id": pair_id, "verdict": verdict}
            self._append(event | facts)
            self._standing.append((self.events, pair_id, verdict))

    def undo(self, event: int) -> str:
        """Take back the last judgement, known by its number; its pair id.

        Raises Stale where that is not the last, OSError where it did not reach the disk.
        """
        with self._lock:
            if not self._standing or self._standing[-1][0] != event:
                raise Stale
            self.events += 1
            self._append({"event": self.events, "undo": event})
            return self._standing.pop()[1]

    def _append(self, entry: dict[str, Any]) -> None:
        entry = entry | {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        line = json.dumps(entry).encode() + b"\n"  # ASCII: no title or id can break a line
        line = b"\n" + line if self._torn else line
        self._torn = True  # until all of it is known to be there
        written = self._file.write(line)
        if written != len(line):
            raise OSError("the disk took only a part of it")
        os.fsync(self._file.fileno())
        self._torn = False

    def _replay(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            entry = json.loads(line)
            event = int(entry["event"])
            if "undo" in entry:
                self._standing = [held for held in self._standing if held[0] != entry["undo"]]
            elif entry["verdict"] in VERDICTS and isinstance(entry["pair_id"], str):
                self._standing.append((event, entry["pair_id"], entry["verdict"]))
            else:
                raise ValueError("no judgement")
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            self.damaged += 1
            return
        self.events = max(self.events, event)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last as well as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
