"""Catalogues of tracks: which files they are, and which of their columns is what. Free of Beam."""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.catalogue import columns as catalogue_columns
from pipelines.catalogue import partitions
from pipelines.catalogue.formats import encodings, spans
from pipelines.catalogue.formats.arrow_types import settled_type
from pipelines.catalogue.formats.dialect import PLAIN, Dialect
from pipelines.catalogue.formats.rows import CataloguePart, JsonRows, Rows, plain
from pipelines.catalogue.formats.spans import Span
from pipelines.catalogue.listing import tables_at
from pipelines.catalogue.mapping import (
    ARTIST_IDS,
    COLUMNS,
    DURATION,
    IS_VIDEO,
    MILLISECONDS,
    constants,
    mapping,
)
from pipelines.catalogue.sources import musicbrainz, named
from pipelines.catalogue.sources.files import Files
from stemlode import files
from stemlode.runs import BadUsage
from stemlode.tables import Row

SEPARATOR = ";"  # in artist_ids that are text, where the dialect has none
REQUIRED = ("track_id", "title", DURATION)
ARTIST = ("artist_id", "artist")  # one of them is enough
NEEDED = (*REQUIRED, MILLISECONDS, *ARTIST)
CONSTANT = ", or with --constant what all rows have"
OPENERS = 16
SOME = 64  # parts, which keep as many workers busy
SHOWN = 30  # columns in a message


@dataclasses.dataclass(frozen=True)
class Table:
    """What is known of a file before its rows are read.

    names: what it calls our columns.
    shared: the columns that all its rows share, each with its value.
    dialect: how it is written.
    """

    names: dict[str, str]
    shared: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    dialect: Dialect = PLAIN


@dataclasses.dataclass(frozen=True)
class RowBatch:
    """Some rows of a catalogue file, of which `first` have come before."""

    path: str
    rows: Rows
    table: Table
    first: int = 0
    span: Span | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, ours: str) -> bool:
        """Whether the catalogue has one of our columns."""
        return ours in self.table.names

    def column(self, ours: str) -> pa.Array:
        """One of our columns, of any type; nulls where the catalogue has none."""
        return self._shared(ours) if self._is_shared(ours) else self.rows.column(self._name(ours))

    def text(
        self, ours: str, rows: pa.Array | None = None, *, strict: bool = True
    ) -> pa.StringArray:
        """One of our columns as text, in all or some rows.

        Raises BadUsage where a value is no UTF-8, or if not `strict`, escapes its bytes.
        """
        with self._strictly(ours, rows):
            column = self.column(ours) if rows is None else self.column(ours).take(rows)
            return catalogue_columns.text(column, self.table.dialect.encoding, strict=strict)

    def texts(
        self, ours: str, rows: pa.Array, separator: str | None = None, *, strict: bool = True
    ) -> pa.ListArray:
        """The same where a value may be a list; `separator` is that of texts, if not said."""
        with self._strictly(ours, rows):
            dialect, column = self.table.dialect, self.column(ours).take(rows)
            separator = dialect.list_separator or separator
            return catalogue_columns.lists(column, separator, dialect.encoding, strict=strict)

    def inexact(self, ours: str) -> np.ndarray:
        """Where one of our columns holds floats that stand for no whole number for certain."""
        if self._is_shared(ours):
            return np.zeros(len(self), bool)
        return self.rows.inexact(self._name(ours))

    def refuse_inexact(self, ours: str, rows: pa.Array) -> None:
        """BadUsage where such floats are ids that are optional, so that their row counts."""
        found = np.flatnonzero(self.inexact(ours)[rows])
        if found.size:
            row = self._number(rows[int(found[0])].as_py())
            value = self.text(ours, rows)[int(found[0])].as_py()
            raise BadUsage(
                f"{self.path}: row {row}, column {self._name(ours)}: the float {value} is no id; "
                "write ids as integers or text"
            )

    @contextlib.contextmanager
    def _strictly(self, ours: str, rows: pa.Array | None) -> Iterator[None]:
        try:
            yield
        except catalogue_columns.NotUtf8 as error:
            encoding, is_bytes = self.table.dialect.encoding, _is_bytes(self.column(ours).type)
            likely = encodings.likely(error.sample) if is_bytes else None
            row = error.row if rows is None else rows[error.row].as_py()
            fault = encodings.NotText(
                f"{self.path}: row {self._number(row)}, column {self._name(ours)}: "
                f"{str(error.values[0])[1:40]} is not {encoding or 'UTF-8'}",
                likely,
                encodings.reading(error.sample, likely),
            )
            promised = f"{fault.fault}, as the column's type promises; write the file anew"
            raise BadUsage(fault.mended() if is_bytes else promised) from error

    def records(self, rows: np.ndarray) -> list[Row]:
        """Some rows as they stand, our columns under our names, fit for JSON."""
        ours = {theirs: name for name, theirs in self.table.names.items()}
        return [
            {ours.get(name, name): plain(value) for name, value in record.items()}
            for record in self._records(rows)
        ]

    def further(self, rows: np.ndarray) -> list[str | None]:
        """The columns that are none of ours, a JSON object a row; None where there are none."""
        further = {ARTIST_IDS, IS_VIDEO} | ({MILLISECONDS} if self.has(DURATION) else set())
        known = {theirs for ours, theirs in self.table.names.items() if ours not in further}
        found: list[str | None] = []
        for record in self._records(rows):
            extra = _extra(record.get("extra"))
            extra |= {k: plain(v) for k, v in record.items() if k not in known and k != "extra"}
            kept = {name: value for name, value in extra.items() if value is not None}
            found.append(json.dumps(kept, sort_keys=True, ensure_ascii=False) if kept else None)
        return found

    def _records(self, rows: np.ndarray) -> Iterator[Row]:
        for record in self.rows.records(rows):
            yield {**record, **self.table.shared}

    def _is_shared(self, ours: str) -> bool:
        return not self.has(ours) or self.table.names[ours] in self.table.shared

    def _number(self, row: int) -> int:
        """A row's number in the file, as people count; before a span its lines are counted."""
        before = spans.lines_before(self.path, self.span) if self.span else 0
        return before + self.first + row + 1

    def _shared(self, ours: str) -> pa.Array:
        value = self.table.shared[self.table.names[ours]] if self.has(ours) else None
        return pa.repeat(pa.scalar(value, pa.string()), len(self))

    def _name(self, ours: str) -> str:
        return self.table.names[ours]


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """A file, folder or glob, the user's mapping of columns (`ours=theirs,…`), and its dialect."""

    path: str
    columns: str | None = None
    dialect: Dialect = PLAIN

    @property
    def source(self) -> Files:
        """What knows how its files are read."""
        return named.source(self.dialect)

    def parts(self) -> list[CataloguePart]:
        """What there is to read, cut into parts.

        Raises BadUsage where there is nothing to read or a file lacks a column, Failed where a
        file cannot be read; so that a run over hours does not find out in the middle.
        """
        every, dialect = self.files(), self.dialect
        of_csv = {"--delimiter": dialect.delimiter, "--header-rows": dialect.header_rows != 1}
        for option, value in of_csv.items():
            if value and not any(self.source.is_csv(path) for path in every):
                raise BadUsage(f"{option} says how CSV is written; --catalog {self.path} has none")
        with ThreadPoolExecutor(OPENERS) as pool:
            found = pool.map(self._checked_parts, every)
            return [part for parts in found for part in parts]

    def alone(self, parts: Sequence[CataloguePart]) -> list[str]:
        """What to say of large files that one worker has to read, of which all these are parts."""
        if len(parts) > SOME:  # the others are busy all the same
            return []
        found = []
        for path, count in Counter(part.path for part in parts).items():
            if count == 1 and (size := files.size(path)) > 2 * spans.SPAN_BYTES:
                found.append(
                    f"{path}: one worker reads all of its {size / 1e9:,.1f} GB, since it cannot be "
                    "cut; as several files, JSON Lines that are not packed, or Parquet with row "
                    "groups, many do"
                )
        return found

    def files(self) -> list[str]:
        """The catalogue's files in order; BadUsage where there are none."""
        return tables_at(self.path, "--catalog", self.source)

    def batches(
        self, part: CataloguePart, columns: Sequence[str] | None = None
    ) -> Iterator[RowBatch]:
        """The rows of a part; with all columns, or only with some of ours."""
        table = self.table(part.path)
        wanted = None
        if columns is not None:
            theirs = (table.names[ours] for ours in columns if ours in table.names)
            wanted = [name for name in dict.fromkeys(theirs) if name not in table.shared] or None
        source, first = self.source, part.first
        for rows in source.batches(part, wanted):
            for name in table.shared:
                if isinstance(rows, JsonRows) and any(name in row for row in rows.objects):
                    raise self._twice(part.path, name)
            yield RowBatch(part.path, rows, table, first, part.span)
            first += len(rows)

    def table(self, path: str) -> Table:
        """What a file calls our columns; BadUsage where it lacks one that is needed or mapped."""
        source = self.source
        inside = source.column_names(path)
        shared = self._shared(path, inside)
        theirs = [*inside, *shared]
        mapped = mapping(self.columns)
        names = self._names(path, theirs)
        is_open, dialect = source.is_open(path), source.dialect
        if is_open and not inside:
            return Table(names, shared, dialect)  # a file without rows is no mistake
        twice = [name for name in theirs if theirs.count(name) > 1]
        if twice:
            way_out = source.way_out(path, {*REQUIRED}) or "rename one"
            raise BadUsage(f"{path}: has two columns {twice[0] or 'without a name'}; {way_out}")
        required = tuple(
            MILLISECONDS if ours == DURATION and _in_milliseconds(names, mapped, theirs) else ours
            for ours in REQUIRED
        )
        names.pop(DURATION if MILLISECONDS in required else MILLISECONDS)
        if MILLISECONDS in required and self.dialect.duration_unit:
            raise BadUsage(
                f"{path}: --duration-unit is that of {DURATION}, which {names[MILLISECONDS]}, in "
                "milliseconds, stands for; leave out one"
            )
        wanted = [ours for ours in (*mapped, *required) if ours in required or not is_open]
        missing = [ours for ours in dict.fromkeys(wanted) if names.get(ours) not in theirs]
        if not any(names[ours] in theirs for ours in ARTIST) and "artist" not in missing:
            missing.append("artist")
        if missing:
            raise self._lacks(path, theirs, missing, names)
        # Any row of an open file may have a column that the first rows lack.
        found = {ours: name for ours, name in names.items() if is_open or name in theirs}
        return Table(found, shared, dialect)

    def _names(self, path: str, theirs: list[str]) -> dict[str, str]:
        """What a file calls our columns: as the user says, else as its source does."""
        mapped, usual = mapping(self.columns), dict(self.source.calls(path))
        if {DURATION, MILLISECONDS} & mapped.keys():
            usual.pop(DURATION, None)
            usual.pop(MILLISECONDS, None)
        known = {
            ours: next((name for name in names if name in theirs), names[0])
            for ours, names in usual.items()
            if ours not in theirs or {*names} & {*theirs}
        }
        fixed = constants(self.dialect.constant, mapped)
        if twice := [ours for ours in known if ours in fixed and known[ours] in theirs]:
            raise self._twice(path, twice[0])
        return {ours: ours for ours in COLUMNS} | known | mapped

    def check_types(self, path: str) -> None:
        """BadUsage where a needed column has a type that no value of it can be read from."""
        types = self.source.column_types(path)
        for ours, theirs in self.table(path).names.items():
            kind = types.get(theirs, pa.null())
            if ours in NEEDED and not _fits(ours, settled_type(kind)):
                wanted = "numbers" if ours in (DURATION, MILLISECONDS) else "text"
                raise BadUsage(
                    f"{path}: column {theirs} holds {kind}, not {wanted}; "
                    f"take another with --columns {ours}=NAME"
                )

    def _shared(self, path: str, inside: list[str]) -> dict[str, str | None]:
        """The columns that all rows of a file share."""
        folders = partitions.of(path) if self.dialect.partitions else {}
        fixed = constants(self.dialect.constant, mapping(self.columns))
        for name in (*folders, *fixed):
            if name in inside or (name in folders and name in fixed):
                raise self._twice(path, name)
        return {**folders, **fixed}

    def _twice(self, path: str, name: str) -> BadUsage:
        if any(entry.partition("=")[0].strip() == name for entry in self.dialect.constant or ()):
            what = f"and so is --constant {name}, which is for files that lack it"
        else:
            what = f"and a folder names it too; rename one, or leave out {partitions.OPTION}"
        return BadUsage(f"{path}: column {name} is in the file, {what}")

    def _lacks(
        self, path: str, theirs: list[str], missing: list[str], names: dict[str, str]
    ) -> BadUsage:
        """What to say of a file that lacks columns."""
        source = self.source
        if {*missing} & {DURATION, MILLISECONDS} and (why := source.hopeless(path, theirs)):
            return BadUsage(f"{path}: {why}")
        likely = None if source.what else named.likely(theirs)
        if likely:
            return BadUsage(f"{path}: looks like {likely}")
        kind = None if source.what else musicbrainz.other_kind(theirs)
        if kind and not mapping(self.columns):
            return BadUsage(
                f"{path}: looks like a MusicBrainz dump of {kind}; "
                "a catalogue is the one of recordings (recording.tar.xz)"
            )
        some = "columns" if len(missing) > 1 else "column"
        wanted = ", ".join(names.get(ours, ours) for ours in missing)
        what = f"is not {source.what}: " if source.what else ""
        return BadUsage(
            f"{path}: {what}no {some} {wanted}; it has {_shown(theirs)}; "
            f"{self._way_out(path, theirs, missing, names)}"
        )

    def _way_out(
        self, path: str, theirs: list[str], missing: list[str], names: dict[str, str]
    ) -> str:
        """Which option mends it."""
        if not self.dialect.partitions and {*missing} & partitions.of(path).keys():
            return f"folders are read as columns with {partitions.OPTION}"
        if found := self.source.way_out(path, {names.get(ours, ours) for ours in missing}):
            return found
        which = "ones" if len(missing) > 1 else "one"
        alike = {name.lower(): name for name in theirs}  # but for capitals
        wanted = ",".join(f"{ours}={alike.get(ours, 'NAME')}" for ours in missing)
        constant = "" if {*missing} & {"track_id", "title", DURATION} else CONSTANT
        return f"say which {which} to take with --columns {wanted}{constant}"

    def _checked_parts(self, path: str) -> list[CataloguePart]:
        self.check_types(path)
        return self.source.parts(path)


def _shown(names: list[str]) -> str:
    """Columns as a message has them."""
    further = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN]) or 'none'}{further}"


def _in_milliseconds(names: dict[str, str], mapped: dict[str, str], theirs: list[str]) -> bool:
    """Whether a file's durations are those in milliseconds: where it says so, or has no others."""
    if MILLISECONDS in mapped:
        return DURATION not in mapped
    is_called = names[MILLISECONDS] in theirs or names[MILLISECONDS] != MILLISECONDS
    return names[DURATION] not in theirs and DURATION not in mapped and is_called


def _fits(ours: str, kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        return False
    if ours in (DURATION, MILLISECONDS) and not pa.types.is_duration(kind):
        return not (pa.types.is_temporal(kind) or pa.types.is_boolean(kind))
    return True


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes of any encoding."""
    inner = kind.value_type if pa.types.is_large_list(kind) else kind
    return pa.types.is_binary(inner) or pa.types.is_large_binary(inner)


def _extra(value: Any) -> Row:
    """What the column `extra` of a catalogue of ours holds."""
    try:
        held = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        held = value
    return plain(held) if isinstance(held, dict) else {} if held is None else {"extra": plain(held)}
