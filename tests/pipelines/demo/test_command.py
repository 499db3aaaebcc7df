"""The demo from end to end: the promised counts, and not a byte changed by running it again."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.demo import catalogue
from pipelines.demo import command as demo_command
from stemlode import audio, runs, tables
from stemlode.runs import BadUsage, Failed


def run_demo(output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stemlode", "demo", "--output", str(output), "--steps", "20"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_the_demo_keeps_its_promises_and_changes_no_byte_when_run_again(tmp_path: Path) -> None:
    output = tmp_path / "demo output"
    first = run_demo(output)
    assert first.returncode == 0, first.stderr
    before = hashes(output)

    planned, _ = catalogue.plan_songs(0)
    decisions = {
        (original.title, files.pair.instrumental.title): files.pair.decision
        for files in planned
        for original in files.pair.originals
    }
    scored = tables.read(str(output / "pairs"), "pairs").to_pylist()
    found = {(r["mix"]["title"], r["instrumental"]["title"]): r["decision"] for r in scored}
    assert found.pop(("Falcon 69", "Falcon 69 (Instrumental)"), "kept") == "kept"
    assert found == decisions
    rejects = tables.read(str(output / "pairs"), "rejects").to_pylist()
    assert len(rejects) == 4
    assert len({reject["key"] for reject in rejects}) == 4

    trained = runs.record(str(output / "model"))["counts"]
    assert trained["samples_train"] > 30
    assert trained["samples_valid"] > 0
    scores = runs.record(str(output / "scores"))["scores"]
    assert scores["vocals_usdr_estimate"] > scores["vocals_usdr_mixture"]

    song = audio.read(str(output / "music" / catalogue.NEW[0]))
    vocals, rest = (
        audio.read(str(output / "separated" / "brass-lantern" / f"{stem}.wav")).samples
        for stem in ("vocals", "accompaniment")
    )
    assert vocals.shape == song.samples.shape
    assert abs(vocals + rest - song.samples).max() < 1e-6

    for promised in ("tracks read", "1,000", "candidates", "kept", "too similar", "too different"):
        assert promised in first.stdout
    for promised in ("unreadable", "segments", "hours", "SDR of the mixture", "report.html"):
        assert promised in first.stdout
    opening, _, _ = first.stdout.partition("$ stemlode")
    assert f"fill {output}" in opening
    assert all(f"\n  {verb} " in opening for verb in ("music", "match", "train", "report"))
    *_, link = first.stdout.split()
    assert link == (output / "report" / "report.html").as_uri()
    assert (output / "report" / "report.html").stat().st_size < 8_000_000
    listed = [line.split()[0] for line in first.stdout.splitlines() if line.startswith("$ ")]
    assert len(listed) == 7

    second = run_demo(output)
    assert second.returncode == 0, second.stderr
    assert hashes(output) == before


@pytest.mark.slow
def test_a_verb_that_fails_ends_the_demo_with_one_line(tmp_path: Path) -> None:
    step = demo_command.VerbCall(
        "match", ("--catalog", str(tmp_path / "none.parquet")), str(tmp_path / "out")
    )
    with pytest.raises(Failed, match=r"`stemlode match` ended with exit status 2"):
        demo_command.call(step)


@pytest.mark.slow
def test_verbs_come_from_our_own_folder_not_from_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failed, match="exit status 2"):
        demo_command.call(
            demo_command.VerbCall("train", ("no-such-recipe",), str(tmp_path / "out"))
        )


def test_bad_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="--steps 0"):
        demo_command.main(["--steps", "0", "--output", str(tmp_path)])
    with pytest.raises(BadUsage, match="--stepz"):
        demo_command.main(["--stepz", "3"])


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "diary.txt").write_text("mine")
    with pytest.raises(BadUsage, match="something else"):
        demo_command.main(["--output", str(tmp_path)])
    assert [path.name for path in tmp_path.rglob("*")] == ["music", "diary.txt"]
