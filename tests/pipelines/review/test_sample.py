"""The sample: random, the same for the same seed, and weighted by what it stands for."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.sound.decisions import Thresholds, decide
from pipelines.pages.inputs import Folder
from pipelines.prune.rescore import scores_of
from pipelines.review import sample as sample_module
from pipelines.review.estimates import DifferenceWindow
from stemlode import runs, schemas
from stemlode.runs import BadUsage
from tests.pipelines.report import folders
from tests.pipelines.review import folders as folders_module


def folder_of(path: Path, rows: list[dict]) -> Folder:
    folders_module.scored(path, rows)
    return Folder(str(path), runs.record(str(path)))


def rows(count: int, difference: float = 0.3) -> list[dict]:
    return [folders.pair(f"Song {i}", difference=difference + i * 1e-5) for i in range(count)]


@given(
    st.lists(st.text(max_size=3), unique=True, min_size=1, max_size=40),
    st.integers(0, 2**32),
    st.data(),
)
def test_the_order_is_a_shuffle_that_depends_on_ids_and_seed_alone(
    ids: list[str], seed: int, data: st.DataObject
) -> None:
    strata = data.draw(st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids)))
    order = sample_module.order(ids, strata, seed)
    assert sorted(order) == list(range(len(ids)))
    shuffled = data.draw(st.permutations(range(len(ids))))
    again = sample_module.order([ids[i] for i in shuffled], [strata[i] for i in shuffled], seed)
    assert [ids[i] for i in order] == [ids[shuffled[i]] for i in again]
    # strata take turns: none is ahead of another that still has pairs
    sizes = Counter(strata)
    for taken in range(1, len(ids)):
        counts = Counter(strata[i] for i in order[:taken])
        most = max(counts.values())
        assert all(counts[s] >= min(sizes[s], most - 1) for s in sizes)


def test_every_pair_is_equally_likely() -> None:
    ids = [f"pair {i}" for i in range(20)]
    taken = Counter(i for s in range(600) for i in sample_module.order(ids, [0] * 20, s)[:5])
    # each is in 150 of 600 samples, give or take 10.6; six of those are never exceeded by chance
    assert set(taken) == set(range(20))
    assert max(abs(n - 150) for n in taken.values()) < 64


def test_a_larger_sample_begins_with_the_smaller_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pairs", rows(40))
    small, large = (sample_module.draw(folder, n, 5, stratified=False) for n in (10, 25))
    assert [p.pair_id for p in large.pairs][:10] == [p.pair_id for p in small.pairs]
    assert len(large.pairs) == 25
    other = sample_module.draw(folder, 10, 6, stratified=False)
    assert [p.pair_id for p in other.pairs] != [p.pair_id for p in small.pairs]


def test_what_cannot_be_heard_is_never_sampled(tmp_path: Path) -> None:
    dead = [folders.pair(f"Dead {i}", "unreadable", None) for i in range(5)]
    odd = [folders.pair("Odd", difference=float("nan")), folders.pair("Wild", difference=np.inf)]
    folder = folder_of(tmp_path / "pairs", [*rows(7), *dead, *odd])
    sample = sample_module.draw(folder, 100, 0, stratified=False)
    assert len(sample.pairs) == 7
    assert sample.unreadable == 7
    assert sample.sizes == {0: 7}


def test_a_stratified_sample_takes_alike_from_every_tenth(tmp_path: Path) -> None:
    table = [*rows(200, 0.31), *[folders.pair(f"Far {i}", difference=0.95) for i in range(8)]]
    table += [folders.pair(f"Beyond {i}", difference=1.3 + i) for i in range(4)]
    folder = folder_of(tmp_path / "pairs", table)
    sample = sample_module.draw(folder, 24, 0, stratified=True)
    assert Counter(pair.stratum for pair in sample.pairs) == {3: 12, 9: 8, 10: 4}
    assert sample.sizes == {3: 200, 9: 8, 10: 4}


MEASURES = {
    "difference": st.floats(0, 1.2),
    "alignment_confidence": st.none() | st.floats(0, 1),
    "asymmetry": st.floats(-1, 1),
    "drift_ppm": st.none() | st.floats(-90, 90),
    "matched_share": st.none() | st.floats(0, 1),
    "bass_correlation": st.none() | st.floats(0, 1),
    "rest_share": st.none() | st.floats(0, 1),
}


@settings(deadline=None, max_examples=60)
@given(
    measures=st.lists(st.fixed_dictionaries(MEASURES), min_size=1, max_size=6),
    low=st.floats(0, 1),
    width=st.floats(0, 1),
    strict=st.booleans(),
)
def test_what_a_window_keeps_is_what_rescoring_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    measures: list[dict[str, Any]],
    low: float,
    width: float,
    strict: bool,
) -> None:
    told = {"min_asymmetry": 0.5, "max_drift_ppm": 12.5} if strict else {}
    limits = Thresholds(low, low + width, **told)
    table = []
    for i, measured in enumerate(measures):
        row = folders.pair(f"Song {i}", difference=0.3) | {"difference_sum": 9.0} | measured
        scores = scores_of(dict.fromkeys(schemas.SCORED_PAIR.names) | row)
        before = decide(scores, Thresholds(**told))[0]
        table.append(row | {"decision": before, "reason": decide(scores, limits)[0]})
    folder = tmp_path_factory.mktemp("rescored") / "pairs"
    options = {"d_min": 0.15, "d_max": 0.7, **told}
    path = str(folders_module.scored(folder, table, options))
    sample = sample_module.draw(Folder(path, runs.record(path)), 9, 0, stratified=False)
    holds = DifferenceWindow(limits.d_min, limits.d_max).holds
    kept = {p.pair_id for p in sample.pairs if p.reachable and holds(np.array(p.difference))}
    assert kept == {row["pair_id"] for row in table if row["reason"] == "kept"}
    assert int((sample.reachable & holds(sample.difference)).sum()) == len(kept)


def test_an_empty_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="holds no pair"):
        sample_module.draw(folder_of(tmp_path / "a", []), 9, 0, stratified=False)
    dead = [folders.pair("Dead", "unreadable", None)]
    with pytest.raises(BadUsage, match="holds only unreadable pairs"):
        sample_module.draw(folder_of(tmp_path / "b", dead), 9, 0, stratified=False)
