"""What verbs that read a catalogue ask of it. Free of Beam."""

import argparse
from typing import Any

from pipelines.catalogue import partitions, rejections
from pipelines.catalogue.formats import encodings
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.reading import COLUMNS, Catalogue
from stemlode import plans
from stemlode.runs import BadUsage

ADDED = {
    "encoding": None,
    "partitions": None,
}  # options that came later, and what plans without them mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a catalogue is written."""
    add = parser.add_argument
    add(
        "--columns",
        metavar="OURS=THEIRS,…",
        help="what the catalogue calls our columns, for instance title=name,duration_s=length; "
        f"ours are {', '.join(COLUMNS)}, of which an artist or an artist_id "
        "will do, and track_id, title and duration_s are needed; prune needs audio_uri",
    )
    add(
        encodings.OPTION,
        metavar="NAME",
        help="the encoding of text, such as cp1251; strict UTF-8 where it is not said",
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
    dialect = Dialect(encoding=view.encoding, partitions=view.partitions)
    return Catalogue(path, view.columns, dialect)


def given(view: Any) -> list[str]:
    """Those of these options that are given."""
    return [plans.flag(name) for name in ("columns", *ADDED) if getattr(view, name)]
