"""What the report says of a match beside its counts: notes, figure 3.5, keys that were left out."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.pages.inputs import Folder
from pipelines.report import page, titles
from tests.pipelines.report import folders

YEARS = {
    "1999": {"releases": 200, "with_instrumentals": 20},
    "2004": {"releases": 100, "with_instrumentals": 40},
}
LARGE = {"artist_id": "various", "fuzzy_title": "<b>intro", "mixtures": 9, "instrumentals": 8}


def matched(folder: Path, **facts: Any) -> Folder:
    run = folders.start("match", folder, {"rule": "thesis"})
    folders.finish(run, {"tracks_read": 0}, **facts)
    (found,), _ = page.inputs.find([str(folder)])
    return found


def test_figure_3_5_notes_and_large_keys(tmp_path: Path) -> None:
    facts = {
        "releases": YEARS,
        "notes": ["<i>5</i> are odd"],
        "large_keys": [LARGE | {"candidates": 72}],
    }
    html = page.page([matched(tmp_path / "m", **facts)])
    for words in (
        "10.0%",
        "40.0%",
        "&lt;i&gt;5&lt;/i&gt; are odd",
        "&lt;b&gt;intro",
        "What the titles said",
    ):
        assert words in html
    assert "<b>intro" not in html


def test_words_that_the_rule_does_not_know_are_listed_by_how_often(tmp_path: Path) -> None:
    words = {"riddim": 2, "<b>tuba": 7, "bad": "many", "none": 0}
    run = matched(tmp_path / "m", unknown_words=words)
    assert titles.titles(run).words == [("<b>tuba", 7), ("riddim", 2)]
    html = page.page([run])
    assert "&lt;b&gt;tuba" in html and "<b>tuba" not in html


def test_the_bars_are_the_shares(tmp_path: Path) -> None:
    chart = titles.titles(matched(tmp_path / "m", releases=YEARS)).shares
    assert chart is not None
    heights = [box.height for box in chart.boxes]
    assert heights[1] == pytest.approx(4 * heights[0])
    assert chart.boxes[0].x > chart.left and chart.boxes[1].x + chart.boxes[1].width < chart.right


def test_years_without_any_instrumental_are_no_chart(tmp_path: Path) -> None:
    none = {year: {"releases": 3, "with_instrumentals": 0} for year in ("2019", "2020")}
    found = titles.titles(matched(tmp_path / "m", releases=none))
    assert found.shares is None and len(found.years) == 2


def test_a_match_without_anything_to_say_has_no_section(tmp_path: Path) -> None:
    assert "What the titles said" not in page.page([matched(tmp_path / "m")])


@pytest.mark.parametrize(
    "facts",
    [
        {"releases": {"2020": {"releases": 0, "with_instrumentals": 0}}},
        {"unknown_words": ["tuba"]},
        {"unknown_words": {"tuba": -1}},
        {"releases": {"2020": {"releases": 1, "with_instrumentals": 2}}},
        {"releases": {"x": YEARS["1999"], "99999999": YEARS["1999"], "²": YEARS["1999"]}},
        {"releases": {"2020": [1]}, "notes": {"a": 1}, "large_keys": {"a": 1}},
        {"releases": 5, "notes": [5], "large_keys": [5, {"candidates": "7"}, LARGE]},
    ],
)
def test_records_of_another_shape_are_left_out(tmp_path: Path, facts: dict[str, Any]) -> None:
    assert titles.titles(matched(tmp_path / "m", **facts)).is_empty
