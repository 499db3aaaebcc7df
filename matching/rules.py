"""Which rows of a table of tracks are a mixture and its instrumental: thesis eq. 3.4."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclasses.dataclass(frozen=True)
class Rule:
    """What makes two tracks a pair, beside one artist and one fuzzy title.

    tolerance_s: the durations differ by less than this, in seconds.
    """

    name: str
    tolerance_s: float


THESIS = Rule("thesis", tolerance_s=1.0)
EXTENDED = Rule("extended", tolerance_s=5.0)  # of titles as matching.extended parses them
RULES = {rule.name: rule for rule in (THESIS,)}


def pairs(tracks: pa.Table, rule: Rule = THESIS) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the mixtures and rows of their instrumentals, int64 [pairs] each.

    `tracks` has the columns artist_id, fuzzy_title, marker (null for a mixture) and duration_s.
    A pair shares artist_id and fuzzy_title, neither null nor empty, and
    |duration(mixture) - duration(instrumental)| < tolerance in float64; NaN never is. Pairs come
    in ascending order of rows. Time grows with rows and pairs, not with the square of a key's size.
    """
    mixtures, instrumentals = _roles(tracks)
    keys = _key_codes(tracks, np.concatenate([mixtures, instrumentals]))
    durations = tracks["duration_s"].to_numpy()

    ranks, lows, highs = _duration_ranks(durations[mixtures], durations[instrumentals], rule)
    mixture_places = keys[: mixtures.size] * (mixtures.size + 1) + ranks
    key_starts = keys[mixtures.size :] * (mixtures.size + 1)
    order = np.argsort(mixture_places)
    first = np.searchsorted(mixture_places, key_starts + lows, sorter=order)
    counts = np.searchsorted(mixture_places, key_starts + highs, sorter=order) - first

    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    mixture = mixtures[order[np.repeat(first, counts) + within]]
    instrumental = np.repeat(instrumentals, counts)
    with np.errstate(invalid="ignore"):  # infinite durations: inf - inf
        close = np.abs(durations[mixture] - durations[instrumental]) < rule.tolerance_s
    mixture, instrumental = mixture[close], instrumental[close]
    ascending = np.lexsort((instrumental, mixture))
    return mixture[ascending], instrumental[ascending]


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

    The bounds (from, to; to excluded) are a float further out than the tolerance, so that no pair
    is lost by rounding; `pairs` confirms each by eq. 3.4 itself.
    """
    values = np.unique(mixtures)
    lows = np.nextafter(instrumentals - rule.tolerance_s, -np.inf)
    highs = np.nextafter(instrumentals + rule.tolerance_s, np.inf)
    return (
        np.searchsorted(values, mixtures),
        np.searchsorted(values, lows, side="left"),
        np.searchsorted(values, highs, side="right"),
    )
