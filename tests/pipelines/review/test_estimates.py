"""Estimates from judgements: known cases, a search of all windows, and how often intervals hold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.review import estimates as estimates_module
from pipelines.review.estimates import DifferenceWindow, Judged


def judged(
    rows: list[tuple[float, bool]],
    weight: list[float] | None = None,
    reachable: list[bool] | None = None,
) -> Judged:
    return Judged(
        np.array([d for d, _ in rows], np.float64),
        np.array([is_pair for _, is_pair in rows], bool),
        np.array(weight or [1.0] * len(rows), np.float64),
        np.array(reachable or [True] * len(rows), bool),
    )


VALUES = st.integers(0, 12).map(lambda i: i / 10)
ROWS = st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=14)
WEIGHED = st.lists(
    st.tuples(VALUES, st.booleans(), st.integers(1, 50), st.booleans()), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("share", "size", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(
    share: float, size: int, low: float, high: float
) -> None:
    assert estimates_module.wilson(share, size) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000), st.data())
def test_an_interval_holds_its_share_and_stays_within_bounds(
    size: int, data: st.DataObject
) -> None:
    share = data.draw(st.integers(0, size)) / size
    low, high = estimates_module.wilson(share, size)
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0


def test_precision_and_recall_of_a_random_sample() -> None:
    rows = [(0.05, False), (0.2, True), (0.3, True), (0.4, False), (0.5, True), (0.9, True)]
    found = estimates_module.precision(judged(rows), DifferenceWindow(0.2, 0.6))
    assert found is not None
    assert (found.value, found.judged) == (3 / 4, 4)
    found = estimates_module.recall(judged(rows), DifferenceWindow(0.2, 0.6))
    assert found is not None
    assert (found.value, found.judged) == (3 / 4, 4)


def test_a_window_keeps_its_lower_edge_and_not_its_upper_one() -> None:
    rows = [(0.2, True), (0.6, True)]
    found = estimates_module.recall(judged(rows), DifferenceWindow(0.2, 0.6))
    assert found is not None
    assert found.value == 1 / 2


def test_what_another_criterion_drops_is_lost_to_recall_and_absent_from_precision() -> None:
    rows = [(0.3, True), (0.4, True), (0.45, False)]
    some = judged(rows, reachable=[True, False, False])
    window = DifferenceWindow(0.2, 0.6)
    precision, recall = (
        f(some, window) for f in (estimates_module.precision, estimates_module.recall)
    )
    assert precision is not None and recall is not None
    assert (precision.value, precision.judged) == (1.0, 1)
    assert (recall.value, recall.judged) == (1 / 2, 2)


def test_a_stratified_sample_is_weighted_back() -> None:
    # 900 of 1000 pairs lie in stratum 0, of which as many were judged as of the other
    sizes = {0: 900, 1: 100}
    strata = [0, 0, 1, 1]
    weight = estimates_module.weights(strata, sizes)
    assert weight.tolist() == [450, 450, 50, 50]
    some = judged([(0.3, True), (0.31, True), (0.5, False), (0.51, False)], weight.tolist())
    found = estimates_module.precision(some, DifferenceWindow(0.2, 0.6))
    assert found is not None
    assert found.value == 0.9
    # Kish: 1000² / (2·450² + 2·50²) = 2.44 effective pairs of 4
    assert (found.low, found.high) == estimates_module.wilson(0.9, 1000**2 / 410_000)


def test_without_a_judgement_nothing_is_claimed() -> None:
    nothing = judged([])
    assert estimates_module.precision(nothing, DifferenceWindow(0, 1)) is None
    assert estimates_module.recall(nothing, DifferenceWindow(0, 1)) is None
    assert estimates_module.widest_window(nothing) is None
    assert estimates_module.widest_window(judged([(0.3, False)])) is None
    outside = estimates_module.precision(judged([(0.9, True)]), DifferenceWindow(0, 0.5))
    assert outside is None


def test_the_thesis_window_reaches_to_the_pairs_that_are_none() -> None:
    rows = [(0.01, False), (0.12, True), (0.3, True), (0.55, True), (0.83, False), (0.9, True)]
    found = estimates_module.widest_window(judged(rows))
    assert found == DifferenceWindow(0.0101, 0.83)


def test_the_thesis_window_does_not_reach_beyond_what_was_judged() -> None:
    found = estimates_module.widest_window(judged([(0.21234, True), (0.41234, True)]))
    assert found == DifferenceWindow(0.2123, 0.4124)


def test_edges_between_neighbours_too_close_to_round_keep_them_apart() -> None:
    close = math.nextafter(0.3, 1)
    found = estimates_module.widest_window(judged([(0.3, False), (close, True), (0.5, True)]))
    assert found is not None
    assert 0.3 < found.low <= close
    found = estimates_module.widest_window(judged([(0.2, True), (0.3, True), (close, False)]))
    assert found is not None
    assert 0.3 < found.high <= close


def _worth(some: Judged, window: DifferenceWindow) -> tuple[float, float]:
    kept = some.kept_by(window)
    good = float(some.weight[kept & some.is_pair].sum())
    return good, float(some.weight[kept & ~some.is_pair].sum())


@given(WEIGHED, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_no_window_of_the_target_precision_keeps_more_pairs(
    rows: list[tuple[float, bool, int, bool]], target: float
) -> None:
    some = judged(
        [(d, p) for d, p, _, _ in rows],
        [float(w) for _, _, w, _ in rows],
        [r for _, _, _, r in rows],
    )
    edges = sorted({d for d, *_ in rows})
    best = 0.0
    for low, high in itertools.combinations_with_replacement(edges, 2):
        good, bad = _worth(some, DifferenceWindow(low, high + 0.01))
        if good and good >= target * (good + bad) - 1e-9:
            best = max(best, good)
    found = estimates_module.best_window(some, target)
    assert (found is None) == (best == 0)
    if found is not None:
        good, bad = _worth(some, found)
        assert good == pytest.approx(best)
        assert good >= target * (good + bad) - 1e-6
        assert min(edges) <= found.low < found.high <= max(edges) + 2e-4


@given(ROWS)
def test_every_judged_pair_in_the_thesis_window_is_a_pair_and_it_cannot_grow(
    rows: list[tuple[float, bool]],
) -> None:
    some = judged(rows)
    found = estimates_module.widest_window(some)
    mixed = {d for d, p in rows if not p}
    assert (found is None) == all(d in mixed for d, p in rows if p)
    if found is None:
        return
    inside = some.kept_by(found)
    assert some.is_pair[inside].all()
    # the neighbour that is kept out on either side is none, or there is none
    below = some.difference[some.difference < found.low]
    above = some.difference[some.difference >= found.high]
    assert not below.size or below.max() in mixed
    assert not above.size or above.min() in mixed


@given(ROWS, st.floats(0.1, 9))
def test_equal_weights_change_nothing(rows: list[tuple[float, bool]], weight: float) -> None:
    window = DifferenceWindow(0.2, 0.8)
    plain = estimates_module.precision(judged(rows), window)
    weighed = estimates_module.precision(judged(rows, [weight] * len(rows)), window)
    assert (plain is None) == (weighed is None)
    if plain is not None and weighed is not None:
        assert weighed.value == pytest.approx(plain.value)
        assert (weighed.low, weighed.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("stratified", [False, True])
def test_intervals_hold_the_truth_about_as_often_as_they_say(stratified: bool) -> None:
    rng = np.random.default_rng(7)
    difference = np.clip(
        np.concatenate([rng.normal(0.32, 0.1, 18_000), rng.uniform(0, 1.1, 2000)]), 0, 1.2
    )
    is_pair = rng.random(20_000) < np.where(abs(difference - 0.35) < 0.25, 0.93, 0.2)
    strata = np.minimum((difference * 10).astype(int), 10) if stratified else np.zeros(20_000, int)
    sizes = {int(s): int(n) for s, n in zip(*np.unique(strata, return_counts=True), strict=True)}
    window = DifferenceWindow(0.1, 0.6)
    everything = Judged(difference, is_pair, np.ones(20_000), np.ones(20_000, bool))
    estimates = (estimates_module.precision, estimates_module.recall)
    truths = [estimate(everything, window) for estimate in estimates]
    held = np.zeros(2)
    rounds = 400
    for _ in range(rounds):
        share = 200 // len(sizes)
        taken = np.concatenate(
            [
                rng.choice(np.flatnonzero(strata == s), min(share, n), replace=False)
                for s, n in sizes.items()
            ]
        )
        some = Judged(
            difference[taken],
            is_pair[taken],
            estimates_module.weights(strata[taken].tolist(), sizes),
            np.ones(len(taken), bool),
        )
        for i, estimate in enumerate(estimates):
            found, truth = estimate(some, window), truths[i]
            assert found is not None and truth is not None
            held[i] += found.low <= truth.value <= found.high
    assert (held / rounds > 0.92).all(), held / rounds


@given(st.floats(0, 1), st.floats(0.01, 0.3))
def test_as_many_judgements_as_asked_for_make_the_interval_narrow_enough(
    share: float, half: float
) -> None:
    """And one less does not."""
    asked = estimates_module.wanted(share, half)
    widths = []
    for size in (asked, asked - 1):
        low, high = estimates_module.wilson(share, size) if size else (0.0, 1.0)
        widths.append(high - low)
    assert widths[0] <= 2 * half * (1 + 1e-9)
    assert widths[1] >= 2 * half * (1 - 1e-9)
