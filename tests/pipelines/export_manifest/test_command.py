"""Manifests of a corpus are read by lhotse, and give the corpus' sound to the bit."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import stemlode
from stemlode import cli, runs, tables
from tests.stemlode.cards import corpora

SAMPLES: list[dict[str, Any]] = [
    {"licence": '"; rm -rf ~ #\u2028🎵'},
    {"channels": 1, "sources": ["lead-vocals", "mixture", "vocals"]},
    {"sources": ["vocals"], "kind": "unpaired", "split": "test"},
]


@pytest.fixture(scope="module", params=["tar", "parquet"])
def corpus(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """In a folder whose name a shell would take for something else."""
    folder = tmp_path_factory.mktemp("corpora") / "a 'corpus' $(touch x) | \u00fc; &"
    corpora.write(folder, corpora.rows(*SAMPLES), request.param)
    return folder


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _export(corpus: Path, output: Path, *more: str) -> int:
    return cli.main(["export-manifest", str(corpus), "--output", str(output), *more])


@pytest.mark.slow
def test_lhotse_hears_what_the_corpus_holds(corpus: Path, tmp_path: Path) -> None:
    import lhotse
    from lhotse.recipes.utils import read_manifests_if_cached

    assert _export(corpus, tmp_path / "m") == 0
    chunks = {chunk.sample_id: chunk for chunk in stemlode.open_corpus(corpus)}
    names = ("recordings", "cuts")
    found = read_manifests_if_cached(
        ["train", "valid", "test"], tmp_path / "m", prefix="stemlode", types=names
    )
    assert {split: len(of["cuts"]) for split, of in found.items()} == {"train": 2, "test": 1}
    for of in found.values():
        for name in names:
            lhotse.validate(of[name])
        recordings = {recording.id: recording for recording in of["recordings"]}
        for cut in of["cuts"]:
            chunk = chunks.pop(cut.id)
            assert cut.licence == chunk.row["licence"] if chunk.row["licence"] else True
            for name, wanted in chunk.audio.items():
                assert np.array_equal(cut.load_custom(name), wanted)
                assert np.array_equal(recordings[f"{cut.id}-{name}"].load_audio(), wanted)
            whole = chunk.audio.get("mixture", chunk.audio["vocals"])
            assert np.array_equal(cut.load_audio(), whole)
            part = cut.truncate(offset=0.025, duration=0.05)
            assert np.array_equal(part.load_vocals(), chunk.audio["vocals"][:, 200:600])
    assert not chunks and not list(Path().glob("x"))


def test_a_line_for_each_source_and_each_chunk(corpus: Path, tmp_path: Path) -> None:
    assert _export(corpus, tmp_path / "one") == _export(corpus, tmp_path / "two") == 0
    cuts = _lines(tmp_path / "one/stemlode_cuts_train.jsonl.gz")
    held = _lines(tmp_path / "one/stemlode_recordings_train.jsonl.gz")
    assert sorted(one["type"] for one in cuts) == ["MonoCut", "MultiCut"] and len(held) == 5
    assert not (tmp_path / "one/stemlode_cuts_valid.jsonl.gz").exists()
    (solo,) = _lines(tmp_path / "one/stemlode_cuts_test.jsonl.gz")
    assert solo["recording"] == solo["custom"]["vocals"] and "mixture" not in solo["custom"]
    outputs = runs.record(str(tmp_path / "one"))["outputs"]
    assert outputs == runs.record(str(tmp_path / "two"))["outputs"] and len(outputs) == 4
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()}
    assert _export(corpus, tmp_path / "one") == 0  # finds it complete
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()} == before


def test_what_lhotse_could_not_open_is_refused_in_a_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(status: int, *words: object) -> str:
        assert cli.main(["export-manifest", *map(str, words)]) == status
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "a CORPUS" in said(2) and "--output" in said(2, corpus)
    assert "in a store" in said(2, "s3://bucket/corpus", "--output", tmp_path / "m")
    archive = Path(shutil.copytree(corpus, tmp_path / "old.tar" / "corpus"))
    assert "takes that folder for an archive" in said(2, archive, "--output", tmp_path / "m")
    moved = Path(shutil.copytree(corpus, tmp_path / "moved"))
    (moved / "_SUCCESS").rename(tmp_path / "kept")
    assert "not finished" in said(2, moved, "--output", tmp_path / "m")
    (tmp_path / "kept").rename(moved / "_SUCCESS")
    assert _export(corpus, tmp_path / "m") == 0
    capsys.readouterr()
    assert "--overwrite" in said(2, moved, "--output", tmp_path / "m")
    assert _export(moved, tmp_path / "m", "--overwrite") == 0


@pytest.mark.parametrize("shard", ["../../etc/passwd", "train/x.tar"])
def test_an_index_that_names_no_shard_of_ours_opens_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str
) -> None:
    damaged = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    run = runs.Run("corpus", str(damaged), {}, {}, 0.0)
    (path,) = damaged.glob("index-*")
    index = tables.read_part(str(path))
    named = pc.if_else(pc.is_valid(index["shard"]), shard, index["shard"])
    place = index.column_names.index("shard")
    tables.write(run, path.name, index.set_column(place, index.schema.field("shard"), named))
    assert _export(damaged, tmp_path / "m") == 1
    assert f"the index names '{shard}', which is no shard" in capsys.readouterr().err
    assert not (tmp_path / "m/_SUCCESS").exists()
