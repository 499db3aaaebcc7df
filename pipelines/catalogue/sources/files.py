"""Catalogues whose files say by their names' end how they are written. Free of Beam."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from pipelines.catalogue.formats import csv_rows, json_rows, parquet
from pipelines.catalogue.formats.dialect import PLAIN, Dialect
from pipelines.catalogue.formats.encodings import NotText
from pipelines.catalogue.formats.rows import CataloguePart, Rows
from pipelines.catalogue.formats.text import ARCHIVES, CODECS, naming
from pipelines.catalogue.sources import musicbrainz

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
ENDINGS = (*FORMATS, *ARCHIVES)


def format_of(path: str) -> str | None:
    """parquet, csv, tsv or json by the name's end; None for any other."""
    name = PurePosixPath(path.lower())
    if name.name == musicbrainz.RECORDINGS or name.name.endswith(ARCHIVES):
        return "json"
    if name.suffix not in CODECS:
        return FORMATS.get(name.suffix)
    found = FORMATS.get(name.with_suffix("").suffix)
    return None if found == "parquet" else found


class Files:
    """Parquet, CSV and JSON Lines; a MusicBrainz dump's recordings as tracks.

    What is read raises Failed, with the file's name, where that is damaged, and BadUsage where the
    dialect does not fit. Sources that users name (`beets`, `discogs`) are made of it:

    wanted: which files are looked for.
    what: what a file of the source is; empty where any table will do.
    signs: columns by which such a file is recognised where nobody named the source.
    """

    wanted = f"file that ends in {', '.join(ENDINGS)}"
    what = ""
    signs: Sequence[frozenset[str]] = ()
    reading: json_rows.Reading = staticmethod(musicbrainz.tracks)

    def __init__(
        self, dialect: Dialect = PLAIN, mended: Callable[[NotText], str] = NotText.mended
    ) -> None:
        """`mended` says what to do about text of another encoding."""
        self.dialect, self._mended = dialect, mended

    def holds(self, path: str) -> bool:
        """Whether a file is a table of tracks."""
        return format_of(path) is not None

    def calls(self, path: str) -> Mapping[str, Sequence[str]]:
        """What a file calls our columns if the user does not say, likelier names first."""
        return {}

    def is_csv(self, path: str) -> bool:
        """Whether a file has a delimiter and a header."""
        return format_of(path) in ("csv", "tsv")

    def way_out(self, path: str, wanted: set[str]) -> str | None:
        """The option that may mend a file which lacks columns."""
        if not self.is_csv(path):
            return None
        if found := csv_rows.likely_delimiter(path, self.dialect, wanted):
            return f"it looks as if --delimiter {found} were between its values"
        if rows := csv_rows.likely_header_rows(path, self.dialect, wanted):
            return f"it looks as if it had --header-rows {rows}"
        return None

    def hopeless(self, path: str, theirs: Sequence[str]) -> str | None:
        """Why no option mends a file without durations, where its kind never has any."""
        return None

    def is_open(self, path: str) -> bool:
        """Whether any row may have a column that the first rows lack."""
        return format_of(path) == "json"

    def column_names(self, path: str) -> list[str]:
        """A file's columns in order."""
        with self.naming(path):
            if format_of(path) == "parquet":
                return parquet.names(path)
            if format_of(path) == "json":
                return json_rows.names(path, self.reading, self.dialect)
            return csv_rows.header(path, self.dialect).names

    def column_types(self, path: str) -> dict[str, pa.DataType]:
        """The types of a file's columns; empty for formats that know none."""
        with self.naming(path):
            return parquet.types(path) if format_of(path) == "parquet" else {}

    def parts(self, path: str) -> list[CataloguePart]:
        """A file cut where it can be read from."""
        with self.naming(path):
            if format_of(path) == "parquet":
                return parquet.parts(path)
            if format_of(path) == "json":
                return json_rows.parts(path, self.dialect)
            return [CataloguePart(path)]

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows of a part, with some columns or all."""
        with self.naming(part.path):
            if format_of(part.path) == "parquet":
                yield from parquet.batches(part, columns)
            elif part.span is not None:
                yield from json_rows.span_batches(part, self.reading, self.dialect)
            elif format_of(part.path) == "json":
                yield from json_rows.batches(part.path, self.reading, self.dialect)
            else:
                yield from csv_rows.batches(part.path, columns, self.dialect)

    def naming(self, path: str) -> contextlib.AbstractContextManager[None]:
        """Failed or BadUsage with the file's name for whatever is wrong with the file."""
        return naming(path, self._mended)
