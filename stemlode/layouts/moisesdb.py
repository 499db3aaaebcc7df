"""MoisesDB: a folder a song, with data.json and a folder of tracks a stem. No Beam."""

import json
import posixpath
from collections.abc import Sequence
from typing import Any

from stemlode import files
from stemlode.layouts.grouping import slug
from stemlode.layouts.songs import Part, Song, named
from stemlode.runs import reason

FACTS = "data.json"


def holds(folder: str, paths: Sequence[str]) -> bool:
    """Whether a song's facts lie somewhere, with audio in folders beside them."""
    songs = {posixpath.dirname(path) for path in named(paths, r"data\.json")}
    return any(posixpath.dirname(posixpath.dirname(path)) in songs for path in paths)


def songs(folder: str, paths: Sequence[str]) -> list[Song]:
    """A song for every data.json, named after its folder; a stem is the sum of its tracks."""
    there = set(paths)
    return [_song(path, there) for path in named(paths, r"data\.json")]


def _song(path: str, there: set[str]) -> Song:
    folder = posixpath.dirname(path)
    name = posixpath.basename(folder)
    try:
        facts = json.loads(files.read_bytes(path))
        parts, bleed = _parts(folder, facts["stems"])
        genre, artist = facts.get("genre"), facts.get("artist")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Song(name, {}, fault=f"{FACTS}: not as MoisesDB has it: {reason(error)}")
    missing = [part.uri for held in parts.values() for part in held if part.uri not in there]
    fault = ""
    if missing:
        fault = f"{FACTS} names {posixpath.relpath(missing[0], folder)}, which is not there"
    genre = genre if isinstance(genre, str) else None
    artist = artist if isinstance(artist, str) else None
    return Song(name, parts, genre=genre, bleed=bleed, fault=fault, artist=artist)


def _parts(
    folder: str, stems: list[dict[str, Any]]
) -> tuple[dict[str, tuple[Part, ...]], tuple[str, ...]]:
    """What each source is summed from, and the sources of which a track has bleed."""
    found: dict[str, tuple[Part, ...]] = {}
    bleed = set()
    for stem in stems:
        source = slug(stem["stemName"])
        for track in stem["tracks"]:
            file = f"{track['id']}.{track['extension']}"
            part = Part(posixpath.join(folder, stem["stemName"], file))
            found[source] = (*found.get(source, ()), part)
            if track.get("has_bleed") is True:
                bleed.add(source)
    return found, tuple(sorted(bleed))
