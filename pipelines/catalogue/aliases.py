"""Names under which artists are known, and the one id of each. Free of Beam."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from matching.titles import artist_key_batch
from pipelines.catalogue.columns import NotUtf8, text
from pipelines.catalogue.formats.encodings import NotText
from pipelines.catalogue.formats.rows import JsonRows, Rows, plain
from pipelines.catalogue.listing import tables_at
from pipelines.catalogue.mapping import mapping
from pipelines.catalogue.sources.files import Files
from stemlode.runs import BadUsage
from stemlode.tables import Row

OPTION = "--aliases"
NAMES, IDS = (
    ("alias", "name"),
    ("artist_id", "id"),
)  # what the columns may be called, likelier first
OURS = ("alias", "artist_id")
MUSICBRAINZ_NAMES = "aliases"  # a list of objects that have a name, in a dump of artists
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Aliases:
    """A table of artists' names. Small enough to travel to every worker.

    keys: the names as `matching.titles.artist_key` spells them, each once, ascending.
    artist_ids: the id of each.
    ambiguous: how many keys belong to several ids; they map nothing and are not among the keys.
    incomplete: how many rows lack a name or an id.
    """

    keys: pa.StringArray
    artist_ids: pa.StringArray
    ambiguous: int = 0
    incomplete: int = 0

    def ids_of(self, keys: pa.Array) -> pa.StringArray:
        """The id of each key; null where the table does not have it."""
        return self.artist_ids.take(pc.index_in(keys, value_set=self.keys))

    def as_parameter(self) -> str:
        """The table as one text for SQL: entries with tabs between, a line feed after the key."""
        pairs = pc.binary_join_element_wise(self.keys, self.artist_ids, "\n")
        return "\t".join(pairs.to_pylist())

    def notes(self) -> list[str]:
        """What `run.json` should say of the table."""
        found = []
        if self.ambiguous:
            found.append(f"{self.ambiguous:,} names in {OPTION} have several ids and map nothing")
        if self.incomplete:
            found.append(f"{self.incomplete:,} rows of {OPTION} lack a name or an id")
        return found


def _in_utf8(error: NotText) -> str:
    likely = f" from {error.likely}" if error.likely else ""
    return f"{OPTION} {error.fault}; convert it{likely} to UTF-8"


FILES = Files(mended=_in_utf8)


def read(path: str, columns: str | None = None) -> Aliases:
    """A table of the columns alias (or name) and artist_id (or id), in any format of catalogues.

    `columns` maps them as for a catalogue (`alias=NAME,artist_id=ID`). A MusicBrainz JSON dump of
    artists is read as it is: its names and the aliases of each. Raises BadUsage where there is no
    such table or where a control character would break the SQL's parameter, Failed where a file
    cannot be read.
    """
    mapped = mapping(columns, OURS)
    found = [batch for file in tables_at(path, OPTION, FILES) for batch in _batches(file, mapped)]
    return of(pa.concat_tables([_SCHEMA.empty_table(), *found]))


def of(table: pa.Table) -> Aliases:
    """A table of artist keys (`key`) and artist ids (`id`), any of them null, empty or repeated."""
    complete = pc.and_(_is_there(table["key"]), _is_there(table["id"]))
    once = table.filter(complete).group_by(["key", "id"]).aggregate([])
    sizes = once.group_by("key").aggregate([("id", "count"), ("id", "min")]).sort_by("key")
    is_one = pc.equal(sizes["id_count"], 1)
    own = sizes.filter(is_one)
    return Aliases(
        own["key"].combine_chunks(),
        own["id_min"].combine_chunks(),
        ambiguous=len(sizes) - len(own),
        incomplete=len(table) - (pc.sum(complete).as_py() or 0),
    )


_SCHEMA = pa.schema([("key", pa.string()), ("id", pa.string())])


def _batches(path: str, mapped: dict[str, str]) -> Iterator[pa.Table]:
    """A file's rows as keys and ids, either of which may be null or empty."""
    theirs = FILES.column_names(path)
    name = _column(path, theirs, "alias", mapped, NAMES)
    identity = _column(path, theirs, "artist_id", mapped, IDS)
    row = 0
    for part in FILES.parts(path):
        for rows in FILES.batches(part):
            names, ids = (_text(path, row, rows, column) for column in (name, identity))
            if MUSICBRAINZ_NAMES in theirs and isinstance(rows, JsonRows):
                lists = [_further_names(entry) for entry in rows.objects]
                places = [number for number, some in enumerate(lists) for _ in some]
                names = pa.concat_arrays([names, pa.array(itertools.chain(*lists), pa.string())])
                ids = pa.concat_arrays([ids, ids.take(pa.array(places, pa.int64()))])
            keys = artist_key_batch(names)
            for column, what in ((keys, name), (ids, identity)):
                _refuse_controls(path, row, column, what)
            yield pa.table([keys, ids], _SCHEMA)
            row += len(rows)


def _text(path: str, first: int, rows: Rows, name: str) -> pa.StringArray:
    try:
        return text(rows.column(name), strict=True)
    except NotUtf8 as error:
        row = first + error.row + 1
        raise BadUsage(f"{OPTION} {path}: row {row}: {name} is not UTF-8") from error


def _further_names(artist: Row) -> list[str]:
    """The aliases of an artist in a MusicBrainz dump."""
    listed = artist.get(MUSICBRAINZ_NAMES)
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    return [plain(name) for name in names if isinstance(name, str)]


def _column(
    path: str, theirs: list[str], ours: str, mapped: dict[str, str], usual: tuple[str, ...]
) -> str:
    wanted = (mapped[ours],) if ours in mapped else usual
    there = [name for name in wanted if name in theirs]
    if not there:
        raise BadUsage(
            f"{OPTION} {path}: no column {wanted[0]}; it has {', '.join(theirs) or 'none'}"
        )
    return there[0]


def _refuse_controls(path: str, first: int, column: pa.StringArray, name: str) -> None:
    has = pc.fill_null(pc.match_substring_regex(column, _CONTROL.pattern), False)
    if pc.any(has).as_py():
        row = first + pc.index(has, True).as_py() + 1
        raise BadUsage(f"{OPTION} {path}: row {row}: {name} holds a control character; remove it")


def _is_there(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(column, ""), False)
