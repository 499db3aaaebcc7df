"""Discogs' monthly dump of releases (`discogs_…_releases.xml.gz`): each track as a row.

The dump is one XML document of tens of gigabytes. It is cut at the end of each release, so that
memory holds one at a time, a damaged one costs itself alone, and a DTD, in which bombs hide, is
never parsed. Free of Beam.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from pipelines.catalogue.formats import text
from pipelines.catalogue.formats.json_rows import Objects
from pipelines.catalogue.formats.rows import BATCH_ROWS, CataloguePart, JsonRows, Rows
from pipelines.catalogue.sources.files import Files
from stemlode.runs import BadUsage, Failed, reason
from stemlode.tables import Row

COLUMNS = ["track_id", "title", "artist", "artist_id", "artist_ids", "duration_s", "album"]
COLUMNS += ["release_year", "genre", "release_id", "master_id", "position"]
NOBODY = ("194", "355")  # Various, Unknown Artist
CHUNK = 1 << 20
MOST_BYTES = 1 << 23  # of one release
_START = re.compile(rb"\s*<release[\s>]")  # so that a piece has no DTD of its own
_END = b"</release>"
_ROOT = re.compile(rb"(?:\s|<\?[^>]*\?>|<!--(?:[^-]|-[^-])*-->)*<(\w+)[^>]*>\s*")
_NUMBER = re.compile(r" \(\d+\)$")  # that tells artists of one name apart
_OTHERS = ("artists", "labels", "masters")


class Discogs(Files):
    """Tracks of releases, and the parts that tracks are made of.

    A track has no id of its own there: it gets the release's and its position (`249504:A1`), or
    where a release has that position twice or not at all, its place in the list (`249504:#3`).
    """

    wanted = "file that ends in .xml or .xml.gz"
    what = "a dump of Discogs' releases"

    def holds(self, path: str) -> bool:
        return path.lower().endswith((".xml", ".xml.gz", ".xml.zst"))

    def column_names(self, path: str) -> list[str]:
        with self.naming(path), text.opened(path, self.dialect.encoding) as file:
            next(_pieces(path, file), None)
        return list(COLUMNS)

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        path = part.path
        with self.naming(path), text.opened(path, self.dialect.encoding) as file:
            rows = _rows(path, file)
            while batch := list(itertools.islice(rows, BATCH_ROWS)):
                good = [row for row, _ in batch if row is not None]
                yield JsonRows(good, [error for _, error in batch if error is not None])


def _rows(path: str, file: IO[bytes]) -> Objects:
    for piece in _pieces(path, file):
        try:
            if not _START.match(piece):
                raise ElementTree.ParseError("something else stands before a release")
            found = list(tracks(ElementTree.fromstring(piece)))
        except (ElementTree.ParseError, RecursionError) as error:
            yield None, (piece.decode(errors="replace").strip(), f"no XML: {reason(error)}")
        else:
            yield from ((row, None) for row in found)


def _pieces(path: str, file: IO[bytes]) -> Iterator[bytes]:
    """The release elements, as they stand."""
    held = file.read(CHUNK)
    root = _ROOT.match(held)
    name = root[1].decode() if root else ""
    if root is None or name != "releases":
        other = f": it looks like the one of {name}" if name in _OTHERS else ""
        raise BadUsage(f"{path}: is no dump of Discogs' releases{other}")
    held = held[root.end() :]
    looked_at = 0
    while True:
        end = held.find(_END, looked_at)
        if end >= 0:
            end += len(_END)
            yield held[:end]
            held, looked_at = held[end:], 0
            continue
        looked_at = max(0, len(held) - len(_END))
        if len(held) > MOST_BYTES:
            raise Failed(f"{path}: cannot be read: a release of more than {MOST_BYTES >> 20} MiB")
        more = file.read(CHUNK)
        if not more:
            break
        held += more
    if held.strip() != b"</releases>":
        raise Failed(f"{path}: cannot be read: it breaks off before the end of the releases")


def tracks(release: Element) -> Iterator[Row]:
    """The tracks of a release, with those that tracks are made of after them."""
    number = release.get("id")
    listed = list(release.iterfind("tracklist//track"))
    positions = Counter(_said(track, "position") for track in listed)
    own = _artists(release)
    released = _said(release, "released")
    shared = {
        "album": _said(release, "title"),
        "release_year": None if released is None or released.startswith("0000") else released,
        "genre": _said(release, "genres/genre"),
        "release_id": number,
        "master_id": _said(release, "master_id"),
    }
    for place, track in enumerate(listed, 1):
        position = _said(track, "position")
        name = position if position and positions[position] == 1 else f"#{place}"
        yield {
            "track_id": f"{number}:{name}" if number else None,
            "title": _said(track, "title"),
            "duration_s": _said(track, "duration"),
            "position": position,
            **shared,
            **(_artists(track) or own),
        }


def _artists(element: Element) -> Row:
    """Who is credited; empty for nobody in particular.

    `artist` is as printed, with the number that tells artists of one name apart taken off.
    """
    found = [
        (_said(artist, "id"), _said(artist, "anv") or _NUMBER.sub("", _said(artist, "name") or ""))
        for artist in element.iterfind("artists/artist")
    ]
    joins = [_said(artist, "join") for artist in element.iterfind("artists/artist")]
    ids = [number for number, _ in found if number and number not in NOBODY]
    if not ids:
        return {}
    printed = ""
    for (_, name), join in zip(found, [*joins[:-1], ""], strict=True):
        printed += name + (", " if join == "," else f" {join} " if join else "")
    return {"artist": printed.strip(), "artist_id": ids[0], "artist_ids": ids}


def _said(element: Element, path: str) -> str | None:
    return (element.findtext(path) or "").strip() or None
