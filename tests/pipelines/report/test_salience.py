"""The report on salience, and figure 5.2: what is shown lies on the same columns."""

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.pages import inputs, media
from pipelines.report import page, salience
from stemlode import cli, tables
from stemlode.runs import Failed
from tests.pipelines.salience import sung
from tests.training.salience_folder import write_salience

VOICED = range(300, 500)  # frames of a song
LOW = 100  # row


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shown")
    return sung.corpus(sung.stems(root / "stems"), root / "corpus")


def _folders(*paths: Path) -> list[inputs.Folder]:
    return inputs.find([str(path) for path in paths])[0]


def _drawn(clip: media.Clip) -> np.ndarray:
    data = base64.b64decode(clip.picture.partition(",")[2])
    return np.array(Image.open(io.BytesIO(data)))[::-1].astype(int)  # the lowest row first


@pytest.fixture
def heard(corpus: Path, tmp_path: Path) -> Path:
    def ridge(n: int) -> dict[int, float]:
        return {LOW: 1.0} if n in VOICED else {}

    return write_salience(corpus, tmp_path / "heard", ridge)


def test_the_patch_is_the_song_s(corpus: Path, heard: Path) -> None:
    folders = _folders(corpus, heard)
    assert [folder.verb for folder in folders] == ["corpus", "salience"]
    held = salience.heard(folders[1], folders[:1])
    assert held is not None and held.several is None
    assert (held.teacher, held.targets, held.songs) == ("swift-f0", "single", 3)
    (patch,) = held.patches
    mixture, vocals, ridges = map(_drawn, patch.clips)
    assert [clip.label for clip in patch.clips] == ["mixture", "vocals", "salience"]
    assert mixture.shape == vocals.shape and ridges.shape == (360, mixture.shape[1])
    lit = np.flatnonzero(ridges[LOW] > 0)
    assert (lit[0], lit[-1]) == (VOICED[0] // 2, VOICED[-1] // 2)  # two frames are one column
    assert not np.delete(ridges, LOW, axis=0).any()


def test_the_page_says_how_many_voices(corpus: Path, heard: Path) -> None:
    html = page.page(_folders(corpus, heard))
    assert "The salience" in html and html.count("data:image/png;base64,") == 3
    assert "one ridge a frame" in html and "several voices sound" not in html
    alone = page.page(_folders(heard))  # without its corpus there is nothing to draw from
    assert "The salience" in alone and "data:image/png;base64," not in alone


def test_solo_and_several_voices_each_have_a_patch(corpus: Path, heard: Path) -> None:
    (path,) = heard.glob("salience-*.parquet")
    table = tables.read_part(str(path), salience.COLUMNS)
    rows = table.to_pylist()
    songs = sorted({row["song_id"] for row in rows})
    for row in rows:
        row["several_voices"] = row["song_id"] == songs[0]
    (first, second) = _folders(corpus, heard)
    found = salience._patches(second, first, rows)
    assert [patch.label for patch in found] == ["A solo voice", "Several voices"]


def test_a_shard_that_is_gone_costs_the_pictures_alone(corpus: Path, heard: Path) -> None:
    for path in heard.glob("*/*.tar"):
        path.unlink()
    html = page.page(_folders(corpus, heard))
    assert "The salience" in html and "data:image/png;base64," not in html


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", None),
        ("voiced", float("nan")),
        ("first_sample", -1),
        ("offset", 2**40),
        ("frames", "<i>x"),
        ("teacher", "<i>x"),
    ],
)
def test_a_hostile_table_breaks_no_page(
    corpus: Path, heard: Path, name: str, value: object
) -> None:
    (path,) = heard.glob("salience-*.parquet")
    table = pq.ParquetFile(path).read()
    at = table.column_names.index(name)
    kind = {type(None): pa.float64(), int: pa.int64(), str: pa.string()}.get(
        type(value), pa.float64()
    )
    column = pa.array([value] * table.num_rows, kind)
    pq.write_table(table.set_column(at, name, column), path)
    try:
        html = page.page(_folders(corpus, heard))
    except Failed as error:
        assert "salience-" in str(error)
    else:
        assert "<i>x" not in html


def test_as_a_user_runs_it(corpus: Path, heard: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert cli.main(["report", str(corpus), str(heard), "--output", str(output)]) == 0
    assert "The salience" in output.read_text()
