"""Runs of an old Stemlode go on: whole ones are read, those that were killed are finished."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stemlode import cli, files, runs, tables
from tests import old_runs

pytestmark = pytest.mark.slow
# What was no option when the old runs were made.
AS_THEN = {"labels": ["--offset", "none", "--activity-threshold", "-30"]}
DECODED = ("pairs", "corpus", "labels")  # runs that hold, half-way, what a decoder gave


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old runs, made once for all processes that test; nobody may change them."""
    if missing := old_runs.missing():
        pytest.skip(missing)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose own folder lies in that of the session
        folder = folder.parent
    old_runs.build(folder / "old-runs")
    return folder / "old-runs"


def _run(*words: str | Path) -> None:
    assert cli.main([str(word) for word in words]) == 0


def _contents(folder: Path) -> dict[str, str]:
    return {path: files.sha256(path) for path in files.list_files(str(folder))}


def _column(folder: Path, table: str, *names: str) -> list[Any]:
    found = tables.read(str(folder), table, names).to_pylist()
    return sorted((tuple(row[name] for name in names) for row in found), key=repr)


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


@pytest.mark.parametrize("name", old_runs.commands(Path()))
def test_the_same_command_finds_the_run_complete(
    old: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _contents(old / name)
    _run(*old_runs.commands(old)[name], "--output", old / name)
    assert "already complete" in capsys.readouterr().out
    assert _contents(old / name) == before


@pytest.mark.parametrize("name", old_runs.KILLED)
def test_a_run_that_was_killed_is_finished(
    old: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = _copy(old / "killed" / name, tmp_path / name)
    plan = (begun / "_PLAN.json").read_bytes()
    words = [*old_runs.commands(old)[name], "--output", str(begun)]
    if name in DECODED:  # with other decoders it would mix two kinds of samples
        before = _contents(begun)
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert "the decoders of an earlier version" in said and "--overwrite" in said
        assert _contents(begun) == before
        _run(*words, "--overwrite", *AS_THEN.get(name, []))
    else:
        _run(*words)
        assert (begun / "_PLAN.json").read_bytes() == plan
    record, before = runs.record(str(begun)), runs.record(str(old / name))
    assert not [path for path in files.list_files(str(begun)) if files.is_temporary(path)]
    assert not (begun / "_parts").exists()
    if name == "longer-model":
        log = [json.loads(line) for line in (begun / "log.jsonl").read_text().splitlines()]
        was = [json.loads(line) for line in (old / name / "log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in log] == [row["step"] for row in was]
        assert log[-1]["loss"] == pytest.approx(was[-1]["loss"], rel=0.05)
    if name == "scores":
        scored = [pq.read_table(folder / "songs.parquet") for folder in (begun, old / name)]
        assert scored[0]["song"].to_pylist() == scored[1]["song"].to_pylist()
    ids = {
        "candidates": ("candidates", "pair_id", "marker"),
        "pairs": ("pairs", "pair_id", "decision"),
        "catalogue": ("catalogue", "track_id", "title", "duration_s"),
        "corpus": ("index", "sample_id", "split", "song_id"),
        "labels": ("index", "sample_id", "kind"),
    }
    if name in ids:
        assert _column(begun, *ids[name]) == _column(old / name, *ids[name])
        assert record["counts"].get("rejected") == before["counts"].get("rejected")
    if name in ("corpus", "labels"):
        _run("verify", begun)


@pytest.mark.parametrize("name", ["corpus", "labels"])
def test_every_byte_of_an_old_corpus_is_proved(old: Path, name: str) -> None:
    _run("verify", old / name)


def test_old_pairs_are_judged_again(old: Path, tmp_path: Path) -> None:
    _run("prune", "--rescore", old / "pairs", "--d-max", "0.3", "--output", tmp_path / "strict")
    before, after = (
        dict(_column(folder, "pairs", "pair_id", "decision"))
        for folder in (old / "pairs", tmp_path / "strict")
    )
    assert before.keys() == after.keys()
    changed = {(was, after[pair]) for pair, was in before.items() if was != after[pair]}
    assert changed == {("kept", "too_different")}
    _run("corpus", "--pairs", tmp_path / "strict", "--output", tmp_path / "corpus")
    _run("verify", tmp_path / "corpus")


def test_old_candidates_are_listened_to(old: Path, tmp_path: Path) -> None:
    _run("prune", "--candidates", old / "candidates", "--output", tmp_path / "pairs")
    assert _column(tmp_path / "pairs", "pairs", "pair_id", "decision") == _column(
        old / "pairs", "pairs", "pair_id", "decision"
    )


def test_old_pairs_and_an_old_catalogue_make_new_runs(old: Path, tmp_path: Path) -> None:
    _run("corpus", "--pairs", old / "pairs", "--output", tmp_path / "corpus")
    _run("verify", tmp_path / "corpus")
    _run("match", "--catalog", old / "catalogue", "--output", tmp_path / "candidates")


def test_an_old_corpus_grows(old: Path, tmp_path: Path) -> None:
    corpus = _copy(old / "corpus", tmp_path / "corpus")
    words = ["corpus", "--stems", old / "music" / "stems", "--append", "--output", corpus]
    _run(*words, "--chunk-seconds", "30", "--split", "train=0.9,valid=0.1")
    _run("verify", corpus)
    held = {row[0] for row in _column(corpus, "index", "sample_id")}
    was = {row[0] for row in _column(old / "corpus", "index", "sample_id")}
    assert held > was
    shards = {path for path in runs.record(str(old / "corpus"))["outputs"] if "/" in path}
    assert all(
        files.sha256(str(corpus / path)) == files.sha256(str(old / "corpus" / path))
        for path in shards
    )
    _run("train", "unet-vocals-small", "--corpus", corpus, "--steps", "2", "--workers", "0",
         "--output", tmp_path / "model")  # fmt: skip


def test_old_runs_are_on_one_page(old: Path, tmp_path: Path) -> None:
    names = [name for name in old_runs.commands(old) if (old / name).is_dir()]
    _run("report", *(old / name for name in names), "--output", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    pairs = runs.record(str(old / "pairs"))["counts"]
    assert f"{pairs['kept']}" in page and "longer-model" in page


def test_an_old_corpus_and_an_old_checkpoint_are_used(old: Path, tmp_path: Path) -> None:
    model, music = old / "model", old / "music"
    song = music / "new" / "brass-lantern.flac"
    small = ["--steps", "2", "--workers", "0"]
    _run("train", "unet-vocals-small", "--corpus", old / "corpus", *small, "--output",
         tmp_path / "model")  # fmt: skip
    _run("evaluate", "--checkpoint", model, "--corpus", old / "corpus", "--output", tmp_path / "e")
    _run("separate", song, "--checkpoint", model, "--output", tmp_path / "s")
    _run("pseudolabel", "--music", music / "new", "--teacher", model, "--output", tmp_path / "l")
    old_voice = (old / "separated" / "brass-lantern" / "vocals.wav").read_bytes()
    assert len((tmp_path / "s" / "brass-lantern" / "vocals.wav").read_bytes()) == len(old_voice)
