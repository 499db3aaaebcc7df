"""Which pairs of a scored table somebody listens to: a seeded sample, drawn from the table alone.

The thesis judges "a random sample of 100 pairs" (section 3.5.2). Pairs are taken in the order of a
hash of seed and pair id, so the first n of a larger sample are the sample of n, and whatever has
been judged so far is a random sample as well. Stratified, the bins of the difference take turns.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from matching.sound import decisions
from matching.sound.decisions import Thresholds
from matching.sound.repairs.clock import Part
from matching.sound.scores import Scores
from pipelines.pages import excerpts
from pipelines.pages.inputs import Folder, real
from stemlode import runs
from stemlode.addresses.rules import Address, Rules
from stemlode.ids import digest
from stemlode.runs import BadUsage

EDGES = tuple(round(0.1 * i, 1) for i in range(11))  # of strata; the last bin is open
DECIDING = (  # what other criteria than the window read
    "difference",
    "alignment_confidence",
    "asymmetry",
    "drift_ppm",
    "matched_share",
    "bass_correlation",
    "rest_share",
    "surplus_spread",
)
COLUMNS = (
    "pair_id",
    "difference",
    "decision",
    "reason",
    "asymmetry",
    "offset_s",
    "gain_db",
    "polarity",
    "drift_ppm",
    "alignment_confidence",
    "coherent",
    "matched_spans",
    "clock",
    "mix_audio_uri",
    "instrumental_audio_uri",
    "mix.title",
    "mix.artist",
    "mix.duration_s",
    "instrumental.title",
    "instrumental.artist",
    "instrumental.duration_s",
)


@dataclass(frozen=True)
class Track:
    """One of the two recordings of a pair, as the catalogue knows it."""

    title: str
    artist: str
    duration_s: float | None
    uri: str | None


@dataclass(frozen=True)
class SampledPair:
    """A scored pair, and its stratum. Names and units as in schemas.SCORED_PAIR.

    `reachable` tells whether some thresholds keep it; others are dropped by another criterion.
    """

    pair_id: str
    stratum: int
    reachable: bool
    mix: Track
    instrumental: Track
    decision: str
    reason: str
    difference: float
    asymmetry: float | None
    offset_s: float
    gain_db: float
    polarity: int
    drift_ppm: float | None
    alignment_confidence: float | None
    coherent: bool | None
    matched_spans: tuple[tuple[float, float], ...]
    clock: tuple[Part, ...] = ()


@dataclass(frozen=True, eq=False)
class PairSample:
    """The pairs to judge, in order, and what they are a sample of.

    `sizes` maps a stratum to how many pairs of the table it holds; `difference` and `reachable` are
    [readable pairs of the table]; `unreadable` counts those that cannot be heard; `limits` are the
    criteria beside the window with which prune was run.
    """

    pairs: list[SampledPair]
    sizes: dict[int, int]
    difference: np.ndarray
    reachable: np.ndarray
    unreadable: int
    limits: Thresholds

    def facts(self) -> dict[str, Any]:
        """What is recorded beside the judgements: enough to compute every estimate again."""
        return {
            "readable": len(self.difference),
            "unreadable": self.unreadable,
            "strata": {str(stratum): size for stratum, size in sorted(self.sizes.items())},
            "pairs": [
                {
                    "pair_id": pair.pair_id,
                    "difference": pair.difference,
                    "decision": pair.decision,
                    "stratum": pair.stratum,
                    "reachable": pair.reachable,
                }
                for pair in self.pairs
            ],
        }


def draw(
    scored: Folder, size: int, seed: int, *, stratified: bool, allowed: Sequence[str] = ()
) -> PairSample:
    """A sample of a finished prune run, or all its readable pairs where it has no more than `size`.

    `allowed` are addresses that may be opened beside those that prune might open. BadUsage where
    the run holds no pair that can be heard, Failed for a damaged table.
    """
    table = scored.table("pairs", [*COLUMNS, *(name for name in DECIDING if name not in COLUMNS)])
    if table is None:
        raise BadUsage(f"{scored.path} holds no pairs; name a folder that prune wrote")
    difference = table["difference"].to_numpy().astype(np.float64)
    decision = np.asarray(table["decision"].to_pylist(), dtype=object)
    readable = np.flatnonzero(np.isfinite(difference) & (decision != "unreadable"))
    if not len(readable):
        what = "only unreadable pairs" if table.num_rows else "no pair"
        raise BadUsage(f"{scored.path} holds {what}: there is nothing to review")
    heard = difference[readable]
    strata = np.digitize(heard, EDGES[1:]) if stratified else np.zeros(len(heard), np.int64)
    ids = table["pair_id"].take(pa.array(readable)).to_pylist()
    taken = order(ids, strata.tolist(), seed)[:size]
    rows = table.take(pa.array(readable[taken])).to_pylist()
    limits, rules = _limits(scored), runs.rules([scored.path], [], allowed)
    measured = table.select(DECIDING).take(pa.array(readable)).to_pylist()
    reachable = np.array([_is_reachable(row, limits) for row in measured], bool)
    found, counts = np.unique(strata, return_counts=True)
    return PairSample(
        pairs=[
            _pair(row, int(strata[i]), bool(reachable[i]), rules)
            for row, i in zip(rows, taken, strict=True)
        ],
        sizes=dict(zip(found.tolist(), counts.tolist(), strict=True)),
        difference=heard,
        reachable=reachable,
        unreadable=table.num_rows - len(readable),
        limits=limits,
    )


def order(ids: Sequence[str], strata: Sequence[int], seed: int) -> list[int]:
    """Positions of all pairs in the order in which they are sampled: any first n are a sample.

    Within a stratum the order is random; strata take turns while they last.
    """
    hashes = [digest("review", str(seed), pair_id) for pair_id in ids]
    turns: dict[int, int] = defaultdict(int)
    ranked = []
    for i in sorted(range(len(ids)), key=lambda i: hashes[i]):
        ranked.append((turns[strata[i]], hashes[i], i))
        turns[strata[i]] += 1
    return [i for _, _, i in sorted(ranked)]


def _limits(scored: Folder) -> Thresholds:
    """What prune was told beside its window, and a window that holds everything."""
    told = scored.facts("options")
    names = [field.name for field in dataclasses.fields(Thresholds)]
    found: dict[str, Any] = {
        name: value for name in names if (value := real(told.get(name))) is not None
    }
    return Thresholds(**found | {"d_min": 0.0, "d_max": math.inf})


def _is_reachable(row: dict[str, Any], limits: Thresholds) -> bool:
    """Whether prune would keep a pair if its difference were in the window."""
    measured = {name: real(row[name]) for name in DECIDING}
    asymmetry = measured["asymmetry"]
    scores = Scores(
        difference_sum=0.0,  # these decide nothing
        offset_s=0.0,
        gain_db=None,
        polarity=1,
        difference=measured["difference"] or 0.0,
        asymmetry=math.nan if asymmetry is None else asymmetry,
        alignment_confidence=measured["alignment_confidence"],
        drift_ppm=measured["drift_ppm"],
        matched_share=measured["matched_share"],
        bass_correlation=measured["bass_correlation"],
        rest_share=measured["rest_share"],
        surplus_spread=measured["surplus_spread"],
    )
    return decisions.decide(scores, limits)[0] == "kept"


def _pair(row: dict[str, Any], stratum: int, reachable: bool, rules: Rules) -> SampledPair:
    """A row, with what is missing or makes no sense replaced by what plays it as it is."""
    spans = [
        (float(span[0]), float(span[1]))
        for span in row["matched_spans"] or []
        if span and all(real(edge) is not None for edge in span)
    ]
    return SampledPair(
        pair_id=row["pair_id"],
        stratum=stratum,
        reachable=reachable,
        mix=_track(row, "mix", rules),
        instrumental=_track(row, "instrumental", rules),
        decision=row["decision"],
        reason=row["reason"] or "",
        difference=float(row["difference"]),
        asymmetry=real(row["asymmetry"]),
        offset_s=real(row["offset_s"]) or 0.0,
        gain_db=real(row["gain_db"]) or 0.0,
        polarity=-1 if row["polarity"] == -1 else 1,
        drift_ppm=real(row["drift_ppm"]),
        alignment_confidence=real(row["alignment_confidence"]),
        coherent=row["coherent"],
        matched_spans=tuple(spans),
        clock=excerpts.parts(row["clock"]),
    )


def _track(row: dict[str, Any], which: str, rules: Rules) -> Track:
    return Track(
        title=row[f"{which}.title"] or "",
        artist=row[f"{which}.artist"] or "",
        duration_s=real(row[f"{which}.duration_s"]),
        uri=Address(row[f"{which}_audio_uri"] or "", rules),
    )
