"""What a report says of fine-tuning: shares that fill their bars, and who taught."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages import inputs
from pipelines.report import boosting
from pipelines.report import page as report_page
from pipelines.report.boosting import KINDS, MOST_BARS
from tests.pipelines.report import folders

a_period = st.builds(
    lambda counts: Counter(dict(zip(KINDS, counts, strict=True))),
    st.lists(st.integers(0, 50), min_size=len(KINDS), max_size=len(KINDS)),
)


@given(st.lists(a_period, max_size=200))
def test_every_bar_is_full_and_within_the_chart(periods: list[Counter[str]]) -> None:
    chart = boosting.shares([(10.0 * n, counts) for n, counts in enumerate(periods, 1)])
    heard = [counts for counts in periods if counts.total()]
    if not heard:
        assert chart is None
        return
    assert chart is not None
    places = {round(box.x, 6) for box in chart.boxes}
    assert len(places) == chart.counted <= min(len(heard), MOST_BARS)
    for place in places:
        stack = [box for box in chart.boxes if round(box.x, 6) == place]
        full = sum(box.height for box in stack)
        assert full == pytest.approx(chart.bottom - 16)
        assert min(box.y for box in stack) == pytest.approx(16)
    assert all(chart.left <= b.x and b.x + b.width <= chart.right + 1e-6 for b in chart.boxes)


def _run(folder: Path, corpus: Path, log: list[dict[str, Any]], **facts: Any) -> Path:
    run = folders.start("finetune", folder, {"ratio": 1.0}, labelled=corpus)
    text = "".join(json.dumps(entry) + "\n" for entry in log)
    Path(run.path("log.jsonl")).write_text(text)
    counts = {"steps": 20, "targets_labelled": 30, "targets_unlabelled": 10}
    counts |= {"residuals_labelled": 24, "residuals_unlabelled": 16}
    return folders.finish(run, counts, recipe={"name": "bsrnn-vocals"}, **facts)


def test_the_page_shows_what_was_heard_and_who_taught(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    heard = [{"pseudo": 6, "clean_residual": 3, "unsure": 1, "targets_labelled": 9}, {"silent": 4}]
    log: list[dict[str, Any]] = [{"step": 0, "valid_loss": 0.5}]
    log += [
        {"step": 10 * n, "loss": 0.4, "valid_loss": 0.5 - n / 10, "heard": counts}
        for n, counts in enumerate(heard, 1)
    ]
    teachers = [
        {"step": 0, "score": 0.5, "sha256": "ab" * 32},
        {"step": 10, "score": 0.4, "sha256": "<script>" * 8},
    ]
    folder = _run(tmp_path / "run", tmp_path / "corpus", log, teachers=teachers)
    (found,) = inputs.find([str(folder)])[0]
    held = boosting.boosting(found)
    assert held is not None and held.heard == 14
    assert held.kinds == [("clean_residual", 3), ("pseudo", 6), ("silent", 4), ("refused", 1)]
    assert [one.step for one in held.teachers] == [0, 10]
    page = report_page.page([found])
    assert "Fine-tuning" in page and "What the teacher heard" in page
    assert "10 of 40 came from unlabelled songs, of the residuals 16 of 40" in page
    assert (
        "abababababab" in page and "<script>" not in page.split("</style>")[1].split("<script")[0]
    )


@pytest.mark.parametrize("teachers", [None, "all of them", [None, 3], [{"step": "x", "score": {}}]])
def test_a_record_that_nobody_vouches_for_breaks_no_page(tmp_path: Path, teachers: Any) -> None:
    (tmp_path / "corpus").mkdir()
    log = [{"step": 10, "heard": {"pseudo": -3, "silent": "many"}}, {"step": 20, "heard": 7}]
    folder = _run(tmp_path / "run", tmp_path / "corpus", log, teachers=teachers)
    (found,) = inputs.find([str(folder)])[0]
    held = boosting.boosting(found)
    assert (held is None) == (not isinstance(teachers, list))
    assert held is None or held.chart is None
    assert report_page.page([found]).startswith("<!")
