"""Catalogues of tracks: which files they are, and which of their columns is what. Free of Beam."""

import dataclasses
import difflib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from fsspec.core import url_to_fs

from pipelines.catalogue import musicbrainz
from pipelines.catalogue import rows as catalogue_rows
from pipelines.catalogue.rows import Part, Row, Rows, plain
from stemlode import files, runs, schemas
from stemlode.runs import BadUsage

ARTIST_IDS = "artist_ids"  # all artists of a track: a list, or text with ";" between them
DURATION, MILLISECONDS = "duration_s", "duration_ms"  # the latter where there is no duration_s
COLUMNS = (*(name for name in schemas.TRACK.names if name != "extra"), ARTIST_IDS, MILLISECONDS)
REQUIRED = ("track_id", "title", DURATION)
ARTIST = ("artist_id", "artist")  # one of them is enough
NEEDED = (*REQUIRED, MILLISECONDS, *ARTIST)
OPENERS = 16


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some rows of a catalogue file. `names` says what the file calls our columns."""

    path: str
    rows: Rows
    names: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, ours: str) -> pa.Array:
        """One of our columns, of any type; nulls where the catalogue has none."""
        if ours not in self.names:
            return pa.nulls(len(self), pa.string())
        return self.rows.column(self.names[ours])

    def lists(self, ours: str) -> pa.Array:
        """The same where a value may be a list."""
        if ours not in self.names:
            return pa.nulls(len(self), pa.string())
        return self.rows.lists(self.names[ours])

    def records(self, rows: np.ndarray) -> list[Row]:
        """Some rows as they stand, our columns under our names, fit for JSON."""
        ours = {theirs: name for name, theirs in self.names.items()}
        return [
            {ours.get(name, name): plain(value) for name, value in record.items()}
            for record in self.rows.records(rows)
        ]

    def further(self, rows: np.ndarray) -> list[str | None]:
        """The columns that are none of ours, a JSON object a row; None where there are none."""
        further = {ARTIST_IDS} | ({MILLISECONDS} if DURATION in self.names else set())
        known = {theirs for ours, theirs in self.names.items() if ours not in further}
        found: list[str | None] = []
        for record in self.rows.records(rows):
            extra = _extra(record.get("extra"))
            extra |= {k: plain(v) for k, v in record.items() if k not in known and k != "extra"}
            kept = {name: value for name, value in extra.items() if value is not None}
            found.append(json.dumps(kept, sort_keys=True, ensure_ascii=False) if kept else None)
        return found


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """A file, folder or glob, and the user's mapping of columns (`ours=theirs,…`)."""

    path: str
    columns: str | None = None

    def parts(self) -> list[Part]:
        """What there is to read, cut into parts.

        Raises BadUsage where there is nothing to read or a file lacks a column, Failed where a
        file cannot be read; so that a run over hours does not find out in the middle.
        """
        with ThreadPoolExecutor(OPENERS) as pool:
            found = pool.map(self._checked_parts, self.files())
            return [part for parts in found for part in parts]

    def files(self) -> list[str]:
        """The catalogue's files in order; BadUsage where there are none."""
        return tables_at(self.path, "--catalog")

    def batches(self, part: Part, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """The rows of a part; with all columns, or only with some of ours."""
        names = self.names(part.path)
        wanted = None
        if columns is not None:
            wanted = list(dict.fromkeys(names[ours] for ours in columns if ours in names))
        for rows in catalogue_rows.batches(part, wanted):
            yield Batch(part.path, rows, names)

    def names(self, path: str) -> dict[str, str]:
        """What a file calls our columns; BadUsage where it lacks one that is needed or mapped."""
        theirs = catalogue_rows.column_names(path)
        mapped = mapping(self.columns)
        names = {ours: mapped.get(ours, ours) for ours in COLUMNS}
        is_json = catalogue_rows.format_of(path) == "json"
        if is_json and not theirs:
            return names  # a file without rows is no mistake
        twice = [name for name in theirs if theirs.count(name) > 1]
        if twice:
            raise BadUsage(f"{path}: has two columns {twice[0]}; rename one")
        required = tuple(
            MILLISECONDS if ours == DURATION and _in_milliseconds(names, mapped, theirs) else ours
            for ours in REQUIRED
        )
        names.pop(DURATION if MILLISECONDS in required else MILLISECONDS)
        wanted = [ours for ours in (*mapped, *required) if ours in required or not is_json]
        missing = [ours for ours in wanted if names.get(ours) not in theirs]
        if not any(names[ours] in theirs for ours in ARTIST):
            missing.append("artist")
        if missing:
            kind = musicbrainz.other_kind(theirs)
            if is_json and kind and not mapped:
                raise BadUsage(
                    f"{path}: looks like a MusicBrainz dump of {kind}; "
                    "a catalogue is the one of recordings (recording.tar.xz)"
                )
            ours = missing[0]
            raise BadUsage(
                f"{path}: no column {names.get(ours, mapped.get(ours))}; it has "
                f"{', '.join(theirs) or 'none'}; "
                f"say which one to take with --columns {ours}=NAME"
            )
        # Any row of JSON may have a column that the first rows lack.
        return {ours: name for ours, name in names.items() if is_json or name in theirs}

    def check_types(self, path: str) -> None:
        """BadUsage where a needed column has a type that no value of it can be read from."""
        types = catalogue_rows.column_types(path)
        for ours, theirs in self.names(path).items():
            kind = types.get(theirs, pa.null())
            if ours in NEEDED and not _fits(ours, kind):
                wanted = "numbers" if ours in (DURATION, MILLISECONDS) else "text"
                raise BadUsage(
                    f"{path}: column {theirs} holds {kind}, not {wanted}; "
                    f"take another with --columns {ours}=NAME"
                )

    def _checked_parts(self, path: str) -> list[Part]:
        self.check_types(path)
        return catalogue_rows.parts(path)


def tables_at(path: str, option: str) -> list[str]:
    """The tables at a path, below it or matching it as a glob; BadUsage where there are none."""
    if not runs.fingerprintable(path):
        raise BadUsage(f"{option} {path}: no such file or folder")
    found = [file for file in _files_at(path) if catalogue_rows.format_of(file)]
    if not found:
        endings = ", ".join(catalogue_rows.ENDINGS)
        raise BadUsage(f"{option} {path}: no file that ends in {endings}")
    return found


def mapping(columns: str | None, known: Sequence[str] = COLUMNS) -> dict[str, str]:
    """`ours=theirs,…` as a dict; BadUsage for anything else."""
    found: dict[str, str] = {}
    for entry in (columns or "").split(",") if columns else []:
        ours, equals, theirs = (word.strip() for word in entry.partition("="))
        if not equals or not theirs:
            raise BadUsage(f"--columns {columns}: write ours=theirs,… such as title=name")
        if ours not in known:
            near = difflib.get_close_matches(ours, known, 1, cutoff=0)[0]
            raise BadUsage(f"--columns {columns}: no column {ours} of ours; did you mean {near}?")
        found[ours] = theirs
    if {DURATION, MILLISECONDS} <= found.keys():
        raise BadUsage(f"--columns {columns}: take one of {DURATION} and {MILLISECONDS}")
    return found


def _in_milliseconds(names: dict[str, str], mapped: dict[str, str], theirs: list[str]) -> bool:
    """Whether a file's durations are those in milliseconds: where it says so, or has no others."""
    if MILLISECONDS in mapped:
        return DURATION not in mapped
    return names[DURATION] not in theirs and DURATION not in mapped and MILLISECONDS in theirs


def _fits(ours: str, kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return False
    if ours in (DURATION, MILLISECONDS):
        return not (pa.types.is_temporal(kind) or pa.types.is_boolean(kind))
    return True


def _files_at(path: str) -> list[str]:
    """A file itself, or the tables in a folder (a run's outputs but its rejects), or in a glob."""
    fs, name = url_to_fs(path)
    if fs.isfile(name):
        return [path]
    if not fs.isdir(name):
        found = sorted(str(entry) for entry in fs.glob(name) if fs.isfile(entry) or fs.isdir(entry))
        whole = found if files.is_local(path) else [fs.unstrip_protocol(entry) for entry in found]
        shown = [entry for entry in whole if _is_table(PurePosixPath(entry).name)]
        return [file for entry in shown for file in _files_at(entry)]
    if files.exists(files.join(path, runs.PLAN)):
        outputs = sorted(runs.record(path)["outputs"])
        return [files.join(path, below) for below in outputs if _is_table(below)]
    root = name.rstrip("/") + "/"
    listed = files.list_files(path, follow_links=True)
    below = [(found, url_to_fs(found)[1].removeprefix(root)) for found in listed]
    return [found for found, relative in below if _is_table(relative)]


def _is_table(name: str) -> bool:
    hidden = any(part[0] in "._" for part in PurePosixPath(name).parts)
    return not hidden and not PurePosixPath(name).name.startswith(("rejects-", runs.RECORD))


def _extra(value: Any) -> Row:
    """What the column `extra` of a catalogue of ours holds."""
    try:
        held = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        held = value
    return plain(held) if isinstance(held, dict) else {} if held is None else {"extra": plain(held)}
