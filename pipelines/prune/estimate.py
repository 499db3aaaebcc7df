"""What listening to all candidates would cost, from listening to a few of them. Free of Beam.

Only what is counted of a candidate is held, so that millions can be looked at.
"""

import heapq
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipelines import estimates
from pipelines.estimates import Prices, as_hours, as_span, wilson
from pipelines.prune.scoring import ROLES, Heard, Listener, Row, groups
from stemlode import tables

SAMPLE = 8  # songs that are listened to
PAIRS_OF_A_SONG = 4  # of these
WORKERS = (1, 10, 100)
ROUND = 20_000  # pairs to compare catalogues by: as many as the thesis kept
_COLUMNS = (
    "pair_id",
    "song_id",
    *(f"{role}_{name}" for role in ROLES for name in ("track_id", "audio_uri")),
    *(f"{role}.duration_s" for role in ROLES),
)


@dataclass
class Work:
    """What candidates ask for; a track that several groups use is decoded in each of them."""

    pairs: int = 0
    songs: int = 0
    tracks: int = 0
    decodes: int = 0
    seconds: float = 0.0  # of audio to decode, as far as the catalogue states lengths
    unstated: int = 0  # decodes of tracks whose length it does not state
    sample: list[list[Row]] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """Measured on the sample: processor seconds, of decoding and in all."""

    pairs: int
    unreadable: int
    audio_s: float
    decode_s: float
    cpu_s: float
    repaired: dict[str, int]  # pairs by what was mended
    repaired_s: dict[str, float]  # seconds of their mixtures that match


def rows(folder: str) -> Iterator[Row]:
    """A folder's candidates, with no more than an estimate needs of each."""
    for path in tables.parts(folder, "candidates"):
        for batch in tables.read_part(path, _COLUMNS).to_batches():
            yield from batch.to_pylist()


def work_of(candidates: Iterable[Row], pairs_per_part: int) -> Work:
    """Counts, and a sample of songs: those with the least ids, which are hashes."""
    songs: dict[str, list[Row]] = {}
    for row in candidates:
        songs.setdefault(row["song_id"], []).append(row)
    found = Work(songs=len(songs))
    tracks: set[str] = set()
    for song in songs.values():
        found.pairs += len(song)
        for group in groups(song, pairs_per_part):
            lengths = {row[f"{r}_track_id"]: row[r]["duration_s"] for row in group for r in ROLES}
            stated = [s for s in lengths.values() if s is not None and 0 < s < math.inf]
            found.decodes += len(lengths)
            found.seconds += math.fsum(stated)
            found.unstated += len(lengths) - len(stated)
            tracks.update(lengths)
    found.tracks = len(tracks)
    least = heapq.nsmallest(SAMPLE, songs)
    found.sample = [groups(songs[song_id], PAIRS_OF_A_SONG)[0] for song_id in least]
    return found


def measured(sample: Iterable[list[Row]], listener: Listener) -> Cost:
    """Listen to some songs. Processor time, so that a busy machine does not make it more."""
    heard = Heard()
    begun = time.process_time()
    try:
        for song in sample:
            heard.add(listener.hear(song))
    finally:
        listener.close()
    decode_s = listener.decoder_cpu_s
    cpu_s = time.process_time() - begun + decode_s
    repaired: Counter[str] = Counter()
    repaired_s: dict[str, float] = defaultdict(float)
    for pair_id, measures in heard.measures.items():
        repairs = [*filter(None, (measures.get("repaired") or "").split("+"))]
        share = (measures.get("matched_share") or 0.0) if "parts" in repairs else 1.0
        for repair in repairs:
            repaired[repair] += 1
            repaired_s[repair] += share * heard.seconds.get(pair_id, 0.0)
    found = (len(heard.measures), len(heard.unreadable), heard.decoded_s, decode_s, cpu_s)
    return Cost(*found, dict(sorted(repaired.items())), dict(repaired_s))


def lines(
    candidates: Iterable[Row],
    listener: Listener,
    pairs_per_part: int,
    prices: Prices | None = None,
) -> list[str]:
    """What `prune --estimate` prints."""
    work = work_of(candidates, pairs_per_part)
    said = [
        f"{work.pairs:,} candidates in {work.songs:,} songs; "
        f"{work.tracks:,} tracks, to be decoded {work.decodes:,} times"
    ]
    cost = measured(work.sample, listener)
    if not cost.audio_s:
        why = "none of the sample can be read" if work.sample else "nothing to listen to"
        return [*said, f"no estimate of the time: {why}"]
    stated = work.decodes - work.unstated
    each = work.seconds / stated if stated else cost.audio_s / _tracks(work.sample)
    audio_s = work.seconds + work.unstated * each
    hours = audio_s / 3600 * cost.cpu_s / cost.audio_s
    guess = f" ({work.unstated:,} lengths are guessed)" if work.unstated else ""
    said += [
        f"{audio_s / 3600:,.1f} hours of audio to decode{guess}",
        f"listened to {cost.pairs} pairs here, {cost.audio_s:,.0f} s of audio: "
        f"{cost.audio_s / cost.cpu_s:,.0f} audio s a core second, "
        f"{100 * cost.decode_s / cost.cpu_s:.0f} % of it decoding",
        f"about {as_hours(hours)} core-hours ({as_hours(hours * ROUND / work.pairs)} for "
        f"{ROUND:,} such pairs)",
        *(f"  {as_span(hours / n):>10} with {n} worker{'s' * (n > 1)} of a core" for n in WORKERS),
    ]
    if prices is not None:
        said.append(estimates.cost(hours, 0.0, 0.0, 0.0, prices))
    said += [
        f"  {_share(count, cost.pairs)} of the pairs need mending: {repair}, about "
        f"{cost.repaired_s[repair] / cost.pairs * work.pairs / 3600:,.2f} hours"
        for repair, count in cost.repaired.items()
    ]
    if not cost.repaired and cost.pairs:
        said.append(f"  {_share(0, cost.pairs)} of the pairs need mending")
    if cost.unreadable:
        said.append(f"note: {cost.unreadable} tracks of the sample cannot be read")
    return said


def _tracks(sample: Iterable[list[Row]]) -> int:
    return sum(len({row[f"{r}_track_id"] for row in song for r in ROLES}) for song in sample)


def _share(count: int, pairs: int) -> str:
    """A share with its 95 % interval, of a sample of pairs."""
    low, high = wilson(count / pairs, pairs)
    return f"{100 * count / pairs:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"
