"""What the rules promise on judged pairs of real tracks by artists that nothing was tuned on."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks import quality
from matching.rules import EXTENDED, THESIS, Rule


def shares(tracks: pa.Table, rule: Rule, kinds: set[str]) -> tuple[float, float]:
    """Precision and recall on the labels that are held out."""
    counts = Counter(
        (proposed, right)
        for kind, proposed, right, label in quality.judged(tracks, rule)
        if label["split"] == "held_out" and kind in kinds
    )
    hits = counts[True, True]
    return hits / (hits + counts[True, False]), hits / (hits + counts[False, True])


@pytest.mark.slow
def test_precision_and_recall_on_held_out_pairs(test_data: Path) -> None:
    tracks = quality.catalogue(test_data)
    for kinds in ({"durations"}, {"titles only"}, {"durations", "titles only"}):
        precision, recall = shares(tracks, EXTENDED, kinds)
        assert precision >= 0.98
        assert recall >= 0.95
        thesis_precision, thesis_recall = shares(tracks, THESIS, kinds)
        assert precision >= thesis_precision
        assert recall > thesis_recall


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 0, 0.0, 1.0), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval(hits: int, trials: int, low: float, high: float) -> None:
    """81 of 263 is Newcombe's (1998) example: 0.2553 to 0.3662 without continuity correction."""
    assert quality.wilson(hits, trials) == pytest.approx((low, high), abs=1e-4)
