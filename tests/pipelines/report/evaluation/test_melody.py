"""Figures 5.1 and 5.4, and table 5.1, of what `evaluate --f0` found."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.pages import inputs
from pipelines.report import page
from pipelines.report.evaluation import melody, scores
from stemlode import runs

OURS, OTHER = "joint-source-to-pitch", "swift-f0<b>"


def _row(song: int, system: str, **more: Any) -> dict[str, Any]:
    shares = {"oa": 0.5 + song / 10, "rpa": 0.6 + song / 10, "oa_best": 0.8 + song / 100}
    facts = {"song": f"song {song}", "system": system, "hears": "mixture", "threshold": 0.3}
    return facts | shares | {"sdr_db": None, "ours": system == OURS} | more


@pytest.fixture
def folder(tmp_path: Path) -> inputs.Folder:
    rows = [_row(song, OURS, sdr_db=3.0 + song) for song in range(4)]
    rows += [_row(song, OTHER) for song in range(4)]
    run = runs.start("evaluate", str(tmp_path / "scores"), {}, {})
    assert run is not None
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    (tmp_path / "scores/melody.parquet").write_bytes(buffer.getvalue())
    run.finish({"songs": 4}, {"melody.parquet": hashlib.sha256(buffer.getvalue()).hexdigest()})
    (opened,) = inputs.find([str(tmp_path / "scores")])[0]
    return opened


def test_each_system_has_a_box_and_a_row(folder: inputs.Folder) -> None:
    held = melody.melodies(folder)
    assert held is not None
    titles = {figure.title: figure.chart for figure in held.figures}
    assert list(titles) == ["Overall accuracy", "Raw pitch accuracy", "SDR of the vocals"]
    labels = [row.label for row in titles["Overall accuracy"].rows]
    assert labels == [f"{OURS}, mixture", f"{OTHER}, mixture"]
    assert len(titles["SDR of the vocals"].rows) == 1
    assert titles["Overall accuracy"].unit == "share" and titles["SDR of the vocals"].unit == "dB"
    ours, other = held.rows
    assert (ours.oa, ours.songs, ours.sdr_db) == (pytest.approx(0.65), 4, pytest.approx(4.5))
    assert other.oa_best == pytest.approx(0.815) and other.sdr_db is None
    # Ours are drawn at the fixed threshold, others at their best one: a narrow box.
    first, second = titles["Overall accuracy"].rows
    assert second.third - second.first < (first.third - first.first) / 5


def test_whiskers_reach_one_quartile_range_and_a_triangle_is_the_mean() -> None:
    values = dict(zip("abcdefgh", [0.0, 1, 1, 2, 2, 3, 3, 5.5], strict=True))
    near = scores.boxes({("x", "estimate"): values}, "dB", 1.0)
    far = scores.boxes({("x", "estimate"): values})
    assert near is not None and far is not None
    assert len(near.rows[0].outliers) == 1 and not far.rows[0].outliers
    assert near.rows[0].median < near.rows[0].mean < near.rows[0].third


def test_the_page_shows_them_and_escapes_names(folder: inputs.Folder) -> None:
    html = page.page([folder])
    assert "How well it hears pitch" in html and "Overall accuracy over songs" in html
    assert "swift-f0&lt;b&gt;, mixture" in html and "swift-f0<b>" not in html
    assert "OA at 0.4" in html and "0.650" in html and "0.815" in html
    assert "How well it separates" not in html


def test_pictures_of_one_song_stand_beside_each_other(tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n and so on"
    for name, teacher in (("ours", "joint-stacked-refinement"), ("swift", "swift-f0")):
        run = runs.start("pitch", str(tmp_path / name), {"teacher": teacher}, {})
        assert run is not None
        outputs = {}
        for song, data in (("a <i>", picture), ("b", b"no picture")):
            (tmp_path / name / song).mkdir()
            (tmp_path / name / song / "salience.png").write_bytes(data)
            outputs[f"{song}/salience.png"] = hashlib.sha256(data).hexdigest()
        run.finish({"heard": 2}, outputs)
    found = melody.pictures(inputs.find([str(tmp_path)])[0])
    assert {song: len(clips) for song, clips in found.items()} == {"a <i>": 2}
    html = page.page(inputs.find([str(tmp_path)])[0])
    assert html.count("data:image/png;base64,") == 2 and "a &lt;i&gt;" in html
    assert "joint-stacked-refinement, ours" in html and "Pitch, to see" in html


def test_separated_vocals_stand_beside_their_song(tmp_path: Path) -> None:
    """Figure 5.7: our net on a mixture, another on what was separated from it."""
    picture = b"\x89PNG\r\n\x1a\n and so on"
    for name, song, source in (
        ("ours", "byrds", "/music/byrds.flac"),
        ("other", "vocals", "/separated/byrds/vocals.wav"),
        ("hostile", "vocals", ["no", "path"]),
    ):
        run = runs.start("pitch", str(tmp_path / name), {"teacher": name}, {})
        assert run is not None
        (tmp_path / name / song).mkdir()
        (tmp_path / name / song / "salience.png").write_bytes(picture)
        outputs = {f"{song}/salience.png": hashlib.sha256(picture).hexdigest()}
        run.finish({"heard": 1}, outputs, songs={song: source})
    found = melody.pictures(inputs.find([str(tmp_path)])[0])
    labels = {song: [clip.label for clip in clips] for song, clips in found.items()}
    assert labels == {
        "byrds": ["other on its vocals, other", "ours, ours"],
        "vocals": ["hostile, hostile"],
    }
