"""MUSDB18 (stems in one .mp4 a song) and MUSDB18-HQ (folders of WAV files). No Beam."""

from collections.abc import Sequence

from stemlode.audio.kinds import is_named_audio, without_extension
from stemlode.layouts.songs import Part, Song, below

SOURCES = ("mixture", "drums", "bass", "other", "vocals")  # in the order of the .mp4's streams
SUFFIX = ".stem.mp4"
# The songs of train/ that the field validates on, as the dataset's own package names them.
VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)
_FOLDERS = ("train", "test")


def holds_stem_files(folder: str, paths: Sequence[str]) -> bool:
    """Whether there are .stem.mp4 files in train/ or test/, or right in the folder."""
    return any(_split_folder(below(folder, path)) is not None for path in paths if is_stems(path))


def stem_files(folder: str, paths: Sequence[str]) -> list[Song]:
    """A song for every .stem.mp4, its five streams in the order of SOURCES."""
    found = []
    for path in paths:
        name = below(folder, path)
        where = _split_folder(name) if is_stems(path) else None
        if where is not None:
            title = name.rpartition("/")[2][: -len(SUFFIX)]
            found.append(Song(title, streams(path), split=_split(where, title)))
    return found


def streams(path: str) -> dict[str, tuple[Part, ...]]:
    """The sources of a .stem.mp4, a stream each."""
    return {source: (Part(path, stream),) for stream, source in enumerate(SOURCES)}


def holds_songs(folder: str, paths: Sequence[str]) -> bool:
    """Whether a song folder below train/ or test/ holds a file for one of the sources."""
    return any(_song_file(folder, path) for path in paths)


def songs(folder: str, paths: Sequence[str]) -> list[Song]:
    """A song for every folder below train/ and test/; a missing source is its fault."""
    found: dict[tuple[str, str], dict[str, tuple[Part, ...]]] = {}
    for path in paths:
        if place := _song_file(folder, path):
            where, title, source = place
            found.setdefault((where, title), {})[source] = (Part(path),)
    return [
        Song(title, parts, split=_split(where, title), fault=_missing(parts))
        for (where, title), parts in sorted(found.items())
    ]


def _song_file(folder: str, path: str) -> tuple[str, str, str] | None:
    """(train or test, song, source) of a path in this layout."""
    places = below(folder, path).split("/")
    if len(places) != 3 or places[0] not in _FOLDERS or not is_named_audio(places[2]):
        return None
    source = without_extension(places[2]).lower()
    return (places[0], places[1], source) if source in SOURCES else None


def _missing(parts: dict[str, tuple[Part, ...]]) -> str:
    missing = [source for source in SOURCES[1:] if source not in parts]
    return f"has no {' and no '.join(missing)}" if missing else ""


def _split(folder: str, title: str) -> str | None:
    if folder == "train" and title in VALIDATION:
        return "valid"
    return folder or None


def _split_folder(name: str) -> str | None:
    """train, test, "" for a file right in the folder, None for one elsewhere."""
    folder, _, rest = name.rpartition("/")
    return folder if rest and folder in {*_FOLDERS, ""} else None


def is_stems(path: str) -> bool:
    """Whether a file's name says that it holds stems."""
    return path.lower().endswith(SUFFIX)
