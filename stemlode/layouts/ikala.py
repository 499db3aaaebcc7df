"""iKala: two-channel clips, the accompaniment left and the voice right. No Beam."""

from collections.abc import Sequence

from stemlode.audio.kinds import is_named_audio, without_extension
from stemlode.layouts.songs import Part, Song, below

FOLDER = "Wavfile"


def holds(folder: str, paths: Sequence[str]) -> bool:
    """Whether there is a folder of clips."""
    return any(_is_clip(folder, path) for path in paths)


def songs(folder: str, paths: Sequence[str]) -> list[Song]:
    """A song for every clip.

    Clips of one song (10161_chorus, 10161_verse) begin with its number and stay in one split.
    """
    found = []
    for path in filter(lambda path: _is_clip(folder, path), paths):
        clip = without_extension(path.rpartition("/")[2])
        parts: dict[str, tuple[Part, ...]] = {
            "accompaniment": (Part(path, channel=0),),
            "vocals": (Part(path, channel=1),),
        }
        found.append(Song(clip, parts, group=clip.partition("_")[0]))
    return found


def _is_clip(folder: str, path: str) -> bool:
    places = below(folder, path).split("/")
    return len(places) == 2 and places[0] == FOLDER and is_named_audio(places[1])
