"""Which rows of a table of tracks are a mixture and its instrumental: thesis eq. 3.4."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching import extended
from matching.titles import fuzzy_batch, marker_batch

LONG_S = 10_000.0  # beyond, a duration is rather one in milliseconds: 10 s, or 2.8 hours
LARGE = pa.schema(
    [
        ("artist_id", pa.string()),
        ("fuzzy_title", pa.string()),
        ("mixtures", pa.int64()),
        ("instrumentals", pa.int64()),
        ("candidates", pa.int64()),
    ]
)


MOST_WORDS = 50  # unknown ones that are named


@dataclasses.dataclass(frozen=True)
class Rule:
    """What makes two tracks a pair.

    name: which titles are versions of one song, "thesis" or "extended".
    tolerance_s: the durations differ by less than this, in seconds.
    covers: also titles that say that they record another artist's song (the extended rule).
    artist_names: artists are one where their names are, whatever their ids (the extended rule).
    version: goes up whenever the rule reads a title otherwise than before.
    """

    name: str
    tolerance_s: float
    covers: bool = False
    artist_names: bool = False
    version: int = 1

    @property
    def is_extended(self) -> bool:
        """Titles as `matching.extended` parses them, and pairs through `matching.links`."""
        return self.name == EXTENDED.name


THESIS = Rule("thesis", tolerance_s=1.0)
EXTENDED = Rule("extended", tolerance_s=5.0, version=2)
RULES = {rule.name: rule for rule in (THESIS, EXTENDED)}


def read_titles(
    titles: pa.Array, albums: pa.Array, rule: Rule
) -> tuple[pa.StringArray, pa.StringArray, pa.StringArray]:
    """The fuzzy titles, empty for those that match nothing, the markers, null for mixtures, and
    the further fuzzy titles (`extended.parse_batch`), null where there are none.

    Only the extended rule looks at albums and has further titles.
    """
    if not rule.is_extended:
        return fuzzy_batch(titles), marker_batch(titles), pa.nulls(len(titles), pa.string())
    parsed = extended.parse_batch(titles, albums, rule.covers)
    fuzzy, marker, others = (
        parsed[name].combine_chunks() for name in ("fuzzy_title", "marker", "others")
    )
    return fuzzy, marker, others


def song_key(fuzzy_title: str) -> str:
    """A fuzzy title without the extended rule's descriptors of the version."""
    return fuzzy_title.partition("|")[0]


def pairs(tracks: pa.Table, rule: Rule = THESIS) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the mixtures and rows of their instrumentals, int64 [pairs] each.

    `tracks` has the columns artist_id, fuzzy_title, marker (null for a mixture) and duration_s.
    A pair shares artist_id and fuzzy_title, neither null nor empty, and
    |duration(mixture) - duration(instrumental)| < tolerance in float64; NaN never is. Pairs come
    in ascending order of rows. Time grows with rows and pairs, not with the square of a key's size.
    """
    return sweep(tracks, rule)[:2]


def sweep(
    tracks: pa.Table, rule: Rule, most_per_key: int | None = None
) -> tuple[np.ndarray, np.ndarray, pa.Table]:
    """`pairs`, but for the keys that would give more than so many; these keys (schema LARGE).

    Pairs are counted before they are made, so a key that is left out costs no memory.
    """
    found = reach(tracks, rule)
    left_out = found.per_key() > (np.inf if most_per_key is None else most_per_key)
    large = found.key_table(tracks, left_out)
    mixture, instrumental = found.pairs(~left_out)
    ascending = np.lexsort((instrumental, mixture))
    return mixture[ascending], instrumental[ascending], large


@dataclasses.dataclass(frozen=True)
class Reach:
    """Which mixtures each instrumental pairs with, without the pairs made.

    mixtures: rows of those of the keys that hold an instrumental, by key and duration.
    mixture_keys: the number of the key of each.
    instrumentals: rows.
    keys: the number of the key of each.
    first: where in `mixtures` those that it pairs with begin.
    counts: how many they are.
    """

    mixtures: np.ndarray
    mixture_keys: np.ndarray
    instrumentals: np.ndarray
    keys: np.ndarray
    first: np.ndarray
    counts: np.ndarray

    def per_key(self) -> np.ndarray:
        """How many pairs each key gives, int64 [keys]."""
        size = max(np.max(self.keys, initial=-1), np.max(self.mixture_keys, initial=-1)) + 1
        return np.bincount(self.keys, self.counts, minlength=size).astype(np.int64)

    def pairs(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of some keys (bool [keys]): rows of mixtures, rows of instrumentals."""
        counts = np.where(chosen[self.keys], self.counts, 0)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        mixtures = self.mixtures[np.repeat(self.first, counts) + within]
        return mixtures, np.repeat(self.instrumentals, counts)

    def key_table(self, tracks: pa.Table, chosen: np.ndarray) -> pa.Table:
        """Some keys (bool [keys]) that hold an instrumental, as a table with the schema LARGE."""
        keys, places = np.unique(self.keys, return_index=True)
        places, keys = places[chosen[keys]], keys[chosen[keys]]
        rows = pa.array(self.instrumentals[places], pa.int64())
        columns = [tracks[name].take(rows) for name in LARGE.names[:2]]
        sizes = [
            np.bincount(some, minlength=chosen.size)[keys]
            for some in (self.mixture_keys, self.keys)
        ]
        return pa.table([*columns, *sizes, self.per_key()[keys]], LARGE.names).cast(LARGE)


def reach(tracks: pa.Table, rule: Rule) -> Reach:
    """What pairs with what, of a table as for `pairs`; time grows with its rows alone."""
    mixtures, instrumentals = _roles(tracks)
    keys = _key_codes(tracks, np.concatenate([mixtures, instrumentals]))
    mixture_keys, instrumental_keys = np.split(keys, [mixtures.size])
    durations = tracks["duration_s"].to_numpy()
    ranks, lows, highs = _duration_ranks(durations[mixtures], durations[instrumentals], rule)
    mixture_places = mixture_keys * (mixtures.size + 1) + ranks
    key_starts = instrumental_keys * (mixtures.size + 1)
    order = np.argsort(mixture_places)
    first = np.searchsorted(mixture_places, key_starts + lows, sorter=order)
    counts = np.searchsorted(mixture_places, key_starts + highs, sorter=order) - first
    return Reach(
        mixtures[order], mixture_keys[order], instrumentals, instrumental_keys, first, counts
    )


def _roles(tracks: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows that may be mixtures, and rows that are instrumentals, of artists and titles of both."""
    artist, title = tracks["artist_id"], tracks["fuzzy_title"]
    keyed = pc.and_(pc.fill_null(pc.not_equal(title, ""), False), pc.is_valid(artist))
    marked = pc.is_valid(tracks["marker"])
    instrumental = pc.and_(keyed, marked)
    mixture = pc.and_(keyed, pc.invert(marked))
    for column in (title, artist):
        wanted = pc.unique(column.filter(instrumental))
        mixture = pc.and_(mixture, pc.is_in(column, value_set=wanted))
    return np.flatnonzero(mixture), np.flatnonzero(instrumental)


def _key_codes(tracks: pa.Table, rows: np.ndarray) -> np.ndarray:
    """One number for each row's (artist_id, fuzzy_title), int64 [rows]."""
    artist, title = (
        pc.dictionary_encode(tracks[name].take(pa.array(rows)).combine_chunks())
        for name in ("artist_id", "fuzzy_title")
    )
    keys = artist.indices.to_numpy().astype(np.int64) * len(title.dictionary) + title.indices
    return np.unique(keys, return_inverse=True)[1]


def _duration_ranks(
    mixtures: np.ndarray, instrumentals: np.ndarray, rule: Rule
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each mixture's rank by duration, and for each instrumental the ranks its mixtures lie in.

    The bounds (from, to; to excluded) are first sought a float further out than the tolerance, so
    that no pair is lost by rounding, and then moved in until the difference itself is below it.
    """
    values, tolerance = np.unique(mixtures), rule.tolerance_s
    with np.errstate(invalid="ignore", over="ignore"):  # infinite durations: inf - inf
        lowest = np.nextafter(instrumentals - tolerance, -np.inf)
        highest = np.nextafter(instrumentals + tolerance, np.inf)
        lows = np.searchsorted(values, lowest, side="left")
        highs = np.searchsorted(values, highest, side="right")
        while (out := np.flatnonzero(lows < highs)).size:
            far = out[~(values[lows[out]] - instrumentals[out] > -tolerance)]
            if not far.size:
                break
            lows[far] += 1
        while (out := np.flatnonzero(lows < highs)).size:
            far = out[~(values[highs[out] - 1] - instrumentals[out] < tolerance)]
            if not far.size:
                break
            highs[far] -= 1
    return np.searchsorted(values, mixtures), lows, np.maximum(lows, highs)
