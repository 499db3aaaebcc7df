"""What verbs that read a catalogue ask of it. Free of Beam."""

import argparse
import dataclasses
from typing import Any

from pipelines.catalogue import partitions, rejections
from pipelines.catalogue.formats import encodings
from pipelines.catalogue.formats.dialect import PLAIN, UNITS, Dialect
from pipelines.catalogue.mapping import COLUMNS, constants, mapping
from pipelines.catalogue.reading import SEPARATOR, Catalogue
from pipelines.catalogue.sources import named
from stemlode import arguments, plans
from stemlode.runs import BadUsage

# Options that came later, and what plans without them mean.
ADDED: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Dialect)}


def add_arguments(parser: argparse.ArgumentParser, *aliases: str) -> None:
    """The options that say how a catalogue is written; `aliases` also name the source."""
    add = parser.add_argument
    add(
        named.OPTION,
        *aliases,
        metavar="NAME",
        type=named.name,
        help="what wrote the catalogue, where its columns are known: "
        f"{', '.join(named.SOURCES)}, or {named.DUCKDB}TABLE for a table in a DuckDB file "
        "(docs/catalogues.md)",
    )
    add(
        "--columns",
        metavar="OURS=THEIRS,…",
        help="what the catalogue calls our columns, for instance title=name,duration_s=length; "
        f"ours are {', '.join(COLUMNS)}, of which an artist or an artist_id "
        "will do, and track_id, title and duration_s are needed; prune needs audio_uri; "
        "a name with a comma stands in double quotes",
    )
    add(
        encodings.OPTION,
        metavar="NAME",
        help="the encoding of text, such as cp1251; strict UTF-8 by default",
    )
    add(
        "--delimiter",
        metavar="MARK",
        type=_delimiter,
        help="between the values of CSV: one character, or tab; a comma by default",
    )
    add(
        "--header-rows",
        metavar="COUNT",
        type=arguments.count,
        default=PLAIN.header_rows,
        help="of CSV; names from several have dots between them, and with 0 they are 1, 2, 3, …",
    )
    add(
        "--list-separator",
        metavar="TEXT",
        help="between the entries of artist_ids and isrc where these are text; in artist_ids it is "
        f"{SEPARATOR} by default",
    )
    add(
        "--duration-unit",
        choices=(*UNITS,),
        help="what numbers in duration_s count; ticks are ten million in a second",
    )
    add(
        "--decimal-comma",
        action="store_true",
        help="durations that are text have a comma for a decimal point",
    )
    add(
        "--constant",
        metavar="OURS=VALUE",
        action="append",
        help="what all rows have in a column that the files lack, such as artist='Taylor Swift'; "
        "may be repeated",
    )
    add(
        "--partitions",
        choices=(partitions.HIVE,),
        help="hive: folders such as artist=Muse/ are columns; else their names mean nothing",
    )
    add(
        rejections.ALLOW,
        action="store_true",
        help="go on where more than half of the catalogue's rows are rejected for one reason",
    )


def catalogue_of(path: str, view: Any) -> Catalogue:
    """The catalogue at a path, by options of these; BadUsage for one that makes no sense."""
    if view.encoding is not None and not encodings.is_encoding(view.encoding):
        raise BadUsage(f"{encodings.OPTION} {view.encoding}: no encoding that Python knows")
    if view.list_separator == "":
        raise BadUsage("--list-separator: is empty")
    constants(view.constant, mapping(view.columns))
    return Catalogue(path, view.columns, Dialect(**{name: getattr(view, name) for name in ADDED}))


def given(view: Any) -> list[str]:
    """Those of these options that are given."""
    usual = {"columns": None, **ADDED}
    return [plans.flag(name) for name, value in usual.items() if getattr(view, name) != value]


def _delimiter(text: str) -> str:
    """A mark between values, as an argparse type."""
    mark = "\t" if text in ("tab", "\\t") else text
    if len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} separates no values; write ; or tab, say")
    return mark
