"""A finished corpus opens as it is in others' libraries, by the card that it carries."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import stemlode
from pipelines.corpus import append, cards
from stemlode import cli, runs
from stemlode.runs import to_json
from tests.stemlode.cards import corpora

# Samples that differ in all in which the samples of a corpus may: left to guess, `datasets` would
# take the first ones for all of them.
SAMPLES: list[dict[str, Any]] = [
    *({"sources": ["mixture"], "licence": None} for _ in range(5)),
    {"sources": ["mixture", "vocals"], "licence": "<b>CC</b> | BY\n4.0", "level_db": [0.5, 1.0]},
    {"sources": ["vocals"], "kind": "unpaired", "split": "test", "release_year": 1999},
]


@pytest.fixture(scope="module", params=["tar", "parquet"])
def corpus(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A corpus with no valid split; nobody may change it."""
    folder = tmp_path_factory.mktemp("corpora") / "a corpus"
    corpora.write(folder, corpora.rows(*SAMPLES), request.param)
    assert cli.main(["verify", str(folder)]) == 0
    return folder


def _copy(corpus: Path, to: Path) -> Path:
    return Path(shutil.copytree(corpus, to / "corpus"))


def _addition(corpus: Path) -> runs.Run:
    run = append.start("corpus", str(corpus), corpora.OPTIONS, {}, kind=append.APPEND)
    assert run is not None
    return run


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_opens_the_folder(
    corpus: Path, streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    options = {"streaming": streaming, "cache_dir": str(tmp_path)}
    found = datasets.load_dataset(str(corpus), **options)
    assert sorted(found) == ["test", "train"]
    chunks = {chunk.sample_id: chunk for chunk in stemlode.open_corpus(corpus)}
    for split, samples in found.items():
        for sample in samples:
            chunk = chunks.pop(sample.get("__key__") or sample["sample_id"])
            assert chunk.row["split"] == split
            assert {n for n in ("mixture", "vocals") if sample[f"{n}.flac"]} == {*chunk.audio}
            for name, wanted in chunk.audio.items():
                heard, rate = soundfile.read(io.BytesIO(sample[f"{name}.flac"]), dtype="float32")
                assert rate == chunk.sample_rate
                assert np.array_equal(heard.T * sample["json"]["scale"], wanted)
            assert sample["json"].get("licence") == chunk.row["licence"]
    assert not chunks
    audio = datasets.load_dataset(str(corpus), "audio", streaming=True)["train"].features
    assert isinstance(audio["vocals.flac"], datasets.Audio)
    for table in ("index", "songs"):
        paths = str(corpus / f"{table}-*.parquet")
        rows = list(datasets.load_dataset("parquet", data_files=paths, split="train", **options))
        assert len(rows) == len(SAMPLES)
    if any(corpus.glob("train/*.parquet")):  # one kind of files in a folder's configurations
        rows = list(datasets.load_dataset(str(corpus), "index", split="train", **options))
        assert len(rows) == len(SAMPLES)


@pytest.mark.slow
def test_croissant_validates_and_gives_records(corpus: Path) -> None:
    import mlcroissant

    found = mlcroissant.Dataset(str(corpus / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    assert {
        line.split('"')[1].rpartition("/")[2] for line in found.metadata.ctx.issues.warnings
    } == {
        "citeAs",
        "datePublished",
    }  # which only those who publish it know
    index = {row["sample_id"]: row for row in stemlode.open_corpus(corpus).index.to_pylist()}
    for record in found.records("index"):
        row = index.pop(record["index/sample_id"].decode())
        for name in ("duration_s", "release_year", "offset"):
            assert record[f"index/{name}"] == row[name]
        assert [source.decode() for source in record["index/sources"]] == row["sources"]
    assert not index
    assert len(list(found.records("songs"))) == len(SAMPLES)
    if any(corpus.glob("train/*.parquet")):
        for record in found.records("train"):
            assert (
                record["train/sample_id"].decode() == json.loads(record["train/json"])["sample_id"]
            )


def test_duckdb_asks_the_index_as_it_lies(corpus: Path) -> None:
    import duckdb

    found = duckdb.sql(
        f"""SELECT split, count(map_from_entries(salient)['vocals']), any_value(len(members))
        FROM '{corpus}/index-*.parquet' GROUP BY split ORDER BY split"""
    )
    assert [row[:2] for row in found.fetchall()] == [("test", 1), ("train", 6)]


def test_an_edited_card_is_said_and_is_no_fault(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _copy(corpus, tmp_path)
    (folder / "README.md").write_text("mine")
    (folder / "croissant.json").unlink()
    (folder / ".cache/huggingface").mkdir(parents=True)
    for name in (".gitattributes", ".cache/huggingface/.gitignore"):  # of a download from a hub
        (folder / name).touch()
    assert cli.main(["verify", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "README.md was edited" in said and "croissant.json is missing" in said


def test_an_addition_makes_the_card_anew_and_keeps_what_was_edited(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _copy(corpus, tmp_path)
    before = (folder / "README.md").read_bytes()
    (folder / "README.md").write_text("mine")
    run = _addition(folder)
    added = cards.write(run, {})
    assert (folder / "README-before-append1.md").read_text() == "mine"
    again = cards.write(run, {})  # a step that is tried twice
    assert again == added and (folder / "README-before-append1.md").read_text() == "mine"
    assert (folder / "README.md").read_text() == "mine"  # until the addition is in the record
    run.finish({}, added)
    after = (folder / "README.md").read_bytes()
    assert after != before and b"added to once" in after
    assert not (folder / "croissant-before-append1.json").exists()
    assert json.loads((folder / "croissant.json").read_text())["version"] == "1.1.0"
    assert cli.main(["verify", str(folder)]) == 0
    assert "note" not in capsys.readouterr().out


def test_a_corpus_of_before_gets_its_card_by_an_addition(corpus: Path, tmp_path: Path) -> None:
    folder = _copy(corpus, tmp_path)
    record = runs.record(str(folder))
    for name in ("README.md", "croissant.json"):
        del record["outputs"][name]
    (folder / "run.json").write_bytes(to_json(record))
    (folder / "croissant.json").unlink()
    (folder / "README.md").write_text("of somebody")
    run = _addition(folder)
    run.finish({}, cards.write(run, {}))
    assert (folder / "README-before-append1.md").read_text() == "of somebody"
    assert {"README.md", "croissant.json"} <= {*runs.record(str(folder))["outputs"]}
    assert cli.main(["verify", str(folder)]) == 0
