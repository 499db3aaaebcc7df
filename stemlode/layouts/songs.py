"""A multitrack song as a layout finds it, and how paths below a folder are looked at. No Beam."""

import dataclasses
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence

from stemlode.audio.kinds import is_named_audio

_TRACK_NUMBER = re.compile(r"^\s*(?:\d{1,2}(?:\s+-\s+|\s*[._)]\s*|-\s+)|0\d\s+)(?=\S)")
_DASH = re.compile(r"\s[-–—]\s|_-_")


@dataclasses.dataclass(frozen=True)
class Part:
    """Audio that a source is summed from."""

    uri: str
    stream: int = 0  # of a file that holds several
    channel: int | None = None  # None takes all channels
    gain: float = 1.0  # to multiply by


@dataclasses.dataclass(frozen=True)
class Song:
    """Where the sources of a song lie.

    `parts` maps a source's name to what it is the sum of; `mixture` is checked against the stems.
    Songs of one `group` stay in one split, `split` is the one that the collection itself puts it
    in, `bleed` names the sources into which others leak, as its makers say, `artist` is who it is
    by, as far as is known, and a `fault` says in a phrase why the song cannot be used.
    """

    name: str
    parts: dict[str, tuple[Part, ...]]
    kind: str = "stems"
    group: str = ""
    split: str | None = None
    genre: str | None = None
    licence: str | None = None
    bleed: tuple[str, ...] = ()
    fault: str = ""
    artist: str | None = None


def artist_of(name: str) -> str | None:
    """The artist in the name of a folder or file that is called `Artist - Title`.

    A number before that is a track's, which is why `07 - Title` names nobody.
    """
    artist, *title = _DASH.split(_TRACK_NUMBER.sub("", posixpath.basename(name)), maxsplit=1)
    return artist.strip() or None if "".join(title).strip() else None


def below(folder: str, path: str) -> str:
    """A path's name below a folder that holds it."""
    return path.removeprefix(folder.rstrip("/") + "/")


def songs_by_folder(folder: str, paths: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(name, its audio files) of every folder just below `folder` that holds audio files."""
    found = defaultdict(list)
    for path in sorted(paths):
        song, _, name = below(folder, path).partition("/")
        if name and "/" not in name and is_named_audio(name):
            found[song].append(path)
    return sorted(found.items())


def named(paths: Sequence[str], pattern: str) -> list[str]:
    """The paths whose last part matches a regular expression, sorted."""
    return sorted(path for path in paths if re.fullmatch(pattern, posixpath.basename(path)))
