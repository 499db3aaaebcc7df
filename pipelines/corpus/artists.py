"""Which split groups an artist's songs form, where no artist shall be in two splits. Free of Beam.

Songs that share a track or sound are groups already; groups whose songs have an artist in common,
directly or through others, form a family and go to one split. Lists win: where they name several
splits for a family, each group that is listed stays where it is, and the rest goes to the most
held-out of these. What a corpus holds stays; a new song that would join families in two splits is
left out.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from matching.artists import may_stand
from pipelines.corpus import splits
from pipelines.corpus.append import Held
from pipelines.corpus.splits import HELD_OUT, NOBODYS, TWO_SIDES, SplitFacts, SplitGroup
from stemlode.runs import BadUsage

MOST = 0.5  # of the songs that a family may be, unless a list says where it goes
_NEW = "~new songs of "  # sorts after the keys of artists


@dataclasses.dataclass
class _Standing:
    """What is known of a group before artists count. New songs of a group that is held are one by
    themselves, `of` that: they go where it is, or cannot come in."""

    of: str | None = None
    songs: set[str] = dataclasses.field(default_factory=set)
    keys: set[str] = dataclasses.field(default_factory=set)
    names: Counter[str] = dataclasses.field(default_factory=Counter)
    split: str | None = None
    is_held: bool = False
    is_listed: bool = False


@dataclasses.dataclass(frozen=True)
class _Family:
    """Groups that share artists, and where each of them goes."""

    name: str
    groups: dict[str, _Standing]

    def in_splits(self, *, held: bool, listed: bool) -> set[str]:
        return {
            its.split
            for its in self.groups.values()
            if its.split and its.is_held == held and its.is_listed == listed
        }

    def placed(self) -> tuple[dict[str, tuple[str, str | None]], str, bool]:
        """Group → its new name ("" for one that cannot come in) and its split, if that is known;
        why some cannot come in; whether lists put the family in several splits."""
        drawn = self.in_splits(held=True, listed=False)
        before = self.in_splits(held=True, listed=True)
        new = self.in_splits(held=False, listed=True)
        left_out: set[str] = set()
        why = ""
        if may_stand(drawn, before) and not may_stand(drawn, before | new):
            left_out = new - (drawn | before)
            new -= left_out
            held = " and ".join(sorted(drawn | before))
            why = f"listed in another split than {held}, which holds songs of {self.shown()}"
        every = drawn | before | new
        is_split = len(every) > 1
        if is_split and not may_stand(drawn, before | new):
            where = " and ".join(sorted(every))
            why = f"by {self.shown()}, of whom or of whose like there are songs in {where}"
            new_ones = {name for name, its in self.groups.items() if not its.is_held}
            return dict.fromkeys(new_ones, ("", None)), why, False
        target = min(every, key=HELD_OUT.index) if every else None
        names = [name for name, its in self.groups.items() if its.is_held]
        together = min(names, default=self.name)
        found: dict[str, tuple[str, str | None]] = {}
        for name, its in self.groups.items():
            if its.is_held:
                continue
            if its.of:
                found[name] = (its.of, its.split)
                continue
            split = its.split if its.is_listed else target
            found[name] = (name if is_split else together, split)
            if its.is_listed and its.split in left_out:
                found[name] = ("", None)
        return found, why, is_split

    def grows(self) -> bool:
        return any(not its.is_held for its in self.groups.values())

    def songs(self) -> int:
        return sum(len(its.songs) for its in self.groups.values())

    def shown(self) -> str:
        """The name of most of its songs, and how many others there are."""
        names: Counter[str] = Counter()
        for its in self.groups.values():
            names.update(its.names)
        first = min(names, key=lambda name: (-names[name], name), default=self.name)
        keys = {key for its in self.groups.values() for key in its.keys}
        others = sum(key.startswith("name:") for key in keys) - 1
        return first if others < 1 else f"{first} (with {others:,} more who share songs or an id)"


def together(
    groups: Mapping[str, SplitGroup], facts: Iterable[SplitFacts], held: Held
) -> tuple[dict[str, SplitGroup], dict[str, int]]:
    """Song id → its group, with those of an artist in one; counts of what users should know.

    Args:
        groups: by song id, as tracks and sounds make them; "" for a song that cannot come in.
        facts: of all recordings, those that are held included.
        held: what a corpus holds already.

    Raises BadUsage for a family of more than MOST of the songs which no list puts in a split.
    """
    standing = _standing(groups, facts, held)
    families: dict[str, dict[str, _Standing]] = defaultdict(dict)
    by_keys = splits.groups((name, _links(name, its)) for name, its in sorted(standing.items()))
    for group, key in by_keys.items():
        families[key][group] = standing[group]
    every = sum(len(its.songs) for its in standing.values())
    placed: dict[str, tuple[str, str | None]] = {}
    reasons: dict[str, str] = {}
    counts = {TWO_SIDES: 0, NOBODYS: 0}
    for key, members in sorted(families.items()):
        family = _Family(key, members)
        _refuse_most(family, every)
        found, why, is_split = family.placed()
        placed |= found
        reasons |= {group: why for group, (new, _) in found.items() if not new}
        was_split = len({its.split for its in members.values() if its.is_held}) > 1
        counts[TWO_SIDES] += int(is_split and not was_split)
        if not any(its.keys for its in members.values()):
            counts[NOBODYS] += sum(len(its.songs) for its in members.values() if not its.is_held)
    there = {song.song_id for song in held.songs}
    moved = {
        song: _moved(
            its, its.group if song in there else _unit(its.group, standing), placed, reasons
        )
        for song, its in groups.items()
    }
    return moved, counts


def _standing(
    groups: Mapping[str, SplitGroup], facts: Iterable[SplitFacts], held: Held
) -> dict[str, _Standing]:
    there = {song.song_id: song for song in held.songs}
    held_groups = {groups[song].group for song in there}
    found: dict[str, _Standing] = defaultdict(_Standing)
    for fact in facts:
        group = groups[fact.song_id]
        if not group.group:
            continue
        its = found[group.group]
        if fact.song_id not in there and group.group in held_groups:
            its = found[_NEW + group.group]
            its.of = group.group
        its.songs.add(fact.song_id)
        its.split = group.split
        if fact.artist and fact.split in (None, group.split):  # else a list keeps it out
            its.keys.update(fact.artist.keys)
            its.names[fact.artist.name] += 1
    for song, group in groups.items():
        if group.group and song in there:
            found[group.group].is_held = True
            found[group.group].is_listed |= there[song].listed is not None
    for its in found.values():
        its.is_listed |= not its.is_held and not its.of and its.split is not None
    return found


def _unit(group: str, standing: Mapping[str, _Standing]) -> str:
    """By what new songs of a group stand."""
    return _NEW + group if _NEW + group in standing else group


def _links(name: str, its: _Standing) -> set[str]:
    """What joins a group to others: artists, and the group that new songs of a held one are of."""
    if its.of:
        return {*its.keys, _NEW + its.of}
    return {*its.keys, _NEW + name} if its.is_held else its.keys


def _refuse_most(family: _Family, every: int) -> None:
    songs = family.songs()
    is_listed = any(its.is_listed for its in family.groups.values())
    if songs < 2 or songs <= MOST * every or is_listed or not family.grows():
        return
    raise BadUsage(
        f"--split-by artist: {songs / every:.0%} of the songs ({songs:,} of {every:,}) are by "
        f"{family.shown()}, and an artist goes to one split: leave some out, name that split by "
        "--splits, or use --split-by song"
    )


def _moved(
    its: SplitGroup,
    unit: str,
    placed: Mapping[str, tuple[str, str | None]],
    reasons: Mapping[str, str],
) -> SplitGroup:
    if unit not in placed:
        return its
    group, split = placed[unit]
    joined = its.joined if group else (reasons[unit], *its.joined)
    return dataclasses.replace(its, group=group, split=split, joined=joined)
