"""On which side of the split each song lies, and what was joined on the way. Free of Beam.

Songs that share a track, or sound that fingerprints found, form a group and share a side. Explicit
lists win: a group that is listed on one side goes there whole; where lists put it on several, the
most held-out of them is the group's, and a recording that is listed elsewhere is left out.
"""

import csv
import dataclasses
import io
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping

from pipelines import files, splits
from pipelines.runs import BadUsage, reason

HELD_OUT = ("test", "valid", "train")  # the first wins


@dataclasses.dataclass(frozen=True)
class Known:
    """What decides a recording's side."""

    recording_id: str
    song_id: str
    name: str
    track_ids: tuple[str, ...]
    split: str | None  # where a list puts it


@dataclasses.dataclass(frozen=True)
class Side:
    """A song's group and, where a list says so, its split; `joined` tells to whom and why."""

    group: str
    split: str | None
    joined: tuple[str, ...]


def read_list(path: str) -> dict[str, str]:
    """A CSV of `song,split` → split by song: a name, a folder's, or the id of a song or track.

    Raises BadUsage naming the line that is wrong.
    """
    try:
        rows = list(csv.reader(io.StringIO(files.read_bytes(path).decode("utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise BadUsage(f"--splits {path}: {reason(error)}") from error
    if not rows or [cell.strip().lower() for cell in rows[0]] != ["song", "split"]:
        raise BadUsage(f"--splits {path}: begins with a line `song,split`")
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 2 or row[1].strip() not in splits.SPLITS:
            raise BadUsage(f"--splits {path} line {number}: write a song and train, valid or test")
        song, split = row[0].strip(), row[1].strip()
        if found.setdefault(song, split) != split:
            raise BadUsage(f"--splits {path} line {number}: {song} is in {found[song]} already")
    return found


def keys(known: Known) -> tuple[str, ...]:
    """By what a list may name a recording."""
    return (known.name, known.recording_id, known.song_id, *known.track_ids)


def listed(known: Known, lists: Mapping[str, str]) -> str | None:
    """Where a list puts a recording, by its name or any of its ids; else where it was already."""
    found = {lists[key] for key in keys(known) if key in lists}
    return min(found, key=HELD_OUT.index) if found else known.split


def sides(recordings: Iterable[Known], matches: Iterable[tuple[str, str, str]]) -> dict[str, Side]:
    """Song id → side.

    Args:
        recordings: all there are, in any order.
        matches: (song id, song id, why in a phrase) of songs that hold one recording; those of
            songs that are not among the recordings count for nothing.
    """
    known = sorted(recordings, key=lambda found: (found.song_id, found.recording_id, found.name))
    songs = {found.song_id for found in known}
    alike = sorted(
        {(min(a, b), max(a, b), why) for a, b, why in matches if a != b and {a, b} <= songs}
    )
    groups = splits.groups(
        ((found.song_id, found.track_ids) for found in known), [(a, b) for a, b, _ in alike]
    )
    wanted: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for found in known:
        names.setdefault(found.song_id, found.name)
        if found.split:
            wanted[groups[found.song_id]].add(found.split)
    joined = defaultdict(set)
    for a, b, why in alike:
        joined[a].add(f"{names[b]}: {why}")
        joined[b].add(f"{names[a]}: {why}")
    for a, b, track in _shared_tracks(known):
        joined[a].add(f"{names[b]}: both have track {track}")
        joined[b].add(f"{names[a]}: both have track {track}")
    return {
        song: Side(
            group,
            min(wanted[group], key=HELD_OUT.index) if wanted[group] else None,
            tuple(sorted(joined[song])),
        )
        for song, group in groups.items()
    }


def _shared_tracks(known: Iterable[Known]) -> list[tuple[str, str, str]]:
    """(song, song, track) for neighbours among the songs of each track."""
    songs: dict[str, list[str]] = defaultdict(list)
    for found in known:
        for track in found.track_ids:
            if found.song_id not in songs[track]:
                songs[track].append(found.song_id)
    return [
        (first, second, track)
        for track, held in sorted(songs.items())
        for first, second in itertools.pairwise(held)
    ]
