"""Verify: a whole corpus passes, and whatever is done to one is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.corpus import command
from pipelines.verify import command as verify_command
from stemlode import cards, cli, files, runs, tables
from stemlode.runs import BadUsage
from stemlode.schemas import maps

RATE = 8000
OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
OPTIONS += ["--shard-bytes", "40kB", "--split", "train=0.6,valid=0.2,test=0.2"]
OPTIONS += ["--window-seconds", "0", "--seed", "3"]
FORMATS = ("webdataset", "parquet")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six songs of seeded noise, one of them of no use, in either format."""
    root = tmp_path_factory.mktemp("verify")
    for song in range(6):
        (root / f"stems/song {song}").mkdir(parents=True)
        for number, stem in enumerate(("vocals", "drums")):
            walk = np.random.default_rng(10 * song + number).integers(-9, 10, 6000 + 900 * song)
            path = root / f"stems/song {song}/{stem}.wav"
            soundfile.write(path, (walk.cumsum() % 9000).astype(np.int16), RATE, subtype="PCM_16")
    (root / "stems/song 5/drums.wav").write_bytes(b"RIFF")
    for form in FORMATS:
        argv = ["--stems", str(root / "stems"), "--output", str(root / form), "--format", form]
        assert command.main([*argv, *OPTIONS]) == 0
    return {form: root / form for form in FORMATS}


@pytest.fixture(params=FORMATS)
def whole(request: pytest.FixtureRequest, corpora: dict[str, Path]) -> Path:
    """A corpus in either format, to be looked at only."""
    return corpora[request.param]


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "corpus"))


def _wrong(folder: Path) -> list[str]:
    return verify_command.check(str(folder))[0]


def _rewrite_index(folder: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Change the index, and the record with it, so that only its content is wrong."""
    (path,) = folder.glob("index-*")
    table = tables.read_part(str(path))
    rows = change(table.to_pylist(maps_as_pydicts="strict"))
    changed = maps.stored(pa.Table.from_pylist(rows, table.schema))
    pq.write_table(changed, path, compression="zstd")
    record = json.loads((folder / "run.json").read_text())
    record["outputs"][path.name] = files.sha256(str(path))
    (folder / "run.json").write_text(json.dumps(record))


def test_a_whole_corpus_passes(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert cli.main(["verify", str(whole)]) == 0
    counts = runs.record(str(whole))["counts"]
    said = capsys.readouterr().out
    assert f"{counts['samples']} samples of {counts['songs']} songs" in said
    assert counts["songs"] == 5 and counts["rejected"] == 1
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_an_index_that_does_not_say_where_files_lie_passes(damaged: Path) -> None:
    """As none of version 1 does."""
    _rewrite_index(damaged, lambda rows: [{**row, "members": None} for row in rows])
    assert not _wrong(damaged)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), data=st.data())
@pytest.mark.parametrize("form", FORMATS)
def test_a_flipped_bit_anywhere_is_found(
    corpora: dict[str, Path], form: str, place: float, bit: int, data: st.DataObject
) -> None:
    folder = corpora[form]
    names = sorted(runs.record(str(folder))["outputs"])
    name = data.draw(st.sampled_from(names))
    path = folder / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1 << bit
    try:
        path.write_bytes(bad)
        wrong = _wrong(folder)
        edited = verify_command.edited(str(folder))
    finally:
        path.write_bytes(good)
    if name in cards.NAMES:  # words that people may change
        assert not wrong and [line.startswith(f"{name} ") for line in edited] == [True]
    else:
        assert any(line.startswith(f"{name}: ") for line in wrong), (wrong, place)


def test_a_flip_in_the_plan_or_the_record_is_found(damaged: Path) -> None:
    plan = damaged / "_PLAN.json"
    plan.write_text(plan.read_text().replace('"seed": 3', '"seed": 2'))
    assert any(line.startswith("_PLAN.json: ") for line in _wrong(damaged))


@pytest.mark.parametrize("fault", ["gone", "cut", "empty", "longer"])
def test_a_shard_that_is_not_what_was_written_is_named(damaged: Path, fault: str) -> None:
    shard = sorted(path for path in damaged.glob("train/*"))[0]
    data = shard.read_bytes()
    if fault == "gone":
        shard.unlink()
    else:
        changed = {"cut": data[: len(data) // 2], "empty": b"", "longer": data + bytes(512)}
        shard.write_bytes(changed[fault])
    wrong = _wrong(damaged)
    assert wrong and all(line.startswith(f"train/{shard.name}: ") for line in wrong)


def test_the_command_names_what_is_wrong_and_exits_1(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = sorted(path for path in damaged.glob("train/*"))[0]
    shard.unlink()
    (damaged / "train" / "notes.txt").write_text("not ours")
    assert cli.main(["verify", "--corpus", str(damaged), "--workers", "2"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("train/notes.txt: not in run.json") for line in said)
    assert any(line.startswith(f"train/{shard.name}: ") for line in said)
    assert said[-1].startswith("error: ") and "2 things are wrong" in said[-1]


def _leak(rows: list[dict]) -> list[dict]:
    train = next(row for row in rows if row["split"] == "train")
    other = next(row for row in rows if row["split"] != "train")
    other["split_group"] = train["split_group"]
    return rows


def _twice(rows: list[dict]) -> list[dict]:
    return [*rows, rows[0]]


def _shifted(rows: list[dict]) -> list[dict]:
    rows[0]["offset"] += 512
    return rows


def _another_level(rows: list[dict]) -> list[dict]:
    rows[0]["scale"] *= 2
    return rows


def _longer(rows: list[dict]) -> list[dict]:
    rows[0]["duration_s"] += 0.25
    return rows


def _lost(rows: list[dict]) -> list[dict]:
    return rows[1:]


def _elsewhere(rows: list[dict]) -> list[dict]:
    rows[0]["members"]["mixture.flac"]["offset"] += 1
    return rows


def _other_points(rows: list[dict]) -> list[dict]:
    rows[0]["members"]["mixture.flac"]["seek_points"][0] += 1
    return rows


def _nowhere(rows: list[dict]) -> list[dict]:
    del rows[0]["members"]["json"]
    return rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_leak, "is in"),
        (_twice, "comes more than once"),
        (_shifted, "train/train-00000"),
        (_another_level, "scale differs between its json and the index"),
        (_longer, "in the index"),
        (_lost, "run.json: samples is"),
        (_elsewhere, "the index gives mixture.flac another offset: "),
        (_other_points, "the index gives mixture.flac another seek_points"),
        (_nowhere, "the index says not where json lies"),
    ],
)
def test_an_index_that_says_something_else_is_found(
    damaged: Path, change: Callable[[list[dict]], list[dict]], says: str
) -> None:
    _rewrite_index(damaged, lambda rows: change(sorted(rows, key=lambda r: r["shard"])))
    wrong = _wrong(damaged)
    if change is _shifted:
        assert wrong
    else:
        assert any(says in line for line in wrong), wrong


def test_sound_that_does_not_decode_is_found_where_every_hash_agrees(
    corpora: dict[str, Path], tmp_path: Path
) -> None:
    """Written wrong from the start: only decoding can tell."""
    folder = Path(shutil.copytree(corpora["webdataset"], tmp_path / "corpus"))
    shard = sorted(folder.glob("train/*.tar"))[0]
    data = bytearray(shard.read_bytes())
    start = data.find(b"fLaC")
    data[start + 60 : start + 100] = bytes(40)
    shard.write_bytes(data)
    wrong = _wrong(folder)
    assert any("flac" in line and "its SHA-256" in line for line in wrong)
    assert any("does not decode" in line or "in the index" in line for line in wrong)


def test_what_is_no_finished_corpus_is_bad_usage(damaged: Path, tmp_path: Path) -> None:
    (damaged / "_SUCCESS").unlink()
    for folder in (damaged, tmp_path / "nothing"):
        with pytest.raises(BadUsage):
            verify_command.check(str(folder))
    for argv in ([], [str(damaged), "--workers", "0"], [str(damaged), "--corpus", "x"]):
        assert cli.main(["verify", *argv]) == 2


@pytest.mark.parametrize("name", ["songs", "landmarks", "rejects"])
def test_a_table_with_other_columns_is_found(damaged: Path, name: str) -> None:
    (path,) = damaged.glob(f"{name}-*")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(table.column_names[:1]), path)  # one that was always there
    record = json.loads((damaged / "run.json").read_text())
    record["outputs"][path.name] = files.sha256(str(path))
    (damaged / "run.json").write_text(json.dumps(record))
    line = f"{path.name}: its columns are not those of this version: no column "
    assert any(found.startswith(line) for found in _wrong(damaged))
