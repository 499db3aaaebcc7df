"""What judged pairs say of thresholds: precision, recall and the best windows. Pure functions.

A window keeps what lies in low ≤ difference < high (thesis section 3.5.2, d_min ≤ d < d_max).
Precision is the share of pairs among what it keeps, recall the share kept among all pairs. Each
judged pair stands for `weight` pairs of the table, so that a stratified sample is weighted back.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.estimates import CONFIDENCE_Z, wilson

DECIMALS = 4  # to which an edge is rounded where that leaves every judged pair on its side


@dataclass(frozen=True)
class DifferenceWindow:
    """What keeps a pair: low ≤ difference < high."""

    low: float
    high: float

    def holds(self, difference: np.ndarray) -> np.ndarray:
        """Which of [n] differences lie inside."""
        return (self.low <= difference) & (difference < self.high)


@dataclass(frozen=True)
class EstimatedShare:
    """An estimated share of 1 with its 95 % interval, and how many judged pairs it rests on."""

    value: float
    low: float
    high: float
    judged: int


@dataclass(frozen=True, eq=False)
class Judged:
    """Pairs of which somebody was sure, one entry each.

    Args:
        difference: [n], finite.
        is_pair: [n], the verdict.
        weight: [n], above 0: how many pairs of the table each stands for.
        reachable: [n], whether the thresholds decide on it; others are dropped by another
            criterion, whatever the window.
    """

    difference: np.ndarray
    is_pair: np.ndarray
    weight: np.ndarray
    reachable: np.ndarray

    def kept_by(self, window: DifferenceWindow) -> np.ndarray:
        """[n], which of them a window keeps."""
        return self.reachable & window.holds(self.difference)

    @cached_property
    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distinct reachable differences [k], ascending; weight of pairs and of others at each."""
        values, place = np.unique(self.difference[self.reachable], return_inverse=True)
        weight, is_pair = self.weight[self.reachable], self.is_pair[self.reachable]
        pairs, others = (np.zeros(len(values)) for _ in range(2))
        np.add.at(pairs, place[is_pair], weight[is_pair])
        np.add.at(others, place[~is_pair], weight[~is_pair])
        return values, pairs, others


def weights(strata: Sequence[int], sizes: Mapping[int, int]) -> np.ndarray:
    """How many pairs of the table each judged pair stands for: size / judged of its stratum.

    A random sample is one stratum. What nobody judged in a stratum is thereby taken to be like
    what somebody judged there.
    """
    found, counts = np.unique(np.asarray(strata, np.int64), return_counts=True)
    judged = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return np.array([sizes[stratum] / judged[stratum] for stratum in strata], np.float64)


def wanted(share: float, half: float, z: float = CONFIDENCE_Z) -> int:
    """How many judgements put Wilson's interval of a share within ±`half` of its centre.

    With s = z²/n its half-width is √(p(1−p)s + s²/4) / (1 + s). Set to h, that is
    (¼ − h²)s² + (p(1−p) − 2h²)s − h² = 0, whose positive root gives n = z²/s, rounded up.
    """
    a, b = 0.25 - half * half, share * (1 - share) - 2 * half * half
    spread = (-b + math.sqrt(b * b + 4 * a * half * half)) / (2 * a)
    return math.ceil(z * z / spread - 1e-9)


def effective(weight: np.ndarray) -> float:
    """Kish's effective size of a sample of weights [n], (Σw)² / Σw²: n where all are equal."""
    return float(weight.sum()) ** 2 / float((weight**2).sum())


def share(hit: np.ndarray, weight: np.ndarray) -> EstimatedShare | None:
    """The weighted share of hits [n]; None where n is 0.

    The interval is Wilson's for the effective sample size.
    """
    if not len(hit):
        return None
    total = float(weight.sum())
    value = 1.0 if hit.all() else float(weight[hit].sum()) / total
    low, high = wilson(value, effective(weight))
    return EstimatedShare(value, low, high, len(hit))


def precision(judged: Judged, window: DifferenceWindow) -> EstimatedShare | None:
    """Of what a window keeps, how much is a pair; None where nothing judged is kept."""
    kept = judged.kept_by(window)
    return share(judged.is_pair[kept], judged.weight[kept])


def recall(judged: Judged, window: DifferenceWindow) -> EstimatedShare | None:
    """Of all pairs, how many a window keeps; None where no judged pair is one.

    Pairs that another criterion drops count as lost.
    """
    kept = judged.kept_by(window)
    return share(kept[judged.is_pair], judged.weight[judged.is_pair])


def best_window(judged: Judged, target: float) -> DifferenceWindow | None:
    """The window that keeps most pairs among those with at least the target precision.

    None where no window reaches it. Of equals, the one that keeps fewer others, then the widest.
    Its edges reach to the neighbours that are kept out, but not beyond what has been judged.
    """
    values, pairs, others = judged.groups
    if not len(values):
        return None
    lows, highs = _edges(values)
    below_pairs, below_others = (np.concatenate([[0.0], np.cumsum(w)]) for w in (pairs, others))
    best: tuple[float, float, float] | None = None
    found: DifferenceWindow | None = None
    for first in range(len(values)):
        good = below_pairs[first + 1 :] - below_pairs[first]
        bad = below_others[first + 1 :] - below_others[first]
        reached = (good > 0) & (bad <= (1 - target) * (good + bad) * (1 + 1e-9))
        if not reached.any():
            continue
        width = highs[first:] - lows[first]
        order = np.lexsort((width, -bad, good, reached))  # the last key counts most
        last = int(order[-1])
        rank = (float(good[last]), -float(bad[last]), float(width[last]))
        if best is None or rank > best:
            best, found = rank, DifferenceWindow(float(lows[first]), float(highs[first + last]))
    return found


def widest_window(judged: Judged) -> DifferenceWindow | None:
    """The thesis' criterion: the widest window in which every judged pair is a pair.

    Widest is what holds most of the judged pairs (by weight), not what spans most of the axis.
    """
    return best_window(judged, 1.0)


def _edges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of some ascending values: the lowest and the highest edge of a window that begins or
    ends with it, as round numbers where there is room for one.
    """
    step = 10.0**DECIMALS
    up, down = (np.floor(values * step) + 1) / step, np.floor(values * step) / step
    before = np.concatenate([[-np.inf], up[:-1]])
    lows = np.where((before <= values) & np.isfinite(before), before, values)
    lows[0] = max(0.0, down[0]) if down[0] <= values[0] else values[0]
    after = np.append(down[1:], up[-1])
    highs = np.where(after > values, after, np.append(values[1:], np.inf))
    if not np.isfinite(highs[-1]):
        highs[-1] = np.nextafter(values[-1], np.inf)
    return lows, highs
