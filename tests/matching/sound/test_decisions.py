"""Every decision and its criterion, from measures alone, in the design's order."""

import dataclasses
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.sound.decisions import Thresholds, decide
from matching.sound.scores import Scores
from stemlode import schemas

TRUE = Scores(
    difference_sum=1e4,
    difference=0.35,
    asymmetry=0.85,
    offset_s=0.152,
    gain_db=-1.4,
    polarity=1,
    alignment_confidence=0.9,
    drift_ppm=0.1,
    coherent=True,
    residual_db={"0-250": -30.0},
    matched_spans=[[0.0, 200.0]],
    matched_share=1.0,
    bass_correlation=0.98,
    rest_share=0.05,
)
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "kept", "difference 0.350 is in 0.15…0.7"),
    ({"difference": 0.149}, "too_similar", "difference 0.149 is below 0.15"),
    ({"difference": 0.15}, "kept", "in 0.15"),
    ({"difference": 0.7}, "too_different", "difference 0.700 is not below 0.7"),
    ({"difference": math.nan}, "too_different", "nan"),
    ({"difference": 0.2, "asymmetry": 0.1}, "too_similar", "asymmetry 0.10 is within ±0.3"),
    ({"difference": 0.2, "asymmetry": -0.29}, "too_similar", "neither holds more"),
    (
        {"difference": 0.1, "surplus_spread": 0.25},
        "kept",
        "0.100 is in 0.03…0.15, asymmetry 0.85, spread 0.25: a voice",
    ),
    ({"difference": 0.1, "surplus_spread": 0.19}, "too_similar", "0.100 is below 0.15"),
    ({"difference": 0.1, "surplus_spread": 0.4, "asymmetry": 0.49}, "too_similar", "is below 0.15"),
    ({"difference": 0.029, "surplus_spread": 0.4}, "too_similar", "0.029 is below 0.15"),
    ({"difference": 0.1, "surplus_spread": 0.4, "alignment_confidence": 0.1}, "too_similar", ""),
    ({"difference": 0.1, "surplus_spread": 0.4, "bass_correlation": 0.0}, "a_cappella", ""),
    (
        {"difference": 0.2, "surplus_spread": 0.19},
        "too_similar",
        "never comes and goes: spread 0.19",
    ),
    ({"difference": 0.2, "surplus_spread": 0.19, "asymmetry": -0.9}, "too_similar", "spread 0.19"),
    ({"difference": 0.3, "surplus_spread": 0.0}, "kept", ""),
    ({"difference": 0.2, "surplus_spread": 0.1, "matched_share": 0.5}, "partly", ""),
    ({"asymmetry": 0.3}, "kept", ""),
    ({"asymmetry": -0.3}, "swapped", "asymmetry -0.30 is not above -0.3"),
    ({"difference": 1.6, "asymmetry": -0.9}, "swapped", "the instrumental holds more"),
    ({"bass_correlation": 0.01}, "a_cappella", "correlation 0.01 is below 0.3"),
    ({"rest_share": 0.4}, "a_cappella", "rests in 40% of the mixture, more than 25%"),
    ({"bass_correlation": None}, "kept", ""),
    ({"matched_share": 0.5, "matched_spans": [[10.0, 110.4]]}, "partly", "50% .*: 10–110 s"),
    ({"matched_share": 0.5, "asymmetry": 0.1}, "partly", "below 90%"),
    ({"matched_share": 0.9}, "kept", ""),
    ({"matched_share": 0.05}, "misaligned", "5% of the mixture matches, below 10%"),
    ({"drift_ppm": 1000.0}, "misaligned", "drift: the instrumental runs 1000 ppm faster, more"),
    ({"drift_ppm": -31.0}, "misaligned", "drift: the instrumental runs 31 ppm slower"),
    ({"drift_ppm": 30.0}, "kept", ""),
    ({"alignment_confidence": 0.1}, "misaligned", "confidence 0.10 is below 0.2"),
    ({"alignment_confidence": 0.0, "difference": 0.95}, "too_different", "0.950"),
    # the order: the first that holds
    ({"difference": 0.1, "asymmetry": -0.9}, "too_similar", ""),
    ({"asymmetry": -0.9, "bass_correlation": 0.0}, "swapped", ""),
    ({"bass_correlation": 0.0, "matched_share": 0.3}, "a_cappella", ""),
    ({"matched_share": 0.3, "drift_ppm": 500.0}, "partly", ""),
    ({"drift_ppm": 500.0, "difference": 0.9}, "misaligned", ""),
]


@pytest.mark.parametrize(("changes", "decision", "reason"), CASES)
def test_each_criterion(changes: dict[str, Any], decision: str, reason: str) -> None:
    found = decide(dataclasses.replace(TRUE, **changes), Thresholds())
    assert found[0] == decision
    assert re.search(reason, found[1]), found[1]


def test_without_an_alignment_only_the_window_of_the_thesis_counts() -> None:
    for difference, decision in ((0.1, "too_similar"), (0.5, "kept"), (0.7, "too_different")):
        measured = Scores(1.0, difference, -0.9, 0.0, 0.0, 1, None)
        assert decide(measured, Thresholds())[0] == decision


@pytest.mark.parametrize(
    ("thresholds", "decision"),
    [
        (Thresholds(d_max=0.3), "too_different"),
        (Thresholds(d_min=0.4), "too_similar"),
        (Thresholds(min_asymmetry=0.9), "too_similar"),
        (Thresholds(min_confidence=0.95), "misaligned"),
        (Thresholds(max_drift_ppm=0.01), "misaligned"),
        (Thresholds(min_bass=0.99), "a_cappella"),
        (Thresholds(max_rest=0.01), "a_cappella"),
        (Thresholds(min_share=1.01), "partly"),
        (Thresholds(min_share=1.2, min_part=1.1), "misaligned"),
    ],
)
def test_every_threshold_decides(thresholds: Thresholds, decision: str) -> None:
    assert decide(TRUE, Thresholds())[0] == "kept"
    assert decide(TRUE, thresholds)[0] == decision


def test_a_softer_voice_is_kept_down_to_a_bound_of_its_own() -> None:
    sparse = dataclasses.replace(TRUE, difference=0.1, surplus_spread=0.3)
    for limits, decision in (
        (Thresholds(), "kept"),
        (Thresholds(d_sparse=0.11), "too_similar"),
        (Thresholds(sparse_asymmetry=0.9), "too_similar"),
        (Thresholds(min_spread=0.31), "too_similar"),
        (Thresholds(d_min=0.1), "kept"),
    ):
        assert decide(sparse, limits)[0] == decision


@given(
    difference=st.floats(0, 2) | st.just(math.nan),
    asymmetry=st.floats(-1, 1),
    confidence=st.none() | st.floats(0, 1),
    drift=st.none() | st.floats(-1e4, 1e4),
    share=st.none() | st.floats(0, 1),
    bass=st.none() | st.floats(0, 1),
    rest=st.none() | st.floats(0, 1),
    spread=st.none() | st.floats(0, 2),
)
def test_every_pair_has_one_decision_and_nothing_doubtful_is_kept(
    difference: float, asymmetry: float, confidence: float | None, **measures: Any
) -> None:
    names = {"drift": "drift_ppm", "share": "matched_share", "bass": "bass_correlation",
             "rest": "rest_share", "spread": "surplus_spread"}  # fmt: skip
    values = {names[name]: value for name, value in measures.items()}
    found = Scores(1.0, difference, asymmetry, 0.0, 0.0, 1, confidence, **values)
    limits = Thresholds()
    decision, reason = decide(found, limits)
    assert decision in schemas.DECISIONS[1:]
    assert reason
    if decision == "kept":
        least = limits.d_min
        if (values["surplus_spread"] or 0) >= limits.min_spread and asymmetry >= 0.5:
            least = limits.d_sparse
        assert least <= difference < limits.d_max
        if confidence is not None:
            assert confidence >= limits.min_confidence
            assert asymmetry >= limits.min_asymmetry
            assert abs(values["drift_ppm"] or 0) <= limits.max_drift_ppm


@pytest.mark.parametrize(
    ("total", "decision"),
    [(99.0, "too_similar"), (100.0, "kept"), (900.0, "too_different"), (math.nan, "too_different")],
)
def test_the_plain_sum_decides_where_it_is_asked_for(total: float, decision: str) -> None:
    """Whatever the normalised difference is (thesis eq. 3.8)."""
    limits = Thresholds(100.0, 900.0, on_sum=True)
    found, reason = decide(Scores(total, 0.0, 0.0, 0.0, 0.0, 1, None), limits)
    assert found == decision and f"sum of differences {total:.4g}" in reason
