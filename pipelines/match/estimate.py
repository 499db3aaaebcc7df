"""What `stemlode match` would find, without writing anything. Free of Beam.

Up to MOST_TRACKS tracks are looked at, all of them, and counted as a run counts them. Of a larger
catalogue the artists are sampled by a hash of their ids: the more tracks one has, the likelier, and
those who have most for certain, for they hold the largest keys. What is found is scaled up. An
artist's tracks stay together, and a key belongs to an artist: it is counted whole or not at all.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching import rules
from matching.links import links
from matching.row_hashes import row_hashes
from matching.rules import Rule
from pipelines.catalogue import rejections, tracks
from pipelines.catalogue.aliases import Aliases
from pipelines.catalogue.formats.rows import CataloguePart
from pipelines.catalogue.mapping import ARTIST_IDS, IS_VIDEO
from pipelines.catalogue.reading import Catalogue, RowBatch
from pipelines.match import record
from stemlode.tables import Row

MOST_TRACKS = 2_000_000
MOST_PAIRS = 2_000_000  # that are looked at one by one, where a pair may be found twice
BUCKETS = 1 << 20  # of artists: what is sampled
ONE_ID_OF = 16  # is looked at for repetitions
LISTED = 10
FACTS = pa.schema(
    [
        *(tracks.KEYED.field(name) for name in ("artist_id", "duration_s", ARTIST_IDS, "work_id")),
        *(tracks.KEYED.field(name) for name in ("fuzzy_title", "marker", "other_titles")),
        pa.field("recording_id", pa.string()),
        tracks.KEYED.field(IS_VIDEO),
        pa.field("id_hash", pa.uint64()),
        pa.field("has_audio", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Estimate:
    """What a run would find. Numbers are exact where `share` is 1.

    tracks_read: rows of the catalogue.
    rejects: how many of them are no track, or a track once more.
    candidates: pairs, without those of keys that are left out.
    error: about 95 of 100 estimates are nearer to the truth than this share of the candidates.
    most: how many candidates there may be although none was found (95 of 100 times fewer).
    instrumentals: those with a counterpart: the candidates that --one-to-one would leave.
    tracks, hours: the tracks in the candidates, each counted once, and their durations.
    without_audio: those of them that have no audio_uri.
    largest: the keys with the most candidates (rows of rules.LARGE), largest first.
    left_out: how many keys would give more than --max-key, and `left_out_candidates` so many.
    share: how much of the tracks was looked at.
    notes: what is odd about the catalogue.
    seconds: how long it took.
    """

    tracks_read: int
    rejects: float
    candidates: float
    error: float
    most: float
    instrumentals: float
    tracks: float
    hours: float
    without_audio: float
    largest: list[Row]
    most_per_key: int
    left_out: float
    left_out_candidates: float
    share: float
    notes: list[str]
    seconds: float


def expected(
    catalogue: Catalogue,
    rule: Rule,
    most_per_key: int,
    aliases: Aliases | None = None,
    most_tracks: int = MOST_TRACKS,
) -> Estimate:
    """Read a catalogue once, or twice where it has more than `most_tracks` tracks.

    Raises BadUsage and Failed as reading a catalogue does.
    """
    started = time.monotonic()
    parts = catalogue.parts()
    reading = _Reading(catalogue, rule, aliases)
    weights = np.ones(BUCKETS)
    found = reading.all_of(parts, most_tracks)
    if found is None:
        weights = _weights(reading.sizes, most_tracks)
        found = reading.some_of(parts, weights)
    table = _once(found)
    is_whole = len(found) == reading.good
    repeated = len(found) - len(table) if is_whole else reading.repeated()
    counted = _count(table, rule, most_per_key, weights, reading.sizes)
    totals = reading.totals
    return Estimate(
        tracks_read=totals["tracks_read"],
        rejects=totals["errors"] + repeated,
        most_per_key=most_per_key,
        share=1.0 if is_whole else len(found) / reading.good,
        notes=[
            *rejections.notes(totals["tracks_read"], totals),
            *record.duration_notes(totals, rule),
            *(aliases.notes() if aliases else []),
        ],
        seconds=time.monotonic() - started,
        **counted,
    )


def lines(estimate: Estimate) -> list[str]:
    """An estimate as text for people."""
    e = estimate
    about = "" if e.share == 1 else f" (±{math.ceil(100 * e.error)} %)"
    if e.share < 1 and not e.candidates:
        about = f" in the sample: probably fewer than {e.most:,.0f} in all"
    found = [
        f"{e.candidates:,.0f} candidates{about}",
        f"{e.instrumentals:,.0f} instrumentals with a counterpart (--one-to-one keeps as many "
        "candidates)",
        f"{e.hours:,.1f} hours of audio for prune to read, in {e.tracks:,.0f} tracks, of which "
        f"{e.without_audio:,.0f} have no audio_uri",
        f"{e.rejects:,.0f} rejects among {e.tracks_read:,} rows",
    ]
    if e.left_out:
        found.append(
            f"{e.left_out:,.0f} keys with {e.left_out_candidates:,.0f} pairs are left out, for "
            f"each would give more than {e.most_per_key:,} (--max-key)"
        )
    if e.largest:
        found.append("largest keys:")
    found += [
        f"  {key['candidates']:,} candidates of {key['mixtures']:,} mixtures and "
        f"{key['instrumentals']:,} instrumentals: {key['fuzzy_title']!r} of artist "
        f"{key['artist_id']!r}" + (" (left out)" if key["candidates"] > e.most_per_key else "")
        for key in e.largest
    ]
    looked = (
        "all tracks were looked at"
        if e.share == 1
        else f"{100 * e.share:.1f} % of the tracks were looked at, the largest artists among them"
    )
    return [*found, *e.notes, f"{looked}, in {e.seconds:,.1f} s"]


@dataclass
class _Reading:
    """Reads a catalogue, and counts what it finds on the way.

    sizes: how many tracks the artists of each bucket have, int64 [BUCKETS].
    totals: rows, errors, and the counts of tracks.duration_counts and tracks.error_counts.
    ids: hashes of one id in ONE_ID_OF.
    """

    catalogue: Catalogue
    rule: Rule
    aliases: Aliases | None
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    totals: Counter[str] = field(default_factory=Counter)
    ids: list[np.ndarray] = field(default_factory=list)

    @property
    def good(self) -> int:
        """How many rows are tracks."""
        return self.totals["tracks_read"] - self.totals["errors"]

    def repeated(self) -> float:
        """About how many rows have the id of another."""
        ids = np.concatenate([np.empty(0, np.uint64), *self.ids])
        return float(ONE_ID_OF * (ids.size - np.unique(ids).size))

    def all_of(self, parts: list[CataloguePart], most: int) -> pa.Table | None:
        """All tracks (schema FACTS), or None where there are more than so many."""
        found: list[pa.Table] = []
        for batch in self._batches(parts):
            checked = tracks.check(batch, self.aliases)
            self.totals["tracks_read"] += len(batch) + len(batch.rows.broken)
            self.totals["errors"] += len(batch) - len(checked.good) + len(batch.rows.broken)
            self.totals.update(dict(tracks.duration_counts(checked)))
            self.totals.update(dict(tracks.error_counts(batch, checked)))
            buckets, _ = _buckets(batch, checked, self.rule)
            self.sizes += np.bincount(buckets, minlength=BUCKETS)
            ids = row_hashes(checked.track_id.take(pa.array(checked.good, pa.int64())))
            self.ids.append(ids[ids % np.uint64(ONE_ID_OF) == 0])
            if self.good <= most:
                found.append(_facts(batch, checked, self.rule, checked.good))
            else:
                found.clear()
        return pa.concat_tables([FACTS.empty_table(), *found]) if self.good <= most else None

    def some_of(self, parts: list[CataloguePart], weights: np.ndarray) -> pa.Table:
        """Those tracks (schema FACTS) that have an artist in a bucket with a weight."""
        found = [FACTS.empty_table()]
        for batch in self._batches(parts):
            checked = tracks.check(batch, self.aliases)
            buckets, places = _buckets(batch, checked, self.rule)
            wanted = np.unique(places[weights[buckets] > 0])
            found.append(_facts(batch, checked, self.rule, checked.good[wanted]))
        return pa.concat_tables(found)

    def _batches(self, parts: list[CataloguePart]) -> Iterator[RowBatch]:
        columns = dict.fromkeys((*tracks.needed(self.rule), "audio_uri"))
        for part in parts:
            yield from self.catalogue.batches(part, tuple(columns))


def _buckets(batch: RowBatch, checked: tracks.Tracks, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of each artist of each good row, and the row's place among the good ones."""
    good = pa.array(checked.good, pa.int64())
    artists = checked.artist_id.take(good)
    places = np.arange(len(good))
    if rule.is_extended:
        lists = tracks.artist_lists(batch, rule, good)
        parents = pc.list_parent_indices(lists)
        listed = pc.list_flatten(lists)
        is_there = pc.fill_null(pc.not_equal(listed, ""), False)
        artists = pa.concat_arrays([artists, listed.filter(is_there)])
        places = np.concatenate([places, parents.filter(is_there).to_numpy()])
    return _bucket_of(artists), places


def _bucket_of(artists: pa.StringArray) -> np.ndarray:
    return (row_hashes(artists) % np.uint64(BUCKETS)).astype(np.int64)


def _facts(batch: RowBatch, checked: tracks.Tracks, rule: Rule, rows: np.ndarray) -> pa.Table:
    """What is kept of some good rows (schema FACTS)."""
    keyed = tracks.keyed(batch, checked, rule, rows)
    chosen = pa.array(rows, pa.int64())
    recordings = pa.nulls(len(rows), pa.string())
    if rule.is_extended:
        recordings = batch.text("recording_id", chosen, strict=False)
    further = {
        "recording_id": recordings,
        "id_hash": pa.array(row_hashes(keyed["track_id"].combine_chunks())),
        "has_audio": batch.text("audio_uri", chosen, strict=False).is_valid(),
    }
    own = {name: keyed[name] for name in FACTS.names if name in tracks.KEYED.names}
    return pa.table({**own, **further}).select(FACTS.names).cast(FACTS)


def _weights(sizes: np.ndarray, most: int) -> np.ndarray:
    """For how many tracks one in each bucket stands, 0 for buckets that are not looked at.

    About `most` tracks are looked at. The chance of a bucket grows with the root of its size, which
    is the best for counts that grow with the size, where the work does too.
    """
    roots = np.sqrt(sizes)
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        too_many = np.minimum(1, share * roots) @ sizes > most
        low, high = (low, share) if too_many else (share, high)
    chance = np.minimum(1, low * roots)
    numbers = np.arange(BUCKETS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    chosen = numbers / 2.0**64 < chance
    weights = np.zeros(BUCKETS)
    weights[chosen] = 1 / chance[chosen]
    # Their tracks, scaled up, are to be as many as there are.
    light = weights > 1
    scale = sizes[chance < 1].sum() / max(1.0, weights[light] @ sizes[light])
    weights[light] = np.maximum(1, weights[light] * scale)
    return weights


def _error(found: np.ndarray, sizes: np.ndarray, weights: np.ndarray) -> float:
    """Two standard errors of the sum of what was found in each bucket, scaled up already."""
    light = weights > 1
    ratio = found[light].sum() / max(1.0, weights[light] @ sizes[light])
    beyond = found[light] - ratio * weights[light] * sizes[light]
    return 2 * math.sqrt(((1 - 1 / weights[light]) * beyond**2).sum())


def _once(table: pa.Table) -> pa.Table:
    """A row of each id, the first."""
    rows = np.unique(table["id_hash"].to_numpy(), return_index=True)[1]
    return table.take(pa.array(np.sort(rows)))


def _count(
    table: pa.Table, rule: Rule, most_per_key: int, weights: np.ndarray, sizes: np.ndarray
) -> dict[str, Any]:
    """The counts of an Estimate from its tracks (schema FACTS, each id once)."""
    linked, rows = _linked(table, rule)
    buckets = _bucket_of(linked["artist_id"].combine_chunks())
    weight = weights[buckets]
    reach = rules.reach(linked, rule)
    per_key = reach.per_key()
    key_weight = np.zeros(per_key.size)
    key_weight[reach.keys] = weight[reach.instrumentals]
    left_out = per_key > most_per_key

    share, has = _found_once(table, linked, rows, reach, left_out, rule, weight)
    pairs = np.where(left_out[reach.keys], 0, reach.counts) * weight[reach.instrumentals] * share
    candidates = float(pairs.sum())
    by_bucket = np.bincount(buckets[reach.instrumentals], pairs, BUCKETS)

    times = np.bincount(rows[has], minlength=len(table))
    stands_for = np.bincount(rows[has], weight[has] / times[rows[has]], len(table))
    largest = reach.key_table(linked, (per_key > 0) & (key_weight > 0)).sort_by(
        [("candidates", "descending"), ("artist_id", "ascending"), ("fuzzy_title", "ascending")]
    )
    return {
        "candidates": candidates,
        "error": _error(by_bucket, sizes, weights) / max(1.0, candidates),
        "most": 3 * float(weights.max()),  # e^-3 is one in twenty
        "instrumentals": float(stands_for[np.asarray(table["marker"].is_valid())].sum()),
        "tracks": float(stands_for.sum()),
        "hours": float(stands_for @ table["duration_s"].to_numpy()) / 3600,
        "without_audio": float(stands_for[~np.asarray(table["has_audio"], bool)].sum()),
        "largest": largest.slice(0, LISTED).to_pylist(),
        "left_out": float(key_weight[left_out].sum()),
        "left_out_candidates": float((per_key * key_weight)[left_out].sum()),
    }


def _linked(table: pa.Table, rule: Rule) -> tuple[pa.Table, np.ndarray]:
    """What `rules.reach` reads, a row for each key of a track that some instrumental has too.

    With it the row of the track (int64).
    """
    rows, artists, keys = links(table, rule)
    hashes = row_hashes(artists, keys)
    is_marked = np.asarray(table["marker"].is_valid())[rows]
    wanted = np.isin(hashes, hashes[is_marked])
    rows, kept = rows[wanted], pa.array(wanted)
    some = table.select(["marker", "duration_s"]).take(pa.array(rows))
    names = ["artist_id", "fuzzy_title", *some.schema.names]
    return pa.table([artists.filter(kept), keys.filter(kept), *some.columns], names), rows


def _found_once(
    table: pa.Table,
    linked: pa.Table,
    rows: np.ndarray,
    reach: rules.Reach,
    left_out: np.ndarray,
    rule: Rule,
    weight: np.ndarray,
) -> tuple[float, np.ndarray]:
    """The share of what is found under keys that is a new candidate; the linked rows with any.

    Two tracks may share several keys, and recordings of one id are no candidates, nor are a video
    and what is none. Where there are too many pairs to look at, those of some keys stand for all.
    """
    has = _covered(len(linked), reach, left_out)
    if not rule.is_extended and not pc.any(table[IS_VIDEO]).as_py():
        return 1.0, has
    chosen = ~left_out & (np.cumsum(np.where(left_out, 0, reach.per_key())) <= MOST_PAIRS)
    mixtures, instrumentals = reach.pairs(chosen)
    recordings = table["recording_id"].combine_chunks()
    ours, theirs = (recordings.take(pa.array(rows[some])) for some in (mixtures, instrumentals))
    is_video = np.asarray(table[IS_VIDEO])[rows]
    differ = ~np.asarray(pc.fill_null(pc.equal(ours, theirs), False), bool)
    differ &= is_video[mixtures] == is_video[instrumentals]
    if chosen.sum() + left_out.sum() == chosen.size:
        has = np.zeros(len(linked), bool)
        has[mixtures[differ]] = has[instrumentals[differ]] = True
    new = differ / _shared_keys(rows, reach, left_out, mixtures, instrumentals)
    total = weight[instrumentals].sum()
    return (float(new @ weight[instrumentals]) / total if total else 1.0), has


def _covered(size: int, reach: rules.Reach, left_out: np.ndarray) -> np.ndarray:
    """The linked rows that have a counterpart under a key that stays, bool [size]."""
    has = np.zeros(size, bool)
    stays = (reach.counts > 0) & ~left_out[reach.keys]
    has[reach.instrumentals[stays]] = True
    steps = np.zeros(reach.mixtures.size + 1, np.int64)
    np.add.at(steps, reach.first[stays], 1)
    np.add.at(steps, (reach.first + reach.counts)[stays], -1)
    has[reach.mixtures[np.cumsum(steps[:-1]) > 0]] = True
    return has


def _shared_keys(
    rows: np.ndarray,
    reach: rules.Reach,
    left_out: np.ndarray,
    mixtures: np.ndarray,
    instrumentals: np.ndarray,
) -> np.ndarray:
    """How many keys that stay the tracks of each pair (of linked rows) share, int64 [pairs]."""
    keys = np.full(rows.size, -1)
    keys[reach.mixtures], keys[reach.instrumentals] = reach.mixture_keys, reach.keys
    usable = np.flatnonzero((keys >= 0) & ~np.append(left_out, True)[keys])
    held = np.unique(rows[usable] * left_out.size + keys[usable])
    # The keys of each pair's instrumental, and which of them its mixture has too; rows ascend.
    track = rows[instrumentals]
    first, end = (np.searchsorted(rows[usable], track, side) for side in ("left", "right"))
    pair = np.repeat(np.arange(track.size), end - first)
    within = np.arange(pair.size) - np.repeat(np.cumsum(end - first) - (end - first), end - first)
    key = keys[usable[first[pair] + within]]
    both = np.isin(rows[mixtures][pair] * left_out.size + key, held)
    return np.bincount(pair[both], minlength=track.size)
