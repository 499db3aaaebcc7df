"""Two runs side by side: what differs is said, and what is the same is not."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.pages import inputs
from pipelines.pages.inputs import Folder
from pipelines.report import command, compare
from stemlode.runs import BadUsage
from tests.pipelines.report import folders


def scores(root: Path, name: str, values: dict[str, float]) -> Folder:
    (root / "music").mkdir(exist_ok=True)
    run = folders.start("evaluate", root / name, {"batch": len(values)}, stems=root / "music")
    rows = [{"song": s, "source": "vocals", "usdr_estimate": v} for s, v in values.items()]
    pq.write_table(pa.Table.from_pylist(rows), run.path("songs.parquet"))
    folders.finish(run, {"songs": len(rows)})
    return inputs.find([str(root / name)])[0][0]


def test_scores_are_compared_over_the_songs_that_both_have(tmp_path: Path) -> None:
    first = scores(tmp_path, "a", {"one": 1.0, "two": 2.0})
    second = scores(tmp_path, "b", {"one": 1.5, "two": 5.0, "three": 9.0})
    found = compare.compared(first, second, str)
    (mean,) = found.means
    assert (mean.name, mean.first, mean.second, mean.change) == (
        "vocals, mean of 2", 1.5, 3.25, 1.75,
    )  # fmt: skip
    assert [(row.name, row.change) for row in found.songs["vocals"]] == [
        ("two", 3.0), ("one", 0.5), ("three", None),
    ]  # fmt: skip
    assert ("options: batch", "2", "3") in found.options
    assert not any(name.startswith("inputs") for name, *_ in found.options)


def test_pairs_that_moved_are_named(tmp_path: Path) -> None:
    decisions = [("kept", "kept"), ("kept", "too_similar"), ("swapped", None), (None, "kept")]
    runs = []
    for side in (0, 1):
        pairs = [
            folders.pair(f"<b>Song {i}", became[side] or "")
            for i, became in enumerate(decisions)
            if became[side]
        ]
        match = folders.match_run(tmp_path / f"c{side}", pairs, 8)
        runs.append(folders.prune_run(tmp_path / f"p{side}", match, pairs))
    first, second = (inputs.find([str(run)])[0][0] for run in runs)
    found = compare.compared(first, second, str)
    assert ("kept", "kept", 1) in found.decisions and ("kept", "too_similar", 1) in found.decisions
    assert [moved[1:] for moved in found.moved] == [
        ("kept", "too_similar"), ("swapped", "not there"), ("not there", "kept"),
    ]  # fmt: skip
    page = tmp_path / "page.html"
    arguments = [str(runs[1]), "--compare", str(runs[0]), "--output", str(page)]
    assert command.main(arguments) == 0
    html = page.read_text()
    assert "Side by side" in html and "&lt;b&gt;Song 2" in html and "<b>Song" not in html
    assert "stemlode report p1 --compare p0 --output report.html" in html


def test_curves_of_both_are_drawn_together(tmp_path: Path) -> None:
    found = []
    for name, best in (("a", 3.0), ("b", 5.0)):
        log = [{"step": s, "loss": 1.0, "valid_loss": 9.0 - s, "valid_sdr": best} for s in (1, 2)]
        (tmp_path / "corpus").mkdir(exist_ok=True)
        folders.train_run(tmp_path / name, tmp_path / "corpus", log)
        found += inputs.find([str(tmp_path / name)])[0]
    drawn = compare.compared(found[0], found[1], str).curves
    assert [title for title, _ in drawn] == ["Loss on the valid split", "SDR on the valid split"]
    assert [c.kind for c in drawn[1][1].curves] == ["first", "second"]


def test_a_curve_that_one_run_alone_has_is_said_and_a_single_point_is_drawn(
    tmp_path: Path,
) -> None:
    logs = {"a": [{"step": 10, "loss": 2.0}], "b": [{"step": 10, "loss": 2.0, "valid_loss": 1.0}]}
    (tmp_path / "corpus").mkdir()
    for name, log in logs.items():
        folders.train_run(tmp_path / name, tmp_path / "corpus", log)
    page = tmp_path / "page.html"
    words = [str(tmp_path / "b"), "--compare", str(tmp_path / "a"), "--output", str(page)]
    assert command.main(words) == 0
    html = page.read_text()
    assert "Only the second logged it." in html
    assert '<circle class="fill second"' in html and '<circle class="fill train"' in html


def test_a_run_without_a_partner_is_one_line(tmp_path: Path) -> None:
    match = folders.match_run(tmp_path / "c", [], 0)
    prune = folders.prune_run(tmp_path / "p", match, [])
    for other in (prune, match):
        with pytest.raises(BadUsage, match=r"--compare .* a run of"):
            command.main(
                [str(match), "--compare", str(other), "--output", str(tmp_path / "x.html")]
            )
    assert not (tmp_path / "x.html").exists()
