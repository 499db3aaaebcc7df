"""What a verb has done, as a notebook sees it."""

import contextlib
import dataclasses
import html
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from stemlode import files, runs, schemas, tables
from stemlode.api import calls
from stemlode.runs import BadUsage

ENDING = ".parquet"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder: what came of a verb.

    Wherever a folder is wanted, the run itself will do: `stemlode.prune(matched, "pairs")`.

    Attributes:
        folder: where it lies.
    """

    folder: str

    @property
    def record(self) -> dict[str, Any]:
        """All of its `run.json`. BadUsage where the run is not finished."""
        return runs.record(self.folder)

    @property
    def verb(self) -> str:
        """What wrote it, such as `match`."""
        return self.record["verb"]

    @property
    def counts(self) -> dict[str, float]:
        """How many of what came in, came out and were rejected, by name."""
        return self.record["counts"]

    @property
    def options(self) -> dict[str, Any]:
        """What decided its output, by name."""
        return self.record["options"]

    @property
    def notes(self) -> list[str]:
        """What a user should know of it."""
        return [*self.record.get("notes", [])]

    @property
    def tables(self) -> list[str]:
        """The names of its tables, for `table`."""
        return sorted({name for path in self.record["outputs"] if (name := _table(path))})

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One of its tables, whole, in the columns of today; or some of its columns.

        BadUsage where it has no such table or column, Failed where that is damaged.
        """
        outputs = sorted(self.record["outputs"])
        parts = [files.join(self.folder, path) for path in outputs if _table(path) == name]
        if not parts:
            known = ", ".join(self.tables) or "none"
            raise BadUsage(f"{self.folder}: has no table {name!r}; its tables are {known}")
        schema = schemas.schema_of(parts[0]) or tables.read_part(parts[0]).schema
        for column in columns or ():
            if column.partition(".")[0] not in schema.names:
                raise BadUsage(f"{name} has no column {column!r}; it has {', '.join(schema.names)}")
        return pa.concat_tables([tables.read_part(path, columns) for path in parts])

    @property
    def rejects(self) -> pa.Table:
        """What could not be used, a row each: at least `key`, and `message`, which says why."""
        if "rejects" in self.tables:
            return self.table("rejects")
        said = self.record.get("rejects") or {}
        columns = {"key": [*map(str, said)], "message": [*map(str, said.values())]}
        return pa.table(columns, pa.schema([("key", pa.string()), ("message", pa.string())]))

    def report(self, path: str | None = None, *others: "Run | str") -> str:
        """Write one HTML page of it, and of other runs; the page's path.

        Args:
            path: of the page; `report.html` in the folder that holds the run's where not said.
            others: further runs to show, as `match` and `prune` before a corpus.
        """
        page = path or f"{files.absolute(self.folder).rpartition('/')[0]}/report.html"
        calls.run("report", {"runs": [self.folder, *map(calls.path_of, others)], "output": page})
        return page

    def __fspath__(self) -> str:
        return self.folder

    def __repr__(self) -> str:
        if not files.exists(files.join(self.folder, runs.SUCCESS)):
            return f"<Run in {self.folder}: not finished>"
        counts = ", ".join(f"{_said(name)} {count:,}" for name, count in self.counts.items())
        return f"<Run of {self.verb} in {self.folder}: {counts}>"

    def _repr_html_(self) -> str:
        with contextlib.suppress(BadUsage, runs.Failed):
            rows = "".join(
                f"<tr><td>{html.escape(_said(name))}</td><td>{count:,}</td></tr>"
                for name, count in self.counts.items()
            )
            title = html.escape(f"{self.verb}: {self.folder}")
            return f"<table><caption>{title}</caption>{rows}</table>"
        return html.escape(repr(self))


def open_run(folder: Any) -> Run:
    """A run that is finished, by its folder. BadUsage where there is none."""
    found = Run(files.absolute(calls.path_of(folder)))
    runs.record(found.folder)
    return found


def _table(path: str) -> str:
    """The name of the table that a file is of; empty for another file."""
    if "/" in path or not path.endswith(ENDING):
        return ""
    return schemas.name_of(path) or path.removesuffix(ENDING)


def _said(name: str) -> str:
    return name.replace("_", " ")
