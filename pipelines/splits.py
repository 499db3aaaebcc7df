"""Which songs must stay together, and on which side of the split they go. Free of Beam."""

import math
from collections.abc import Iterable, Mapping

from matching.ids import digest
from pipelines.runs import BadUsage

SPLITS = ("train", "valid", "test")
_DIGITS = 13  # hex digits of the hash that are taken: 52 bits fit a float64 exactly


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
