"""The songs of a corpus that have true stems, and the stretches of them that it covers."""

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa

from stemlode import tables
from stemlode.layouts.grouping import GROUPINGS, family, is_several
from stemlode.runs import BadUsage
from stemlode.shards import songs
from stemlode.tables import Row

MIXTURE, ACCOMPANIMENT = "mixture", "accompaniment"
WITH_STEMS = ("stems", "pair")  # kinds of recordings whose stems are true
SILENCE, SPLIT = "silence", "split"  # what becomes of gaps
Sums = dict[str, tuple[str, ...]]  # a stem that is written → the corpus' sources that it is


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A song, or a part of one, that becomes a folder.

    Attributes:
        name: of the song, as the corpus has it.
        recording_id: of the song, as in `songs`.
        rows: of the index, in order; where none covers a time between them, it is silent.
        sums: what each stem is made of.
        split: train, valid or test.
    """

    name: str
    recording_id: str
    rows: list[Row]
    sums: Sums
    split: str

    @property
    def start_s(self) -> float:
        """Where in the song it begins."""
        return self.rows[0]["start_s"]

    @property
    def rate(self) -> int:
        """In Hz."""
        return self.rows[0]["sample_rate"]

    @property
    def frames(self) -> int:
        """Its length."""
        return _end(self.rows[-1]) - _frame(self.rows[0], self.start_s)

    @property
    def silent_s(self) -> float:
        """How much of it no chunk covers."""
        return self.frames / self.rate - sum(row["duration_s"] for row in self.rows)

    @property
    def gain(self) -> float:
        """What it is multiplied by: below 1, a power of two, where it exceeds full scale."""
        return 1.0 / max(1.0, *(row["scale"] for row in self.rows))


@dataclasses.dataclass
class Songs:
    """The index of a corpus, by recording."""

    corpus: str
    index: pa.Table
    at: dict[str, list[int]]  # the rows of each recording that has true stems, by its id
    names: dict[str, str]
    others: int  # recordings without true stems

    def stretches(self, sources: str, gaps: str) -> Iterator[Stretch | tuple[str, str, str]]:
        """What becomes a folder, in the order of names; or a song's name and id, and why it
        becomes none.

        Args:
            sources: a name of GROUPINGS.
            gaps: SILENCE or SPLIT.

        BadUsage where the songs differ in their own stems.
        """
        own = self._own() if sources == "own" else None
        for key in sorted(self.at, key=lambda key: (self.names[key], key)):
            rows = self.index.take(self.at[key]).to_pylist(maps_as_pydicts="strict")
            rows.sort(key=lambda row: (row["start_s"], row["sample_id"]))
            try:
                usable, sums = usable_rows(rows, sources, own)
            except ValueError as error:
                yield self.names[key], key, str(error)
                continue
            for part in _parts(usable) if gaps == SPLIT else [usable]:
                yield Stretch(self.names[key], key, part, sums, part[0]["split"])

    def _own(self) -> frozenset[str]:
        """The stems that all songs have of their own, as they are in most chunks of each."""
        found: Counter[frozenset[str]] = Counter()
        held = self.index["sources"]
        for rows in self.at.values():
            leaves = {frozenset(_leaves(held[row].as_py())) for row in rows}
            found[max(leaves, key=lambda names: (len(names), sorted(names)))] += 1
        if len(found) > 1:
            most = [f"{', '.join(sorted(names))} ({n:,})" for names, n in found.most_common(3)]
            raise BadUsage(
                f"--sources own: the songs of {self.corpus} have different stems: "
                f"{'; '.join(most)}; sum them up with --sources two or four"
            )
        return next(iter(found), frozenset())


def of_corpus(corpus: str) -> Songs:
    """The songs of a corpus by its folder; raises as `shards.songs.tables`."""
    names: dict[str, str] = {}
    recordings: dict[str, list[str]] = defaultdict(list)
    for path in songs.tables(corpus, "songs"):
        for row in tables.read_part(path, ["recording_id", "song_id", "name"]).to_pylist():
            names[row["recording_id"]] = row["name"] or row["recording_id"]
            recordings[row["song_id"]].append(row["recording_id"])
    parts = [tables.read_part(path, songs.COLUMNS) for path in songs.tables(corpus, "index")]
    index = pa.concat_tables(parts).combine_chunks()
    at: dict[str, list[int]] = defaultdict(list)
    others, number = set(), 0
    for batch in index.to_batches(max_chunksize=1024):
        for row in batch.to_pylist(maps_as_pydicts="strict"):
            key = songs.song_of(row, recordings)
            if row["kind"] in WITH_STEMS and not row["augmentation"]:
                at[key].append(number)
                names.setdefault(key, key)
            else:
                others.add(key)
            number += 1
    return Songs(corpus, index, dict(at), names, len(others - {*at}))


def usable_rows(
    rows: Sequence[Row], sources: str, own: frozenset[str] | None
) -> tuple[list[Row], Sums]:
    """The chunks of a song that have all that its stems are made of, and what that is. ValueError
    says what it lacks."""
    if len({row["sample_rate"] for row in rows}) > 1:
        raise ValueError("its chunks have several sample rates")
    if len({row["channels"] for row in rows}) > 1:
        raise ValueError("its chunks have several numbers of channels")
    leaves = max((_leaves(row["sources"]) for row in rows), key=lambda names: (len(names), names))
    if own is not None:
        sums: Sums = {name: (name,) for name in sorted(own)}
    else:
        sums = _summed(leaves, sources)
    needed = {name for names in sums.values() for name in names}
    usable = [row for row in rows if needed <= {*row["sources"]}]
    if not usable:
        lacks = sorted(needed - {name for row in rows for name in row["sources"]})
        raise ValueError(f"no chunk of it has {', '.join(lacks or sorted(needed))}")
    for before, after in itertools.pairwise(usable):
        if _end(before) > _frame(after, after["start_s"]):
            raise ValueError(f"two chunks lie at {after['start_s']:g} s of it")
    return usable, sums


def _summed(leaves: Sequence[str], sources: str) -> Sums:
    """What the stems of a grouping are made of."""
    sums: dict[str, list[str]] = {name: [] for name in GROUPINGS[sources]}
    for leaf in leaves:
        if leaf == ACCOMPANIMENT:
            if ACCOMPANIMENT not in sums:
                raise ValueError(f"it has one accompaniment, not {sources} sources")
            to = leaf
        elif sources != "two" and is_several(leaf, sources):
            raise ValueError(f"its {leaf} is a sum of several sources")
        else:
            to = family(leaf)
            to = to if to in sums else (ACCOMPANIMENT if sources == "two" else "other")
        sums[to].append(leaf)
    if missing := [name for name, parts in sums.items() if not parts and name == "vocals"]:
        raise ValueError(f"it has no {missing[0]}")
    return {name: tuple(parts) for name, parts in sums.items()}


def _leaves(sources: Sequence[str]) -> list[str]:
    """The sources that are no sum of others."""
    found = sorted({*sources} - {MIXTURE})
    others = [name for name in found if name not in ("vocals", ACCOMPANIMENT)]
    return [name for name in found if name != ACCOMPANIMENT] if others else found


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    """A song's chunks, in runs without a gap."""
    found: list[list[Row]] = [[rows[0]]]
    for row in rows[1:]:
        if _end(found[-1][-1]) == _frame(row, row["start_s"]):
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _frame(row: Row, seconds: float) -> int:
    return round(seconds * row["sample_rate"])


def _end(row: Row) -> int:
    return _frame(row, row["start_s"]) + round(row["duration_s"] * row["sample_rate"])
