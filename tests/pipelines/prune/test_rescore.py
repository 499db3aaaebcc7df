"""Other thresholds are applied to what was measured, and give what listening again would."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from matching.sound.decisions import Thresholds
from pipelines.prune import command, thresholds
from stemlode import runs, schemas, tables
from stemlode.audio.decoding import Decoder
from stemlode.runs import BadUsage
from tests.pipelines.prune import folders
from tests.pipelines.prune.folders import pair


@pytest.fixture(scope="module")
def scored(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of prune over good, bad and unrelated pairs."""
    folder = tmp_path_factory.mktemp("scored")
    stems = test_data / "audio/multitrack"
    mallory, easy = stems / "mallory", stems / "so_easy"
    rows = [
        pair("mallory", mallory / "mixture.mp3", mallory / "accompaniment.mp3"),
        pair("so easy", easy / "mixture.mp3", easy / "accompaniment.mp3"),
        pair("same", easy / "mixture.mp3", shutil.copy(easy / "mixture.mp3", folder)),
        pair("other", easy / "mixture.mp3", mallory / "accompaniment.mp3"),
        pair("broken", easy / "mixture.mp3", test_data / "audio/broken/bit_rot.mp3"),
    ]
    folders.write(folder / "candidates", rows)
    words = ["--candidates", str(folder / "candidates"), "--output", str(folder / "pairs")]
    assert command.main(words) == 0
    return folder


def _pairs(folder: Path) -> list[dict[str, Any]]:
    return tables.read(str(folder), "pairs").to_pylist()


def _rescore(scored: Path, output: Path, *flags: str) -> list[dict[str, Any]]:
    words = ["--rescore", str(scored / "pairs"), "--output", str(output), *flags]
    assert command.main(words) == 0
    return _pairs(output)


def _no_audio(*_: Any) -> None:
    raise AssertionError("audio is read")


@pytest.mark.slow
@pytest.mark.parametrize("window", [("0.05", "0.3"), ("0.36", "2"), ("0.15", "0.7")])
def test_rescored_is_what_listening_again_gives(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: tuple[str, str]
) -> None:
    flags = ("--d-min", window[0], "--d-max", window[1])
    words = ["--candidates", str(scored / "candidates"), "--output", str(tmp_path / "again")]
    assert command.main([*words, *flags]) == 0
    monkeypatch.setattr(Decoder, "decode", _no_audio)
    rescored = _rescore(scored, tmp_path / "rescored", *flags)
    assert rescored == _pairs(tmp_path / "again")
    records = [runs.record(str(tmp_path / name)) for name in ("again", "rescored")]
    assert records[0]["options"] == records[1]["options"]
    assert records[0]["outputs"] == records[1]["outputs"]
    for name in ("candidates", "rejected", *schemas.DECISIONS):
        assert records[0]["counts"][name] == records[1]["counts"][name]
    assert records[0]["inputs"]["candidates"] == records[1]["inputs"]["candidates"]


@pytest.mark.slow
def test_a_thresholds_file_says_the_same_as_options(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "thresholds.json")
    thresholds.write(path, Thresholds(0.3, 0.5), criterion="widest")
    flags = ("--thresholds", path)
    by_file = _rescore(scored, tmp_path / "file", *flags)
    assert by_file == _rescore(scored, tmp_path / "options", "--d-min=0.3", "--d-max=0.5")
    record = runs.record(str(tmp_path / "file"))
    assert (record["options"]["d_min"], record["options"]["d_max"]) == (0.3, 0.5)
    capsys.readouterr()
    words = ["--rescore", str(scored / "pairs"), "--output", str(tmp_path / "options"), *flags]
    assert command.main(words) == 0  # the same plan, in other words
    assert "already complete" in capsys.readouterr().out
    thresholds.write(path, Thresholds(0.3, 0.6))
    with pytest.raises(BadUsage, match=r"--d-max 0\.5, not 0\.6"):
        command.main(words)


@pytest.mark.slow
def test_what_was_rescored_can_be_again_and_goes_on_to_corpus(scored: Path, tmp_path: Path) -> None:
    _rescore(scored, tmp_path / "none", "--d-max", "0.15")
    words = ["--rescore", str(tmp_path / "none"), "--output", str(tmp_path / "back")]
    assert command.main(words) == 0
    assert _pairs(tmp_path / "back") == _pairs(scored / "pairs")
    counted = Counter(row["decision"] for row in _pairs(tmp_path / "back"))
    assert counted["kept"] == 2 and counted["unreadable"] == 1


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--candidates", "{}/candidates"), "give one of them"),
        (("--thresholds", "{}/t.json", "--d-min", "0.3"), "give one or the other"),
        (("--thresholds", "{}/t.json", "--d-max", "0.3"), "give one or the other"),
        (("--thresholds", "{}/gone.json"), r"gone\.json: no such file"),
        (("--sample-rate", "16000"), "--sample-rate needs the audio"),
        (("--trim-db=50",), "--trim-db needs the audio"),
        (("--no-align",), "--no-align needs the audio"),
        (("--sum-thresholds",), "say of which sums by --d-min and --d-max"),
        (("--sum-thresholds", "--d-min", "1", "--d-max", "9"), "--sum-thresholds needs --no-align"),
        (("--max-rest", "nan"), "--max-rest nan: a finite number"),
        (("--estimate",), "--estimate needs the audio"),
        (("--d-min", "0.9"), "need 0"),
    ],
)
def test_options_that_contradict_each_other_are_bad_usage(
    scored: Path, tmp_path: Path, flags: tuple[str, ...], why: str
) -> None:
    thresholds.write(str(scored / "t.json"), Thresholds(0.3, 0.5))
    words = ["--rescore", str(scored / "pairs"), "--output", str(tmp_path / "o")]
    with pytest.raises(BadUsage, match=why):
        command.main([*words, *(flag.format(scored) for flag in flags)])
    assert not (tmp_path / "o").exists()


def test_what_is_no_run_of_prune_is_bad_usage(scored: Path, tmp_path: Path) -> None:
    output = ["--output", str(tmp_path / "o")]
    for folder, why in (
        (tmp_path / "gone", "does not exist"),
        (scored / "candidates", "a run of match"),
        (scored, "not a run folder"),
    ):
        with pytest.raises(BadUsage, match=why):
            command.main(["--rescore", str(folder), *output])
    old = shutil.copytree(scored / "pairs", tmp_path / "old")
    record = json.loads((old / runs.RECORD).read_text())
    (old / runs.RECORD).write_text(json.dumps(record | {"options": {"n_fft": "many"}}))
    with pytest.raises(BadUsage, match=r"run\.json does not say"):
        command.main(["--rescore", str(old), *output])
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_other_thresholds_than_the_window_count_as_well(scored: Path, tmp_path: Path) -> None:
    before = {row["pair_id"]: row for row in _pairs(scored / "pairs")}
    kept = {pair_id for pair_id, row in before.items() if row["decision"] == "kept"}
    columns = {"asymmetry": "--min-asymmetry", "alignment_confidence": "--min-confidence"}
    for name, option in columns.items():
        least = min(before[pair_id][name] for pair_id in kept)
        between = (least + max(before[pair_id][name] for pair_id in kept)) / 2
        rescored = _rescore(scored, tmp_path / name, option, str(between))
        found = {row["pair_id"] for row in rescored if row["decision"] == "kept"}
        assert found == {pair_id for pair_id in kept if before[pair_id][name] >= between}
        assert 0 < len(found) < len(kept)


@pytest.mark.slow
def test_a_run_without_alignment_stays_one(scored: Path, tmp_path: Path) -> None:
    words = ["--candidates", str(scored / "candidates"), "--output", str(tmp_path / "pairs")]
    assert command.main([*words, "--no-align"]) == 0
    assert _rescore(tmp_path, tmp_path / "o") == _pairs(tmp_path / "pairs")
    assert runs.record(str(tmp_path / "o"))["options"]["align"] is False
    sums = sorted(row["difference_sum"] for row in _pairs(tmp_path / "pairs") if row["difference"])
    window = ["--sum-thresholds", "--d-min", str(sums[1]), "--d-max", str(sums[-1])]
    for row in _rescore(tmp_path, tmp_path / "sums", *window):
        if row["decision"] != "unreadable":
            kept = sums[1] <= row["difference_sum"] < sums[-1]
            assert (row["decision"] == "kept") == kept and "sum of differences" in row["reason"]


def test_a_table_of_another_version_is_a_line(scored: Path, tmp_path: Path) -> None:
    table = tables.read(str(scored / "pairs"), "pairs").drop_columns(["rest_share"])
    copied = shutil.copytree(scored / "pairs", tmp_path / "pairs")
    run = runs.Run("prune", str(copied), {}, {}, 0.0)
    tables.write(run, "pairs-00000-of-00001.parquet", table)
    with pytest.raises(BadUsage, match="pairs have no column rest_share; write them again"):
        _rescore(tmp_path, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_damaged_table_is_a_line_that_names_it(scored: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(scored / "pairs", tmp_path / "copy")
    path = next(copied.glob("pairs-*.parquet"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(runs.Failed, match=r"pairs-00000-of-00001\.parquet: unreadable table"):
        _rescore(tmp_path, tmp_path / "o", "--rescore", str(copied))


@pytest.mark.slow
def test_without_a_length_in_the_catalogue_hours_are_not_counted(
    scored: Path, tmp_path: Path
) -> None:
    table = tables.read(str(scored / "pairs"), "pairs")
    rows = [row | {"mix": row["mix"] | {"duration_s": float("nan")}} for row in table.to_pylist()]
    copied = shutil.copytree(scored / "pairs", tmp_path / "pairs")
    run = runs.Run("prune", str(copied), {}, {}, 0.0)
    tables.write(run, "pairs-00000-of-00001.parquet", pa.Table.from_pylist(rows, table.schema))
    _rescore(tmp_path, tmp_path / "o")
    assert runs.record(str(tmp_path / "o"))["counts"]["hours_kept"] == 0


@pytest.mark.slow
def test_the_command_line(scored: Path, tmp_path: Path) -> None:
    words = ["--rescore", str(scored / "pairs"), "--output", str(tmp_path / "o"), "--d-max=0.2"]
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "prune", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "too different" in done.stdout
