"""Which songs must stay together, and which split they go to. Free of Beam.

Songs that share a track, or sound that fingerprints found, form a group and share a split. Explicit
lists win: a group that is listed in one split goes there whole; where lists put it in several, the
most held-out of them is the group's, and a recording that is listed elsewhere is left out.
"""

import csv
import dataclasses
import io
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from matching.artists import Artist
from pipelines.samples.recordings import Recording
from stemlode import files
from stemlode.audio.kinds import without_extension
from stemlode.ids import digest
from stemlode.runs import BadUsage, reason

SPLITS = ("train", "valid", "test")
_DIGITS = 13  # hex digits of the hash that are taken: 52 bits fit a float64 exactly
NOBODYS, TWO_SIDES = "songs_without_artist", "artists_on_two_sides"  # counts
HELD_OUT = ("test", "valid", "train")  # the first wins


def parse_ratios(text: str) -> dict[str, float]:
    """`train=0.9,valid=0.05,test=0.05` → ratios by split; BadUsage for anything else."""
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            ratio = float(number)
        except ValueError:
            ratio = math.nan
        if name not in SPLITS or name in ratios or not 0 <= ratio <= 1:
            raise BadUsage(f"--split {text}: write it as train=0.9,valid=0.05,test=0.05")
        ratios[name] = ratio
    if not math.isclose(sum(ratios.values()), 1, abs_tol=1e-6):
        raise BadUsage(f"--split {text}: the ratios sum to {sum(ratios.values()):g}, not to 1")
    return ratios


def notes(ratios: Mapping[str, float], counts: Mapping[str, float]) -> list[str]:
    """What a user should know of a corpus' splits, from its counts: of few songs none may have
    fallen to a split that was asked for."""
    held = {name for name in SPLITS if counts.get(f"samples_{name}")}
    missing = [name for name in ("train", "valid") if ratios.get(name) and name not in held]
    found = []
    if held and missing:
        found.append(
            f"no song fell to {' and '.join(missing)}; without `valid` nothing tells training when "
            "to stop: put songs there with --splits, or give it a larger share with --split"
        )
    unused = counts.get("split_entries", 0) - counts.get("split_entries_used", 0)
    if unused > 0:
        found.append(
            f"{unused:,} of {counts['split_entries']:,} lines of --splits name no song that is "
            "there: write names as they are in the songs table, or ids"
        )
    if nobodys := counts.get(NOBODYS):
        found.append(f"{nobodys:,} songs have no artist that is known, and are split song by song")
    if divided := counts.get(TWO_SIDES):
        found.append(
            f"lists put songs of one artist in several splits, {divided:,} times, and lists win; "
            "`listed` in the songs table says where"
        )
    return found


def split_of(group: str, ratios: Mapping[str, float], seed: int) -> str:
    """The split of a group: SHA-256 of seed and group as a number in [0, 1), cut by the ratios."""
    point = int(digest(str(seed), group)[:_DIGITS], 16) / 16**_DIGITS
    wanted = [(name, ratio) for name, ratio in ratios.items() if ratio > 0]
    edge = 0.0
    for name, ratio in wanted:
        edge += ratio
        if point < edge:
            return name
    return wanted[-1][0]


def groups(
    songs: Iterable[tuple[str, Iterable[str]]], joins: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Song id → split group, from (song id, its track ids) and pairs of songs to join.

    Songs that share a track or are joined, directly or through others, share a group: the smallest
    track id among all of theirs. A song without tracks is a group of its own.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for song, tracks in songs:
        root(("song", song))
        for track in tracks:
            # the smaller node becomes the root, and "song" comes after "a track"
            first, second = sorted((root(("song", song)), root(("a track", track))))
            parent[second] = first
    for one, other in joins:
        first, second = sorted((root(("song", one)), root(("song", other))))
        parent[second] = first
    return {song: root((kind, song))[1] for kind, song in list(parent) if kind == "song"}


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """What decides which split a recording goes to."""

    recording_id: str
    song_id: str
    name: str
    track_ids: tuple[str, ...]
    split: str | None  # where a list puts it
    artist: Artist | None = None


def facts_of(recording: Recording) -> SplitFacts:
    """What decides which split a recording goes to."""
    return SplitFacts(
        recording.recording_id,
        recording.song_id,
        recording.name,
        recording.track_ids,
        recording.split,
        recording.artist,
    )


@dataclasses.dataclass(frozen=True)
class SplitGroup:
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
        raise BadUsage(f"--splits {path}: must begin with a line `song,split`")
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 2 or row[1].strip() not in SPLITS:
            raise BadUsage(f"--splits {path} line {number}: write a song and train, valid or test")
        song, split = row[0].strip(), row[1].strip()
        if found.setdefault(song, split) != split:
            raise BadUsage(f"--splits {path} line {number}: {song} is in {found[song]} already")
    return found


def keys(facts: SplitFacts) -> tuple[str, ...]:
    """By what a list may name a recording."""
    names = {facts.name, without_extension(facts.name)}
    return (*names, facts.recording_id, facts.song_id, *facts.track_ids)


def listed(facts: SplitFacts, lists: Mapping[str, str]) -> str | None:
    """Where a list puts a recording, by its name or any of its ids; else where it was already."""
    found = {lists[key] for key in keys(facts) if key in lists}
    return min(found, key=HELD_OUT.index) if found else facts.split


def split_groups(
    recordings: Iterable[SplitFacts], matches: Iterable[tuple[str, str, str]]
) -> dict[str, SplitGroup]:
    """Song id → its group.

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
    group_of = groups(
        ((found.song_id, found.track_ids) for found in known), [(a, b) for a, b, _ in alike]
    )
    wanted: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for found in known:
        names.setdefault(found.song_id, found.name)
        if found.split:
            wanted[group_of[found.song_id]].add(found.split)
    joined = defaultdict(set)
    for a, b, why in alike:
        joined[a].add(f"{names[b]}: {why}")
        joined[b].add(f"{names[a]}: {why}")
    for a, b, track in _shared_tracks(known):
        joined[a].add(f"{names[b]}: both have track {track}")
        joined[b].add(f"{names[a]}: both have track {track}")
    return {
        song: SplitGroup(
            group,
            min(wanted[group], key=HELD_OUT.index) if wanted[group] else None,
            tuple(sorted(joined[song])),
        )
        for song, group in group_of.items()
    }


def _shared_tracks(known: Iterable[SplitFacts]) -> list[tuple[str, str, str]]:
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
