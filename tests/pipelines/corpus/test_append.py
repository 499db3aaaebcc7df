"""Additions: what is there is not touched, what is new comes in whole or not at all."""

import errno
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.corpus import append, encode
from pipelines.verify import command
from stemlode import cli, files, retry, runs, schemas, tables
from stemlode.audio import decoders
from stemlode.runs import Failed
from stemlode.shards import reading, tar
from tests.pipelines.corpus.test_command import _pair, _track, _write_pairs

RATE = 8000
MADE_ANEW = ("run", "rejects", "README", "croissant")  # by an addition
OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
OPTIONS += ["--shard-bytes", "40kB", "--split", "train=0.6,valid=0.2,test=0.2"]
OPTIONS += ["--window-seconds", "0", "--fingerprints", "off"]


def _noise(path: Path, seed: int, frames: int = 7000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    walk = np.random.default_rng(seed).integers(-9, 10, frames).cumsum()
    soundfile.write(path, (walk % 9000).astype(np.int16), RATE, subtype="PCM_16")
    return path


def _songs(folder: Path, numbers: Iterable[int]) -> Path:
    for number in numbers:
        for seed, stem in enumerate(("vocals", "drums")):
            _noise(folder / f"song {number}/{stem}.wav", 10 * number + seed)
    return folder


def _run(output: Path, *argv: object) -> int:
    return cli.main(["corpus", "--output", str(output), *OPTIONS, *map(str, argv)])


def _files(output: Path) -> dict[str, tuple[int, int]]:
    paths = [path for path in output.rglob("*") if path.is_file()]
    return {str(p.relative_to(output)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}


def _record(output: Path) -> dict:
    return runs.record(str(output))


def _samples(output: Path) -> dict[str, tuple]:
    rows = tables.read(str(output), "index").to_pylist(maps_as_pydicts="strict")
    return {row["sample_id"]: (row["split"], row["sha256"]) for row in rows}


def _rejects(output: Path) -> dict[str, str]:
    return {row["key"]: row["error"] for row in tables.read(str(output), "rejects").to_pylist()}


def _assert_whole(output: Path) -> None:
    assert command.check(str(output))[0] == []
    kept = {"_PLAN.json", "_SUCCESS", "run.json", *_record(output)["outputs"]}
    assert set(_files(output)) == kept


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `stems` of four songs, one of them broken, and the `corpus` of them."""
    root = tmp_path_factory.mktemp("append")
    _songs(root / "stems", range(4))
    (root / "stems/song 3/drums.wav").write_bytes(b"RIFF")
    assert _run(root / "corpus", "--stems", root / "stems") == 0
    return root


@pytest.fixture
def grown(before: Path, tmp_path: Path) -> Path:
    """A copy of it whose `stems` have four more songs."""
    root = Path(shutil.copytree(before, tmp_path / "grown"))
    _songs(root / "stems", range(4, 8))
    return root


@pytest.mark.slow
def test_a_corpus_of_version_1_grows(grown: Path) -> None:
    """Its own rows stay without `members`, the new ones have them; no map is left on disk."""
    output = grown / "corpus"
    record = json.loads((output / "run.json").read_text())
    for path in output.glob("index-*"):
        pq.write_table(tables.read_part(str(path)).drop_columns(["members"]), path)  # with maps
        record["outputs"][path.name] = files.sha256(str(path))
    record["schemas"]["index"] = 1
    (output / "run.json").write_text(json.dumps(record))
    old = {row["sample_id"] for row in tables.read(str(output), "index").to_pylist()}
    _assert_whole(output)
    assert _run(output, "--stems", grown / "stems", "--append") == 0
    _assert_whole(output)
    assert _record(output)["schemas"]["index"] == 3
    rows = tables.read(str(output), "index").to_pylist()
    assert {row["sample_id"] for row in rows if not row["members"]} == old != set()
    assert any(row["members"] for row in rows)
    (path,) = output.glob("index-*")
    assert not any(pa.types.is_map(field.type) for field in pq.read_schema(path))
    for row in rows:
        names = [f"{name}.flac" for name in row["sources"]]
        found = reading.contents(str(output), row, names)
        hashes = dict(row["sha256"])
        assert tar.hashes(found) == {name: hashes[name] for name in names}


def test_new_songs_come_in_and_no_old_shard_is_touched(
    grown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, old = grown / "corpus", _record(grown / "corpus")
    untouched = {n: f for n, f in _files(output).items() if not n.startswith(MADE_ANEW)}
    assert _run(output, "--append", "--stems", grown / "stems") == 0
    _assert_whole(output)
    assert untouched.items() <= _files(output).items()
    new = _record(output)
    added = set(new["outputs"]) - set(old["outputs"])
    assert any(name.startswith("index-append1-") for name in added)
    # the very samples that a corpus of all of them has at once, song by song in the same split
    assert _run(tmp_path / "at once", "--stems", grown / "stems") == 0
    assert _samples(output) == _samples(tmp_path / "at once")
    assert _rejects(output) == _rejects(tmp_path / "at once")
    at_once = _record(tmp_path / "at once")["counts"]
    assert {k: v for k, v in new["counts"].items() if k != "shards"} == {
        k: v if not isinstance(v, float) else pytest.approx(v, abs=2e-6)
        for k, v in at_once.items()
        if k != "shards"
    }
    capsys.readouterr()
    again = _files(output)
    assert _run(output, "--append", "--stems", grown / "stems") == 0
    assert "already complete" in capsys.readouterr().out
    assert _files(output) == again


def test_a_last_step_that_is_taken_twice_adds_once(
    grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, twin = grown / "corpus", Path(shutil.copytree(grown / "corpus", tmp_path / "twin"))
    clear, faults = append._clear, [OSError(errno.EIO, "Input/output error")]

    def flaky(folder: str) -> None:
        if faults and (output / "run.json").stat().st_mtime_ns != begun:
            raise faults.pop()
        clear(folder)

    begun = (output / "run.json").stat().st_mtime_ns
    monkeypatch.setattr(retry, "WAITS_S", (0.0,))
    monkeypatch.setattr(append, "_clear", flaky)
    assert _run(output, "--append", "--stems", grown / "stems") == 0 and not faults
    assert _run(twin, "--append", "--stems", grown / "stems") == 0
    assert _record(output)["counts"] == _record(twin)["counts"]
    assert len(_record(output)["additions"]) == 1
    _assert_whole(output)


@pytest.mark.slow
def test_an_addition_that_breaks_off_adds_nothing_until_it_is_done(
    grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, twin = grown / "corpus", Path(shutil.copytree(grown / "corpus", tmp_path / "twin"))
    old, samples = _record(output), _samples(output)

    def breaks_off(*_: object, **__: object) -> None:
        raise Failed("lost the worker")

    with monkeypatch.context() as patch:
        patch.setattr(append.Addition, "finish", breaks_off)
        assert _run(output, "--append", "--stems", grown / "stems") == 1
    assert _record(output) == old and _samples(output) == samples
    finished = {n: f for n, f in _files(output).items() if n.endswith(".tar")}
    assert len(finished) > len([n for n in old["outputs"] if n.endswith(".tar")])
    assert _run(output, "--append", "--stems", grown / "stems") == 0
    assert finished.items() <= _files(output).items()  # none was written again
    assert _run(twin, "--append", "--stems", grown / "stems") == 0
    assert _record(output)["outputs"] == _record(twin)["outputs"]
    _assert_whole(output)


@pytest.mark.slow
def test_what_was_given_up_leaves_nothing_behind(
    grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = grown / "corpus"
    with monkeypatch.context() as patch:
        patch.setattr(append.Addition, "finish", lambda *_, **__: 1 / 0)
        assert _run(output, "--append", "--stems", grown / "stems") == 1
    others = _songs(tmp_path / "others", (20, 21))
    assert _run(output, "--append", "--stems", others) == 0
    _assert_whole(output)
    names = {row["name"] for row in tables.read(str(output), "songs").to_pylist()}
    assert {"song 20", "song 21"} <= names and "song 5" not in names


@pytest.mark.slow
def test_only_rejects_are_tried_again(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(before, tmp_path / "root"))
    output = root / "corpus"
    assert list(_rejects(output)) == ["song 3"]
    _songs(root / "stems", [3, 4])
    tried, part = [], encode.Encode._part

    def noting(self: encode.Encode, recording: object, *rest: object) -> object:
        tried.append(recording.name)  # type: ignore[attr-defined]
        return part(self, recording, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(encode.Encode, "_part", noting)
    assert _run(output, "--retry-rejects", "--stems", root / "stems") == 0
    assert tried == ["song 3"]
    assert _rejects(output) == {}
    _assert_whole(output)
    counts = _record(output)["counts"]
    assert counts["multitracks"] == counts["songs"] == counts["recordings"] == 4
    assert counts["rejected"] == 0
    assert _run(output, "--append", "--stems", root / "stems") == 0
    assert tried == ["song 3", "song 4"]
    assert [entry["kind"] for entry in _record(output)["additions"]] == ["retry_rejects", "append"]
    _assert_whole(output)


@pytest.mark.slow
def test_what_fails_again_stays_a_reject(before: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(before, tmp_path / "root"))
    (root / "stems/song 3/drums.wav").write_bytes(b"RIFF again")
    samples = _samples(root / "corpus")
    assert _run(root / "corpus", "--retry-rejects", "--stems", root / "stems") == 0
    assert list(_rejects(root / "corpus")) == ["song 3"]
    assert _samples(root / "corpus") == samples
    _assert_whole(root / "corpus")


@pytest.mark.slow
def test_groups_are_inherited_and_a_bridge_is_rejected(tmp_path: Path) -> None:
    uri = {name: str(_noise(tmp_path / f"{name}.wav", n)) for n, name in enumerate("abcdefgh")}
    track = {name: _track(name, uri[name]) for name in uri}
    first = [_pair(track[a], track[b], f"song {a}") for a, b in ("ab", "cd")]
    _write_pairs(tmp_path / "first", first)
    (tmp_path / "splits.csv").write_text("song,split\nsong a,train\nsong c,test\n")
    given = ["--pairs", tmp_path / "first", "--splits", tmp_path / "splits.csv"]
    assert _run(tmp_path / "corpus", *given) == 0
    more = [
        _pair(track["e"], track["b"], "song e"),  # shares b with song a
        _pair(track["f"], track["d"], "song f"),  # shares d with song c
        _pair(track["a"], track["c"], "a bridge"),
        _pair(track["g"], track["h"], "song g"),
    ]
    _write_pairs(tmp_path / "more", more[:2])
    assert _run(tmp_path / "corpus", "--append", "--pairs", tmp_path / "more") == 0
    _assert_whole(tmp_path / "corpus")
    rows = tables.read(str(tmp_path / "corpus"), "songs").to_pylist()
    groups = {row["song_id"]: (row["split_group"], row["split"]) for row in rows}
    assert groups["song e"] == groups["song a"] == ("a", "train")
    assert groups["song f"] == groups["song c"] == ("c", "test")
    _write_pairs(tmp_path / "bridge", more[2:])
    assert _run(tmp_path / "corpus", "--append", "--pairs", tmp_path / "bridge") == 0
    _assert_whole(tmp_path / "corpus")
    (row,) = tables.read(str(tmp_path / "corpus"), "rejects").to_pylist()
    assert row["error"] == "two_sides" and json.loads(row["record"])["song_id"] == "a bridge"
    assert "two splits" in row["message"]
    names = {row["song_id"] for row in tables.read(str(tmp_path / "corpus"), "songs").to_pylist()}
    assert names == {"song a", "song c", "song e", "song f", "song g"}
    assert set(schemas.SONG.names) >= {"recording_id", "split_group"}


def test_bad_usage_is_one_line_and_changes_nothing(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = ["--stems", before / "stems"]
    cases = {
        "the corpus was made with --flac-bits 16, not 24; --append needs the same": [
            *stems,
            "--append",
            "--flac-bits",
            "24",
        ],
        "take one of them": [*stems, "--append", "--overwrite"],
        "leave --retry-rejects out": [*stems, "--append", "--retry-rejects"],
    }
    held = _files(before / "corpus")
    for says, argv in cases.items():
        assert _run(before / "corpus", *argv) == 2, says
        told = capsys.readouterr().err
        assert says in told and told.count("\n") == 1
        assert _files(before / "corpus") == held
    assert _run(tmp_path / "nothing", *stems, "--append") == 2
    assert not (tmp_path / "nothing").exists()


def test_an_addition_says_what_decoded_it(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = grown / "corpus"
    before = _record(output)["decoder"]
    monkeypatch.setattr(decoders, "name", lambda: "another 2.0")
    assert _run(output, "--append", "--stems", grown / "stems") == 0
    record = _record(output)
    assert (record["decoder"], record["additions"][-1]["decoder"]) == (before, "another 2.0")
    _assert_whole(output)


def test_an_addition_listens_as_the_corpus_was_made(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, stems = tmp_path / "corpus", _songs(tmp_path / "stems", range(2))
    windows = ("--stems", stems, "--window-seconds", "0.4")
    assert _run(output, *windows, "--activity-threshold", "-30.0") == 0
    for name in ("_PLAN.json", "run.json"):  # as they were before there was the option
        held = json.loads((output / name).read_text())
        assert held["options"].pop("activity_threshold") == "-30"
        (output / name).write_bytes(runs.to_json(held))
    songs = {row["song_id"] for row in tables.read(str(output), "index", ["song_id"]).to_pylist()}
    _songs(stems, range(2, 6))
    assert _run(output, *windows, "--append", "--activity-threshold", "relative") == 2
    told = capsys.readouterr().err
    assert "made with --activity-threshold -30, as all were before" in told
    assert _run(output, *windows, "--append") == 0
    rows = tables.read(str(output), "index", ["song_id", "activity_threshold"]).to_pylist()
    assert {row["song_id"] for row in rows} > songs
    assert {row["activity_threshold"] for row in rows} == {"-30"}
    assert _run(output, *windows, "--append") == 0  # done, and still not asked for another value
    _assert_whole(output)
