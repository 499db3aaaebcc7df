"""Any folder by a mapping file: which file is which source, and what is summed into what. No Beam.

A TOML file. Patterns are shell globs below a song's folder, whatever the case; a file goes to the
first source, in the order written, that has a pattern for it, and files of one source are summed:

    songs = "*"                    # the song folders; "*/*" for one level deeper
    leave_out = ["*demo*"]

    [sources]
    mixture = ["mix.wav"]          # checked against the sum
    vocals = ["vox*.wav", "backing/*.wav"]
    drums = ["drums.wav", "perc*.wav"]
    other = ["*"]                  # all the rest
"""

import dataclasses
import fnmatch
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from stemlode import files
from stemlode.audio.kinds import is_named_audio, without_extension
from stemlode.layouts.songs import Part, Song, below
from stemlode.runs import BadUsage, reason

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What a mapping file says."""

    path: str
    songs: str
    leave_out: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]


def load(path: str) -> Mapping:
    """A mapping file; BadUsage says what is wrong with it."""
    try:
        held = tomllib.loads(files.read_bytes(path).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadUsage(f"--mapping {path}: {reason(error)}") from error
    if unknown := sorted({*held} - {"songs", "leave_out", "sources"}):
        raise BadUsage(f"--mapping {path}: {unknown[0]}: it may say songs, leave_out and [sources]")
    songs, sources = held.get("songs", "*"), held.get("sources")
    if not isinstance(sources, dict) or not sources:
        raise BadUsage(f'--mapping {path}: needs [sources], with lines as vocals = ["vox*.wav"]')
    if not isinstance(songs, str) or not songs.strip("/"):
        raise BadUsage(f'--mapping {path}: songs: write the song folders as "*" or "*/*"')
    for name in sources:
        if not SOURCE_NAME.fullmatch(name):
            raise BadUsage(
                f"--mapping {path}: {name}: a source's name is lower case, digits, - and _"
            )
    return Mapping(
        path,
        songs.strip("/"),
        _patterns(path, "leave_out", held.get("leave_out", [])),
        {name: _patterns(path, name, patterns) for name, patterns in sources.items()},
    )


def songs(folder: str, paths: Sequence[str], mapping: Mapping) -> list[Song]:
    """The songs that a mapping finds in a folder; BadUsage where it finds none."""
    depth = mapping.songs.count("/") + 1
    found: dict[str, dict[str, tuple[Part, ...]]] = {}
    unknown: dict[str, list[str]] = {}
    for path in paths:
        places = below(folder, path).split("/")
        song, file = "/".join(places[:depth]), "/".join(places[depth:])
        if not file or not is_named_audio(file) or not _matches(song, (mapping.songs,)):
            continue
        if _matches(file, mapping.leave_out):
            continue
        parts = found.setdefault(song, {})
        source = next((s for s, globs in mapping.sources.items() if _matches(file, globs)), None)
        if source is None:
            unknown.setdefault(song, []).append(file)
        else:
            parts[source] = (*parts.get(source, ()), Part(path))
    if not any(found.values()):
        raise BadUsage(
            f"--mapping {mapping.path}: no file in {folder} matches; songs are {mapping.songs}"
        )
    songs = []
    for song, parts in sorted(found.items()):
        fault = (
            f"no source for {unknown[song][0]}; name one, or leave_out" if song in unknown else ""
        )
        songs.append(Song(song, parts, fault=fault or _twice(parts)))
    return songs


def _twice(parts: dict[str, tuple[Part, ...]]) -> str:
    """What is wrong where one file lies there in two formats: it would be summed twice."""
    names: dict[str, str] = {}
    for path in sorted(part.uri for held in parts.values() for part in held):
        file = path.rpartition("/")[2]
        other = names.setdefault(without_extension(path), file)
        if other != file:
            return f"{other} and {file}: two files of one name; leave_out one"
    return ""


def _patterns(path: str, name: str, held: Any) -> tuple[str, ...]:
    listed = [held] if isinstance(held, str) else held
    if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
        raise BadUsage(f'--mapping {path}: {name}: write file patterns as ["vox*.wav"]')
    return tuple(listed)


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), glob.lower()) for glob in globs)
