"""`stemlode match --explain A B`: what two titles or tracks say, and why they pair or do not.

Free of Beam. The answer is made of what the engines read: `tracks.keyed`, `links` and `rules`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from matching import rules
from matching.extended import BETWEEN
from matching.links import links
from matching.rules import Rule
from pipelines.catalogue import tracks
from pipelines.catalogue.mapping import ARTIST_IDS, IS_VIDEO
from pipelines.catalogue.reading import Catalogue, RowBatch
from pipelines.match.record import Task
from stemlode import runs
from stemlode.runs import BadUsage


@dataclass(frozen=True)
class Side:
    """One of the two: a row of tracks.KEYED, its keys, and what is wrong with it as a track.

    `keys` are (artist id, key) as `matching.links` has them; of a title alone the artist is "".
    """

    title: str
    row: dict[str, Any] = field(default_factory=dict)
    keys: frozenset[tuple[str, str]] = frozenset()
    recording_id: str | None = None
    reject: str = ""

    @property
    def fuzzy_title(self) -> str:
        """Key and descriptors, empty where it matches nothing."""
        return str(self.row["fuzzy_title"])

    @property
    def marker(self) -> str | None:
        """The word that makes it an instrumental."""
        marker: str | None = self.row["marker"]
        return marker

    @property
    def titles(self) -> list[str]:
        """All fuzzy titles that it may meet its counterpart under, its own first."""
        others = str(self.row["other_titles"] or "")
        return [self.fuzzy_title, *(others.split(BETWEEN) if others else [])]


def of_titles(titles: Sequence[str], rule: Rule) -> list[Side]:
    """Two titles without artists, albums and durations."""
    texts = pa.array(titles, pa.string())
    said = rules.read_titles(texts, pa.nulls(len(titles), pa.string()), rule)
    columns = dict(zip(("fuzzy_title", "marker", "other_titles"), said, strict=True))
    rows = pa.table({"title": texts, **columns}).to_pylist()
    sides = (Side(row["title"], {**row, "duration_s": None}) for row in rows)
    return [Side(s.title, s.row, frozenset(("", key) for key in s.titles)) for s in sides]


def of_tracks(given: Catalogue, ids: Sequence[str], task: Task) -> list[Side]:
    """Two tracks of a catalogue, by their ids; BadUsage where there is none with an id."""
    found: dict[str, Side] = {}
    columns = tuple(dict.fromkeys((*tracks.needed(task.rule), "recording_id")))
    for part in given.parts():
        for batch in given.batches(part, columns):
            found |= {side[0]: side[1] for side in _in_batch(batch, ids, task)} | found
    lost = [one for one in ids if one not in found]
    if lost:
        raise BadUsage(f"--explain {runs.on_one_line(lost[0])}: no track of the catalogue has it")
    return [found[one] for one in ids]


def _in_batch(batch: RowBatch, ids: Sequence[str], task: Task) -> Iterator[tuple[str, Side]]:
    checked = tracks.check(batch, task.aliases)
    here = np.isin(np.array(checked.track_id.to_pylist(), object), np.array(ids, object))
    places = np.flatnonzero(here)
    for place in places[checked.error[places] >= 0]:
        why = list(tracks.MESSAGES.values())[checked.error[place]]
        yield (
            str(checked.track_id[int(place)]),
            Side(str(checked.title[int(place)].as_py() or ""), reject=why),
        )
    good = places[checked.error[places] < 0]
    if not good.size:
        return
    keyed = tracks.keyed(batch, checked, task.rule, good)
    rows, artists, keys = links(keyed, task.rule)
    recordings = batch.text("recording_id", pa.array(good, pa.int64())).to_pylist()
    for number, row in enumerate(keyed.to_pylist()):
        mine = np.flatnonzero(rows == number).tolist()
        linked = frozenset((artists[at].as_py(), keys[at].as_py()) for at in mine)
        yield row["track_id"], Side(row["title"], row, linked, recordings[number])


def lines(sides: Sequence[Side], rule: Rule) -> Iterator[str]:
    """What each says, and the verdict, as text for people."""
    for name, side in zip("AB", sides, strict=True):
        yield f"{name}  {runs.on_one_line(side.title)!r}"
        if side.reject:
            yield f"   reject: {side.reject}"
            continue
        key, _, descriptors = side.fuzzy_title.partition("|")
        yield f"   key          {key or '(none: it matches nothing)'}"
        yield f"   marker       {side.marker or '(none: a mixture)'}"
        if rule.is_extended:
            yield f"   descriptors  {descriptors or '(none)'}"
            if side.titles[1:]:
                yield f"   also as      {', '.join(side.titles[1:])}"
        artists = sorted({artist for artist, _ in side.keys} - {""})
        if "artist_id" in side.row:
            artists = artists or [str(side.row["artist_id"]), *_listed(side)]
            yield f"   artists      {runs.on_one_line(', '.join(artists))}"
        if side.row["duration_s"] is not None:
            yield f"   duration     {side.row['duration_s']:.3f} s"
    yield verdict(sides, rule)


def verdict(sides: Sequence[Side], rule: Rule) -> str:
    """Whether they pair, or the first thing that keeps them apart."""
    for reason in _reasons(sides, rule):
        return f"no pair: {reason}"
    one, other = sides
    key = min({key for _, key in one.keys} & {key for _, key in other.keys})
    unknown = "" if one.row["duration_s"] else ", where artists and durations agree too"
    return f"a pair, as {key}{unknown}"


def _reasons(sides: Sequence[Side], rule: Rule) -> Iterator[str]:
    """What keeps them apart, in the order in which it is looked for; nothing is said after it."""
    for name, side in zip("AB", sides, strict=True):
        if side.reject:
            yield f"{name} is no track: {side.reject}"
        elif not side.fuzzy_title:
            covers = rule.is_extended and not rule.covers
            why = ", or says that it is a cover (--covers)" if covers else ""
            yield f"{name} has no key: it holds nothing but brackets{why}"
    one, other = sides
    if (one.marker is None) == (other.marker is None):
        who = "neither says that it is an" if one.marker is None else "both say that they are"
        yield f"{who} instrumental"
    if not {key for _, key in one.keys} & {key for _, key in other.keys}:
        yield _apart(one, other)
    if not one.keys & other.keys:
        names = rule.is_extended and not rule.artist_names
        yield f"no artist id is on both{' (--artist-names looks at names too)' if names else ''}"
    durations = [side.row["duration_s"] for side in sides]
    if None not in durations and not abs(durations[0] - durations[1]) < rule.tolerance_s:
        yield (
            f"the durations are {abs(durations[0] - durations[1]):.3f} s apart, and not less than "
            f"{rule.tolerance_s:g} s (--tolerance)"
        )
    if rule.is_extended and one.recording_id is not None and one.recording_id == other.recording_id:
        yield f"both are recording {runs.on_one_line(one.recording_id)}"
    if bool(one.row.get(IS_VIDEO)) != bool(other.row.get(IS_VIDEO)):
        yield "one of them alone is a video"


def _apart(one: Side, other: Side) -> str:
    keys = [{title.partition("|")[0] for title in side.titles} for side in (one, other)]
    if not keys[0] & keys[1]:
        return "the keys differ"
    words = [side.fuzzy_title.partition("|")[2] or "nothing" for side in (one, other)]
    return f"the keys agree, but what describes the version differs: {words[0]} and {words[1]}"


def _listed(side: Side) -> list[str]:
    artists = side.row[ARTIST_IDS]
    return [str(artist) for artist in artists if artist] if isinstance(artists, list) else []
