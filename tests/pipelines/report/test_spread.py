"""Every pair is in each chart once, and pairs whose reasons differ in numbers alone go together."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages import inputs, pairs
from pipelines.pages.inputs import Folder
from pipelines.prune.options import FURTHER
from pipelines.report import spread
from pipelines.report.spread import MEASURES, Measure
from stemlode import schemas
from tests.pipelines.report import folders

ANY = Measure("offset_s", "Offset", "s")
SHARE = Measure("matched_share", "Match", "share", (0.0, 1.0))
VALUES = st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), max_size=60)


def _folder(tmp_path: Path, rows: list[dict[str, Any]], **options: float) -> Folder:
    candidates = folders.match_run(tmp_path / "candidates", rows, 2 * len(rows))
    run = folders.start("prune", tmp_path / "pairs", options, candidates=candidates)
    folders.table(run, "pairs", rows, schemas.SCORED_PAIR)
    folders.finish(run, {})
    return inputs.find([str(tmp_path / "pairs")])[0][0]


@given(one=VALUES, two=VALUES, mark=st.floats(-100, 100), measure=st.sampled_from([ANY, SHARE]))
def test_every_finite_value_is_drawn_once_within_the_axes(
    one: list[float], two: list[float], mark: float, measure: Measure
) -> None:
    values = {"kept": np.array(one, float), "swapped": np.array(two, float)}
    chart = spread.spread(values, {"mark": mark}, measure)
    finite = {kind: v[np.isfinite(v)] for kind, v in values.items()}
    if chart is None:
        assert not any(v.size for v in finite.values())
        return
    drawn: Counter[str] = Counter()
    for box in chart.boxes:
        drawn[box.kind] += int(box.label.rsplit(": ", 1)[1].replace(",", ""))
        assert chart.left <= box.x and box.x + box.width <= chart.right
        assert box.y >= 0 and box.y + box.height <= chart.bottom + 1e-6
    assert drawn == {kind: v.size for kind, v in finite.items() if v.size}
    assert all(chart.left <= tick.at <= chart.right for tick in (*chart.x_ticks, *chart.marks))
    if measure is ANY:
        assert len(chart.marks) == 1


def test_the_axis_leaves_out_no_more_than_outliers() -> None:
    values = np.concatenate([np.linspace(-0.2, 0.3, 998), [1e6, -1e6]])
    chart = spread.spread({"kept": values}, {}, ANY)
    assert chart is not None
    assert chart.limit == pytest.approx(0.3, abs=0.05)
    assert chart.beyond <= 20


def test_charts_are_of_the_measures_that_pairs_have(tmp_path: Path) -> None:
    rows = [folders.pair(f"{n}", "kept") | {"matched_share": 0.9} for n in range(4)]
    rows += [folders.pair("bad", "unreadable", None)]
    rows += [folders.pair("unrelated", "too_different", 0.9)]  # its offset means nothing
    folder = _folder(tmp_path, rows, min_share=0.8, min_part=0.2)
    found = {s.measure.column: s for s in spread.spreads(folder, pairs.STACK)}
    assert {"matched_share", "offset_s", "gain_db"} == set(found)
    assert {s.missing for s in found.values()} == {2}
    assert [mark.label for mark in found["matched_share"].chart.marks] == ["0.2", "0.8"]


def test_measures_are_columns_and_marks_are_options() -> None:
    names = schemas.SCORED_PAIR.names
    assert all(measure.column in names for measure in MEASURES)
    marks = [name.lstrip("-") for measure in MEASURES for name in measure.marks]
    assert set(marks) == set(FURTHER)


def test_reasons_that_differ_in_numbers_alone_are_one(tmp_path: Path) -> None:
    reasons = ["difference 0.31 is in 0.15…0.7", "difference 0.5 is in 0.15…0.7"]
    rows = [folders.pair(f"k{n}", reason=reasons[n % 2]) for n in range(5)]
    rows += [
        folders.pair(f"u{n}", "unreadable", None, reason=reason)
        for n, reason in enumerate(["mixture: no such file", "mixture: empty file"])
    ]
    rows += [folders.pair("<b>", "unreadable", None, reason="mixture: no such file")]
    folder = _folder(tmp_path, rows)
    found, untold = spread.outcomes(folder, ["kept", "unreadable"])
    assert [(o.decision, o.reason, o.pairs) for o in found] == [
        ("kept", reasons[0], 5),
        ("unreadable", "mixture: no such file", 2),
        ("unreadable", "mixture: empty file", 1),
    ]
    assert untold == 0


def test_many_reasons_are_cut_short_and_counted(tmp_path: Path) -> None:
    words = ["".join(chr(97 + (n // 26**k) % 26) for k in range(3)) for n in range(60)]
    rows = [folders.pair(word, "unreadable", None, reason=word) for word in words]
    found, untold = spread.outcomes(_folder(tmp_path, rows), ["unreadable"])
    assert len(found) + untold == 60
    assert not any(re.search(r"…", outcome.reason) for outcome in found)
