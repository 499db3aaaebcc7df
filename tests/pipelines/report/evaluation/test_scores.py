"""Box plots: quartiles where numpy has them, every song drawn once, only songs that sound."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages import inputs
from pipelines.pages.inputs import Folder
from pipelines.report import page as report_page
from pipelines.report import training
from pipelines.report.evaluation import scores
from tests.pipelines.report import folders

KEY = ("uSDR, separated", "estimate")


def _folder(tmp_path: Path, rows: list[dict[str, Any]]) -> Folder:
    (tmp_path / "music").mkdir()
    run = folders.start("evaluate", tmp_path / "scores", {}, stems=tmp_path / "music")
    pq.write_table(pa.Table.from_pylist(rows), run.path("songs.parquet"))
    folders.finish(run, {"songs": len(rows)})
    return inputs.find([str(tmp_path / "scores")])[0][0]


@given(st.lists(st.integers(-100_000, 100_000).map(lambda mdb: mdb / 1000), max_size=40))
def test_boxes_hold_the_middle_half_of_the_songs(values: list[float]) -> None:
    chart = scores.boxes({KEY: {str(i): value for i, value in enumerate(values)}})
    if len(values) < scores.FEWEST:
        assert chart is None
        return
    assert chart is not None
    (row,) = chart.rows
    assert chart.left <= row.low and row.high <= chart.right
    assert row.first <= row.median <= row.third
    low, high = max(-60.0, min(0.0, *values)), min(60.0, max(0.0, *values))
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    scale = (chart.right - chart.left) / (high - low)
    wanted = [(row.mean, float(np.mean(values)))]
    for place, share in ((row.first, 0.25), (row.median, 0.5), (row.third, 0.75)):
        wanted.append((place, float(np.quantile(values, share))))
    for place, value in wanted:
        expected = chart.left + scale * (min(high, max(low, value)) - low)
        assert place == pytest.approx(expected, abs=0.02)
    first, third = np.quantile(values, [0.25, 0.75])
    reach = 1.5 * (third - first)
    beyond = [value for value in values if not first - reach <= value <= third + reach]
    assert len(row.outliers) == len(beyond)
    assert all(chart.left <= outlier.at <= chart.right for outlier in row.outliers)


def test_songs_in_which_nothing_else_sounds_do_not_count(tmp_path: Path) -> None:
    rows = []
    for number, silent in enumerate((False, False, False, True)):
        vocals = math.nan if silent else float(number)
        rows.append({"song": str(number), "source": "vocals", "usdr_estimate": vocals})
        rows.append(
            {"song": str(number), "source": "accompaniment", "usdr_estimate": 90.0 + number}
        )
    folder = _folder(tmp_path, rows)
    vocals, accompaniment = scores.spreads(folder)
    assert (vocals.source, accompaniment.source) == ("vocals", "accompaniment")
    assert vocals.rows == [scores.Measured("uSDR, separated", 1, 1, 0, 2, 1, 3)]
    assert accompaniment.rows[0].songs == 3 and accompaniment.rows[0].high == 92
    assert [part.means for part in training.evaluation(folder)] == [[1], [91]]


def test_the_page_shows_them(tmp_path: Path) -> None:
    rows = [
        {
            "song": f"<b>{n}",
            "source": "vocals",
            "usdr_mixture": -1.0,
            "mir_nsdr": 40.0 * (n == 3) + n,
        }
        for n in range(9)
    ]
    folder = _folder(tmp_path, rows)
    page = report_page.page([folder])
    assert "Scores over songs" in page and "mir_eval NSDR" in page
    assert "&lt;b&gt;3: 43.00 dB" in page and "<b>3" not in page


def test_a_run_without_scores_has_none(tmp_path: Path) -> None:
    assert scores.spreads(_folder(tmp_path, [{"song": "a", "source": "vocals"}])) == []
