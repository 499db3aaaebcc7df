"""What a match is asked for, and what its `run.json` says of what came of it. Free of Beam."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matching.rules import LONG_S, MOST_WORDS, Rule, song_key
from pipelines.catalogue.aliases import Aliases
from pipelines.catalogue.tracks import LONG, WHOLE_SECONDS
from stemlode import runs, schemas, tables
from stemlode.ids import digest
from stemlode.tables import Row

COUNTS = {  # tracks_read = rejected + empty_keys + instrumentals + mixtures
    "tracks_read": "rows of the catalogue",
    "rejected": "rows that are no track, or a track once more",
    "empty_keys": "tracks whose fuzzy title is empty, which match nothing",
    "instrumentals": "tracks with a key and a marker",
    "mixtures": "tracks with a key and no marker",
    "keys": "different keys (artist id, fuzzy title) that hold an instrumental",
    "songs": "different song ids among the candidates",
    "candidates": "pairs of a mixture and an instrumental",
    "left_out": "pairs of keys that hold too many, which are left out",
    "not_chosen": "pairs that --one-to-one gave up for a likelier original",
}
MOST_LISTED = 100
NOTABLE = 0.2  # a share of durations in whole seconds; of durations in tenths it would be 0.1


@dataclass(frozen=True)
class Task:
    """What makes a pair, and which pairs stay.

    most_per_key: a key that would give more pairs gives none, and is reported.
    one_to_one: of an instrumental's pairs, the likeliest one (see `matching.originals`).
    aliases: names of artists that are known under others, each with the artist's id.
    """

    rule: Rule
    most_per_key: int
    one_to_one: bool = False
    aliases: Aliases | None = None

    @property
    def aliases_parameter(self) -> str:
        """The aliases as the SQL takes them."""
        return self.aliases.as_parameter() if self.aliases else ""


def candidate(mix: Row, instrumental: Row, artist_id: str, rule: Rule) -> Row:
    """A row of schemas.CANDIDATE from two rows with TRACK's columns, fuzzy_title and marker."""
    return {
        "pair_id": digest(mix["track_id"], instrumental["track_id"]),
        "song_id": digest(artist_id, song_key(mix["fuzzy_title"])),
        "mix_track_id": mix["track_id"],
        "instrumental_track_id": instrumental["track_id"],
        "artist_id": artist_id,
        "fuzzy_title": mix["fuzzy_title"],
        "duration_difference_s": mix["duration_s"] - instrumental["duration_s"],
        "marker": instrumental["marker"],
        "rule": rule.name,
        "mix_audio_uri": mix["audio_uri"],
        "instrumental_audio_uri": instrumental["audio_uri"],
        "mix": {name: mix[name] for name in schemas.TRACK.names},
        "instrumental": {name: instrumental[name] for name in schemas.TRACK.names},
    }


def finish(
    run: runs.Run,
    task: Task,
    totals: Mapping[str, int],
    outputs: Mapping[str, str],
    large: Iterable[Row],
    releases: Mapping[int, tuple[int, int]],
    words: Mapping[str, int],
    held_back: str | None,
    **facts: Any,
) -> None:
    """Complete a run, or hold it back.

    `totals` are COUNTS and those of tracks.duration_counts, `large` the keys that were left out
    (rows of rules.LARGE), `releases` how many there are of each year, and how many of them hold an
    instrumental, `words` those beside markers that the rule does not know, and how many
    instrumentals each describes, `held_back` why it should not count as done
    (`rejections.verdict`).
    """
    left_out = sorted(large, key=lambda key: (-key["candidates"], *map(str, key.values())))
    counts = {name: totals.get(name, 0) for name in COUNTS}
    counts["left_out"] = sum(key["candidates"] for key in left_out)
    by_year = {
        str(year): {"releases": every, "with_instrumentals": some}
        for year, (every, some) in sorted(releases.items())
    }
    known = task.aliases.notes() if task.aliases else []
    notes = [*known, *duration_notes(totals, task.rule), *_large_notes(left_out, task)]
    durations = {name: totals.get(name, 0) for name in (WHOLE_SECONDS, LONG)}
    run.finish(
        counts | tables.reject_causes(run, outputs),
        dict(outputs),
        held_back=held_back,
        notes=notes,
        durations=durations,
        releases=by_year,
        large_keys=left_out[:MOST_LISTED],
        unknown_words=dict(sorted(words.items(), key=often)[:MOST_WORDS]),
        **facts,
    )


def often(word: tuple[str, int]) -> tuple[int, str]:
    """Sorts words by how often they are met."""
    return -word[1], word[0]


def duration_notes(totals: Mapping[str, int], rule: Rule) -> Iterable[str]:
    """What is odd about a catalogue's durations; `totals` as for `finish`."""
    tracks = max(1, totals.get("tracks_read", 0))
    whole, long = totals.get(WHOLE_SECONDS, 0), totals.get(LONG, 0)
    if whole / tracks > NOTABLE:
        yield (
            f"{whole:,} of {tracks:,} durations are whole seconds: if they were rounded, what "
            f"differs by less than {rule.tolerance_s:g} s was compared after rounding, so pairs "
            "near the tolerance may be missing or too many; --tolerance sets it"
        )
    if long > tracks / 2:
        yield (
            f"{long:,} of {tracks:,} durations are above {LONG_S:,.0f} s, so the median is: they "
            "look like milliseconds, which --duration-unit ms reads as such"
        )
    elif long:
        yield (
            f"{long:,} of {tracks:,} durations are above {LONG_S:,.0f} s: if they are milliseconds "
            "among seconds, these tracks found no partner"
        )


def _large_notes(large: list[Row], task: Task) -> Iterable[str]:
    if large:
        first = large[0]
        yield (
            f"{len(large):,} key(s) would give more than {task.most_per_key:,} candidates and were "
            f"left out (--max-key), the largest {first['fuzzy_title']!r} of artist "
            f"{first['artist_id']} with {first['candidates']:,}; run.json lists them in large_keys"
        )
