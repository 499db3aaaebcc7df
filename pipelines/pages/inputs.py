"""What a report reads: run folders, their records, tables and logs, all of them untrusted.

A missing part is left out of the page; a damaged one is Failed, naming the file. Free of Beam.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stemlode import files, runs, schemas, tables
from stemlode.runs import BadUsage, Failed

ORDER = (
    *("scan", "match", "prune", "corpus", "salience", "train", "finetune", "evaluate"),
    *("separate", "pitch"),
)


@dataclass(frozen=True)
class Folder:
    """A finished run: where it lies, and its `run.json`, checked for shape; `allowed` are what the
    user allows to be opened beside what the run did."""

    path: str
    record: dict[str, Any]
    allowed: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """What wrote the folder."""
        return self.record["verb"]

    @property
    def name(self) -> str:
        """The folder's own name, which tells two runs of a verb apart."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def fingerprint(self) -> str:
        """What the runs that read this one recorded of it."""
        return runs.fingerprint(self.path)

    def facts(self, entry: str) -> dict[str, Any]:
        """An object of the record (`counts`, `options`, …); empty where there is none."""
        found = self.record.get(entry)
        return found if isinstance(found, dict) else {}

    def count(self, name: str) -> int | None:
        """A whole count of the record, not negative; None where there is none."""
        value = whole(self.facts("counts").get(name))
        return value if value is None or value >= 0 else None

    def option(self, name: str) -> Any:
        """An option; None where it is not set."""
        return self.facts("options").get(name)

    def parts(self, table: str) -> list[str]:
        """The Parquet files of a table, in order; none where the run has no such table."""
        listed = sorted(self.facts("outputs"))
        names = [n for n in listed if n == f"{table}.parquet" or n.startswith(f"{table}-")]
        return [files.join(self.path, n) for n in names if n.endswith(".parquet")]

    def rows(self, table: str) -> int | None:
        """How many rows a table has, from the files' footers; None without such a table."""
        paths = self.parts(table)
        return sum(tables.footer(path).num_rows for path in paths) if paths else None

    def table(self, table: str, columns: Sequence[str]) -> pa.Table | None:
        """Columns of a table (`mix.title` is one of a struct); None without such a table.

        Those that came after the table was written are null.
        """
        paths = self.parts(table)
        return _whole(columns, paths) if paths else None

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; empty without such a table."""
        paths = self.parts(table)
        return tables.footer(paths[0]).schema.to_arrow_schema().names if paths else []

    def lines(self, name: str) -> tuple[list[dict[str, Any]], int]:
        """The objects of a JSON Lines file, and how many lines are none; empty where missing."""
        path = files.join(self.path, name)
        if not files.exists(path):
            return [], 0
        try:
            text = files.read_bytes(path).decode(errors="replace")
        except OSError as error:
            raise Failed(f"{path}: {runs.reason(error)}") from error
        found = [_object(line) for line in text.splitlines() if line.strip()]
        return [entry for entry in found if entry is not None], found.count(None)


def find(paths: Sequence[str], allowed: Sequence[str] = ()) -> tuple[list[Folder], list[str]]:
    """The finished runs in or below some folders, in the order of the flow, and unfinished ones.

    Raises BadUsage where a path does not exist or holds no finished run, Failed for a damaged
    record.
    """
    finished: dict[str, Folder] = {}
    unfinished: set[str] = set()
    for path in paths:
        folder = files.absolute(path)
        if not files.exists(folder):
            raise BadUsage(f"{path}: no such folder")
        if files.is_file(folder):
            raise BadUsage(f"{path}: is a file; name the folder of the run")
        listed = files.list_files(folder)
        names = (runs.PLAN, runs.RECORD)
        held = sorted({name.rpartition("/")[0] for name in listed if _base(name) in names})
        done = [f for f in held if files.join(f, runs.SUCCESS) in listed]
        if not done:
            hint = f"{held[0]} is not finished" if held else "it holds no run.json"
            raise BadUsage(f"{path}: no finished run here: {hint}")
        finished |= {f: Folder(f, _record(f), tuple(allowed)) for f in done}
        unfinished |= set(held) - set(done)
    verbs = {verb: position for position, verb in enumerate(ORDER)}
    order = sorted(finished.values(), key=lambda f: (verbs.get(f.verb, len(verbs)), f.path))
    return order, sorted(unfinished)


def whole(value: Any) -> int | None:
    """A whole number; None for anything else, true and false included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def real(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _record(folder: str) -> dict[str, Any]:
    path = files.join(folder, runs.RECORD)
    try:
        record = runs.record(folder)
    except RecursionError as error:
        raise Failed(f"{path}: unreadable: nested too deeply") from error
    if not isinstance(record, dict) or not isinstance(record.get("verb"), str):
        raise Failed(f"{path}: not a run record: it names no verb")
    for entry in ("options", "inputs", "versions", "counts", "outputs"):
        if not isinstance(record.get(entry, {}), dict):
            raise Failed(f"{path}: not a run record: {entry} is not an object")
    return record


def _whole(columns: Sequence[str], paths: Sequence[str]) -> pa.Table:
    parts = [_read(path, columns) for path in paths]
    try:
        return pa.concat_tables(parts)
    except pa.ArrowException as error:
        raise Failed(f"{paths[0]}: unlike {paths[-1]}: {runs.reason(error)}") from error


def _read(path: str, columns: Sequence[str]) -> pa.Table:
    if (schema := schemas.schema_of(path)) is not None:
        wanted = pa.schema([schema.field(name) for name in {c.split(".")[0] for c in columns}])
        if missing := schemas.lacking(wanted, tables.footer(path).schema.to_arrow_schema().names):
            raise Failed(f"{path}: no column {missing[0]}")
    table = tables.read_part(path, columns)
    if any("." in column for column in columns):
        table = table.flatten()
    for column in columns:
        if column not in table.column_names:
            raise Failed(f"{path}: no column {column}")
    return table.select([*columns])


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
