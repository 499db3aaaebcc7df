"""Sources by the names that users have for them. Free of Beam."""

import argparse
from collections.abc import Sequence

from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.sources.beets import Beets
from pipelines.catalogue.sources.database import DuckdbTable
from pipelines.catalogue.sources.discogs import Discogs
from pipelines.catalogue.sources.files import Files
from pipelines.catalogue.sources.fma import Fma
from pipelines.catalogue.sources.huggingface import SavedDataset
from pipelines.catalogue.sources.listenbrainz import ListenBrainz
from pipelines.catalogue.sources.spotify import Spotify

OPTION = "--catalog-format"
DUCKDB = "duckdb:"  # and the table's name
SOURCES: dict[str, type[Files]] = {
    "beets": Beets,
    "spotify": Spotify,
    "discogs": Discogs,
    "listenbrainz": ListenBrainz,
    "fma": Fma,
    "arrow": SavedDataset,
}


def source(dialect: Dialect) -> Files:
    """What reads the files of a catalogue."""
    name = dialect.catalog_format
    if name is None:
        return Files(dialect)
    return DuckdbTable(dialect) if name.startswith(DUCKDB) else SOURCES[name](dialect)


def likely(theirs: Sequence[str]) -> str | None:
    """The source that a file has its columns of, and the option that says so."""
    for name, kind in SOURCES.items():
        if any(sign <= {*theirs} for sign in kind.signs):
            return f"{kind.what}; it is read as one with {OPTION} {name}"
    return None


def name(text: str) -> str:
    """A source's name, as an argparse type."""
    if text in SOURCES or (text.startswith(DUCKDB) and text != DUCKDB):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SOURCES)}, {DUCKDB}TABLE")
