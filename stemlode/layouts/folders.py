"""Multitrack folders as the field lays them out: which file is which source of which song. No Beam.

A layout is a function from a folder and the paths of all its files to songs. What is wrong with a
whole folder is BadUsage, one line; what is wrong with one song is its `fault`, and costs one song.
Songs are named by their folders, so that a corpus does not change where it is made from.
"""

import dataclasses
import itertools
import posixpath
from collections.abc import Callable, Sequence

from stemlode import files, runs
from stemlode.audio.kinds import is_named_audio, without_extension
from stemlode.layouts import grouping, ikala, mapping, medleydb, moisesdb, musdb
from stemlode.layouts.songs import Part, Song, artist_of, below, songs_by_folder
from stemlode.runs import BadUsage

SHOWN = 3  # songs without anything usable that an error names


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a collection lies on disk: what tells it, and how it is read."""

    shape: str  # in a phrase, for whoever has something else
    recognise: Callable[[str, Sequence[str]], bool]
    read: Callable[[str, Sequence[str]], list[Song]]


def _folders(folder: str, paths: Sequence[str]) -> list[Song]:
    """One folder a song, one file a source, named after it, or one .stem.mp4 with them all."""
    songs = []
    for name, found in songs_by_folder(folder, paths):
        if len(found) == 1 and musdb.is_stems(found[0]):
            songs.append(Song(name, musdb.streams(found[0])))
            continue
        parts: dict[str, tuple[Part, ...]] = {}
        fault = ""
        for path in found:
            source = without_extension(posixpath.basename(path)).lower()
            if source in parts:
                fault = f"{source}: two files of one source"
            parts[source] = (Part(path),)
        songs.append(Song(name, parts, fault=fault))
    return songs


LAYOUTS = {  # in the order in which they are tried
    "musdb18": Layout(
        "train/ and test/ with an Artist - Title.stem.mp4 a song",
        musdb.holds_stem_files,
        musdb.stem_files,
    ),
    "musdb18-hq": Layout(
        "train/ and test/ with a folder a song: mixture, drums, bass, other, vocals",
        musdb.holds_songs,
        musdb.songs,
    ),
    "moisesdb": Layout(
        "a folder a song with data.json and a folder a stem",
        moisesdb.holds,
        moisesdb.songs,
    ),
    "medleydb": Layout(
        "Song_METADATA.yaml, Song_MIX.wav and Song_STEMS/, and one mixing_coefficients.yaml",
        medleydb.holds,
        medleydb.songs,
    ),
    "ikala": Layout(
        "Wavfile/ with two-channel files: accompaniment left, voice right",
        ikala.holds,
        ikala.songs,
    ),
    "folders": Layout(
        "a folder a song, with a file a source (song/vocals.wav, song/accompaniment.wav or other "
        "stems)",
        lambda folder, paths: bool(songs_by_folder(folder, paths)),
        _folders,
    ),
}


def read(folder: str, layout: str, sources: str, mapping_file: str | None) -> list[Song]:
    """The songs of a multitrack folder, by name.

    Args:
        folder: local or remote.
        layout: one of LAYOUTS, or `auto` for the first that recognises the folder.
        sources: one of grouping.GROUPINGS: what stems are summed into.
        mapping_file: in place of a layout (see layouts.mapping).

    Raises BadUsage where the folder has not that layout, where songs share a name, or where the
    mapping file is none.
    """
    paths, closed = _listed(folder, "stems")
    if mapping_file:
        found = mapping.songs(folder, paths, mapping.load(mapping_file))
    else:
        name = layout if layout != "auto" else _recognised(folder, paths)
        held = LAYOUTS[name]
        found = held.read(folder, paths) if held.recognise(folder, paths) else []
        if not found:
            raise BadUsage(f"--stems {folder}: not {name}: {held.shape}")
    songs = [_storable(grouping.grouped(song, sources)) for song in found] + closed
    names = sorted(song.name for song in songs)
    for name, after in itertools.pairwise(names):
        if name == after:
            raise BadUsage(f"--stems {folder}: two songs are called {name}")
    if songs and all(song.fault for song in songs):
        first = min(songs, key=lambda song: song.name)
        raise BadUsage(f"--stems {folder}: no song can be used; {first.name}: {first.fault}")
    return sorted(songs, key=lambda song: song.name)


def unpaired(folder: str, source: str, option: str) -> list[Song]:
    """The songs of a folder of pure vocals or pure instrumentals: every audio file in it is one.

    Raises BadUsage, naming the option, for a folder without any.
    """
    every, closed = _listed(folder, option)
    paths = [path for path in every if is_named_audio(path)]
    if not paths:
        raise BadUsage(f"--{option} {folder}: no audio files in it")
    songs = [
        Song(below(folder, path), {source: (Part(path),)}, kind="unpaired")
        for path in sorted(paths)
    ]
    songs += [dataclasses.replace(song, kind="unpaired") for song in closed]
    return [_storable(song) for song in songs]


def _listed(folder: str, option: str) -> tuple[list[str], list[Song]]:
    """All files below a folder, and a faulty song for every folder that cannot be looked into.

    BadUsage, naming the option, for what is a file itself.
    """
    if files.is_file(folder):
        raise BadUsage(f"--{option} {folder}: is a file; name the folder that holds it")
    errors: list[OSError] = []
    paths = files.list_files(folder, follow_links=True, unreadable=errors.append)
    closed = []
    for error in errors:
        name = _shown(below(folder, str(error.filename)))
        closed.append(Song(name, {}, fault=f"cannot be looked into: {runs.reason(error)}"))
    return paths, closed


def _storable(song: Song) -> Song:
    """The song, or where a table cannot hold its names, a faulty one of names that it can."""
    uris = [part.uri for parts in song.parts.values() for part in parts]
    if any(_shown(text) != text for text in (song.name, song.group, *uris)):
        return Song(
            _shown(song.name), {}, kind=song.kind, fault="a file's name is not UTF-8: rename it"
        )
    genre = None if song.genre is None else _shown(song.genre)
    artist = song.artist or artist_of(song.name)
    artist = None if artist is None else _shown(artist)
    return dataclasses.replace(song, genre=genre, artist=artist, fault=_shown(song.fault))


def _shown(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _recognised(folder: str, paths: Sequence[str]) -> str:
    for name, layout in LAYOUTS.items():
        if layout.recognise(folder, paths):
            return name
    raise BadUsage(
        f"--stems {folder}: no song folders in it (song/vocals.wav, song/accompaniment.wav or "
        f"other stems), nor {', '.join(list(LAYOUTS)[:-1])}; say what is what by --mapping"
    )
