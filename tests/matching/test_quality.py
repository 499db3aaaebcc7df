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


def test_a_share_of_nothing_may_be_any() -> None:
    assert quality.shown(0, 0) == "nan [0.000, 1.000]"
    assert quality.shown(10, 10) == "1.000 [0.722, 1.000]"
