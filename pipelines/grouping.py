"""Which candidates are scored together: a plan that depends on nothing but the candidates."""

from collections.abc import Iterable
from typing import Any

PAIRS_PER_PART = 32
Row = dict[str, Any]


def in_order(row: Row) -> tuple[str, str, str]:
    """Pairs of a mixture follow one another, so that few tracks are held at a time."""
    return row["mix_track_id"], row["instrumental_track_id"], row["pair_id"]


def groups(song: Iterable[Row], most: int) -> list[list[Row]]:
    """A song's candidates in groups of at most `most`, the same for any order."""
    rows = sorted(song, key=in_order)
    return [rows[start : start + most] for start in range(0, len(rows), most)]


def plan(songs: Iterable[tuple[str, int]], most: int) -> dict[str, int]:
    """Song id → number of its first part, for (song id, pairs) in any order.

    Songs are taken in the order of their ids, which are hashes and so as good as shuffled. A part
    holds at most `most` pairs: of several songs, or one of the groups of a song that has more,
    which take consecutive parts of their own.
    """
    parts: dict[str, int] = {}
    part, held = 0, 0
    for song_id, pairs in sorted(songs):
        if held and held + pairs > most:
            part, held = part + 1, 0
        parts[song_id] = part
        whole, rest = divmod(pairs, most)
        if pairs > most:
            part, held = part + whole + (rest > 0), 0
        else:
            held += pairs
    return parts
