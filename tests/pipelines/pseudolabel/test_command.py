"""`stemlode pseudolabel` as a user runs it, on sounds of which it is known what they are."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import soundfile

from pipelines.pseudolabel import command
from pipelines.pseudolabel.options import plan_of
from pipelines.pseudolabel.plan import track_name
from pipelines.samples import chunks
from pipelines.verify import command as verify_command
from stemlode import cli, files, runs, tables
from stemlode.shards import tar
from tests.pipelines.pseudolabel import unlabelled_music as music_
from training.data import corpus as training_corpus
from training.data import pools
from training.recipes import registry
from training.teachers import loading

PROJECT = Path(__file__).resolve().parents[3]
PLAIN = "tests.training.teachers.plain_teachers"
FLAGS = ["--shard-bytes", "2MB", "--batch-size", "4", "--device", "cpu", "--offset", "none"]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music_.songs(tmp_path_factory.mktemp("unlabelled") / "music")


@pytest.fixture(scope="module")
def labelled(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("labelled") / "out"
    assert label(music, output) == 0
    return output


def label(music: Path, output: Path, *flags: str, teacher: str = "split") -> int:
    teaching = ["--teacher", teacher if ":" in teacher else f"{PLAIN}:{teacher}"]
    source = ["--catalog" if music.suffix else "--music", str(music)]
    return cli.main(["pseudolabel", *source, "--output", str(output), *teaching, *FLAGS, *flags])


def index(folder: Path) -> list[dict[str, Any]]:
    return tables.read(str(folder), "index").to_pylist(maps_as_pydicts="strict")


def rejects(folder: Path) -> list[dict[str, Any]]:
    return tables.read(str(folder), "rejects").to_pylist()


def record(folder: Path) -> dict[str, Any]:
    return runs.record(str(folder))


def check_counts(folder: Path) -> None:
    """Every track and every segment came out once."""
    counts, rows, refused = record(folder)["counts"], index(folder), rejects(folder)
    assert counts["tracks_read"] == counts["tracks"] + counts["tracks_rejected"]
    assert counts["segments"] == (
        counts["segments_silent"] + counts["segments_rejected"] + counts["samples"]
    )
    assert counts["samples"] == len(rows)
    assert counts["rejected"] == len(refused)
    assert len(refused) == counts["tracks_rejected"] + counts["segments_rejected"]
    kinds = Counter(row["kind"] for row in rows)
    for kind in ("pseudo", "clean_target", "clean_residual"):
        assert counts[f"segments_{kind}"] == kinds[kind]


def test_each_sound_becomes_what_it_is(music: Path, labelled: Path) -> None:
    check_counts(labelled)
    assert not rejects(labelled)
    titles = {
        row["song_id"]: row["name"] for row in tables.read(str(labelled), "songs").to_pylist()
    }
    kinds: dict[str, set[str]] = {}
    for row in index(labelled):
        kinds.setdefault(titles[row["song_id"]], set()).add(row["kind"])
    assert kinds == {
        "both 0": {"pseudo"},
        "both 1": {"pseudo"},
        "deep": {"clean_residual"},
        "shrill": {"clean_target"},
        "parts": {"clean_residual", "clean_target"},
    }
    counts = record(labelled)["counts"]
    assert counts["tracks"] == 5
    assert counts["segments"] == 13 + 15 + 6 + 5 + 25
    assert 2 <= counts["segments_silent"] <= 5  # a pause of 15 s, as windows of 6 s see it


def test_an_index_row_says_all(labelled: Path) -> None:
    sha256 = loading.load(f"{PLAIN}:split", "cpu").sha256
    for row in index(labelled):
        energies = row["energies_db"]
        assert set(energies) == {"mixture", "vocals", "accompaniment"}
        expected = {
            "pseudo": ["accompaniment", "mixture", "vocals"],
            "clean_target": ["vocals"],
            "clean_residual": ["accompaniment"],
        }
        assert row["sources"] == expected[row["kind"]]
        if row["kind"] == "clean_residual":
            assert energies["mixture"] - energies["vocals"] > 30
        elif row["kind"] == "clean_target":
            assert energies["mixture"] - energies["accompaniment"] > 30
        assert row["teacher_sha256"] == sha256
        assert row["confidence"] > 0.9
        assert (row["duration_s"], row["sample_rate"], row["channels"]) == (3.0, 16_000, 2)
        assert row["start_s"] % 3 == 0
        assert row["split"] == "train" and row["split_group"] == row["track_ids"][0]
    assert record(labelled)["options"]["teacher_sha256"] == sha256
    assert record(labelled)["checkpoints"] == [{"checkpoint": f"{PLAIN}:split", "sha256": sha256}]


def decoded(folder: Path, row: dict[str, Any]) -> dict[str, np.ndarray]:
    data = files.read_range(str(folder / row["shard"]), row["offset"], row["size"])
    found = {}
    for name, content in tar.contents(data).items():
        if name.endswith(".flac"):
            path = folder.parent / "one.flac"
            path.write_bytes(content)
            found[name.removesuffix(".flac")] = soundfile.read(path, dtype="int16")[0]
    return found


def test_pseudo_labels_sum_and_clean_segments_are_the_music_itself(
    music: Path, labelled: Path
) -> None:
    paths = {row["title"]: row for row in _catalogue(music)}
    by_id = {row["track_id"]: row["audio_uri"] for row in paths.values()}
    for row in index(labelled)[::7]:
        held = decoded(labelled, row)
        start = round(row["start_s"] * row["sample_rate"])
        original, _ = soundfile.read(
            by_id[row["track_ids"][0]], start=start, frames=48_000, dtype="int16"
        )
        if row["kind"] == "pseudo":
            total = held["vocals"].astype(int) + held["accompaniment"]
            assert np.array_equal(total, held["mixture"])
            held = {"mixture": held["mixture"]}
        ((_, samples),) = held.items()
        wanted = original.astype(np.float32) / chunks.full_scale(16) / row["scale"]
        given = samples.astype(np.float32) / chunks.full_scale(16)
        assert np.abs(given - wanted).max() <= 1 / chunks.full_scale(16)


def _catalogue(music: Path) -> list[dict[str, Any]]:
    output = music.parent / "scanned"
    assert cli.main(["scan", str(music), "--output", str(output)]) == 0
    return tables.read(str(output), "catalogue").to_pylist()


def test_verify_accepts_it_and_training_reads_it(labelled: Path) -> None:
    assert verify_command.check(str(labelled))[0] == []
    opened = training_corpus.open_corpus(str(labelled))
    kinds = Counter(row["kind"] for row in index(labelled))
    assert opened.usable("train", "vocals") == kinds["pseudo"]
    recipe = registry.RECIPES["bsrnn-vocals-small"]
    (first, *_) = [
        found
        for found in pools.backings(opened.of("train"), recipe.checked_mixing())
        if set(found) == {"vocals", "accompaniment"}
    ]
    assert len(first["vocals"].rows) == kinds["pseudo"] + kinds["clean_target"]
    assert len(first["accompaniment"].rows) == kinds["pseudo"] + kinds["clean_residual"]


@pytest.mark.slow
def test_a_catalogue_gives_what_its_folder_gives(
    music: Path, labelled: Path, tmp_path: Path
) -> None:
    rows = _catalogue(music)
    given = tmp_path / "catalogue.csv"
    names = ["track_id", "artist", "title", "duration_s", "audio_uri"]
    again, nameless = {**rows[0], "title": "zzz"}, {**rows[1], "track_id": None}
    table = pa.Table.from_pylist([*rows, again, nameless]).select(names)
    pa.csv.write_csv(table.rename_columns(["id", *names[1:]]), given)
    output = tmp_path / "out"
    assert label(given, output, "--columns", "track_id=id", f"--allow-uri={music}") == 0
    check_counts(output)
    refused = sorted(row["error"] for row in rejects(output))
    assert refused == ["duplicate_id", "no_track_id"]
    assert {row["stage"] for row in rejects(output)} == {"pseudolabel"}
    ours = {row["sample_id"]: row["sha256"] for row in index(output)}
    theirs = {row["sample_id"]: row["sha256"] for row in index(labelled)}
    flac = {key: {n: h for n, h in held.items() if n != "json"} for key, held in ours.items()}
    assert flac == {
        key: {n: h for n, h in held.items() if n != "json"} for key, held in theirs.items()
    }


def test_a_rerun_is_done_and_another_teacher_is_refused(
    music: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record(labelled)
    assert label(music, labelled) == 0
    assert "already complete" in capsys.readouterr().out
    assert record(labelled) == before
    assert label(music, labelled, teacher="telephone") == 2
    assert "teacher-sha256" in capsys.readouterr().err


def test_a_run_of_before_there_were_offsets_goes_on_without(
    music: Path, labelled: Path, tmp_path: Path
) -> None:
    """Also with the level of silence of its time; a new one draws and keeps quiet tracks."""
    old = Path(shutil.copytree(labelled, tmp_path / "old"))
    plan = json.loads((old / "_PLAN.json").read_text())
    taken = {name: plan["options"].pop(name) for name in ("offset", "seed", "activity_threshold")}
    assert taken == {"offset": "none", "seed": 0, "activity_threshold": "relative"}
    (old / "_PLAN.json").write_bytes(runs.to_json(plan))
    words = ["pseudolabel", "--music", str(music), "--output", str(old), *FLAGS[:-2]]
    words += ["--teacher", f"{PLAIN}:split"]
    assert cli.main(words) == 0
    parsed = command.VERB.parse(words[1:])
    was = plan_of(parsed).cut
    assert (was.activity_threshold, was.offset_seed) == ("-30", None)
    now = plan_of(command.VERB.parse([*words[1:], "--output", str(tmp_path / "new")])).cut
    assert (now.activity_threshold, now.offset_seed) == ("relative", 0)
    names = [track_name({"audio_uri": ""}, dataclasses.replace(plan_of(parsed), cut=cut))
             for cut in (was, now)]  # fmt: skip
    assert names[0] != names[1]


@pytest.mark.slow
def test_parquet(music: Path, labelled: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert label(music, output, "--format", "parquet") == 0
    assert verify_command.check(str(output))[0] == []
    assert len(index(output)) == len(index(labelled))


# How much of a bad catalogue comes to what.
BAD = {
    "garbage.mp3": "unreadable",
    "empty.wav": "empty",
    "truncated.flac": "damaged",
    "ten.wav": "channels",
    "silence.wav": "silent",
    "short.wav": "too_short",
    "nan.wav": "damaged",
}
GOOD = ("mono", "telephone", "studio", "clipped", "plain", "long tail", "mp3")


@pytest.fixture(scope="module")
def bad_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "music"
    write = music_.write
    write(folder / "mono.wav", music_.both(13, 1, channels=1))
    write(folder / "telephone.wav", music_.both(13, 2, rate=8000, channels=1), 8000)
    write(folder / "studio.wav", music_.both(13, 3, rate=96_000), 96_000, "PCM_24")
    write(folder / "clipped.wav", np.clip(20 * music_.both(13, 4), -1, 1))
    write(folder / "plain.flac", music_.both(13, 5))
    write(folder / "long tail.wav", music_.both(8.9, 6))
    write(folder / "mp3.mp3", music_.both(13, 7))
    (folder / "garbage.mp3").write_bytes(np.random.default_rng(0).bytes(30_000))
    (folder / "empty.wav").write_bytes(b"")
    whole = (folder / "plain.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    write(folder / "ten.wav", np.tile(music_.both(13, 8), 5))
    write(folder / "silence.wav", np.zeros((13 * music_.RATE, 2)))
    write(folder / "short.wav", music_.both(0.2, 9))
    broken = music_.both(13, 10)
    broken[5000, 0] = np.nan
    write(folder / "nan.wav", broken, subtype="FLOAT")
    return folder


def by_file(folder: Path, music: Path) -> dict[str, str]:
    found = {}
    for row in rejects(folder):
        facts = json.loads(row["record"])
        found[Path(facts.get("audio_uri") or facts["path"]).name] = row["error"]
    return found


def test_half_of_a_catalogue_is_bad_and_the_other_half_is_labelled(
    bad_music: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert label(bad_music, output) == 0
    check_counts(output)
    assert by_file(output, bad_music) == BAD
    songs = {row["name"]: row for row in tables.read(str(output), "songs").to_pylist()}
    assert set(songs) == {*GOOD}
    assert songs["long tail"]["chunks"] == 2
    assert verify_command.check(str(output))[0] == []
    assert {row["kind"] for row in index(output)} == {"pseudo"}


def test_a_track_that_lost_its_end_is_a_reject_by_the_catalogue(
    music: Path, tmp_path: Path
) -> None:
    rows = _catalogue(music)
    rows[0]["duration_s"] += 20.0  # as scan stated it
    rows[1] |= {"duration_s": rows[1]["duration_s"] + 20.0, "duration_source": "given"}
    catalog = tmp_path / "catalogue.jsonl"
    catalog.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert label(catalog, tmp_path / "out", f"--allow-uri={music}") == 0
    check_counts(tmp_path / "out")
    (refused,) = rejects(tmp_path / "out")
    assert (refused["key"], refused["error"]) == (rows[0]["track_id"], "cut_short")
    found = record(tmp_path / "out")
    assert found["counts"]["lengths_differ"] == 2
    assert f"40 % of the files (2 of {len(rows)})" in found["notes"][0]


@pytest.mark.slow
def test_a_catalogue_that_is_read_wrongly_labels_nothing(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = [{**row, "duration_s": f"{n};5"} for n, row in enumerate(_catalogue(music))]
    rows[0]["duration_s"] = "13"
    catalog = tmp_path / "catalogue.jsonl"
    catalog.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert label(catalog, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert f"{len(rows) - 1} of {len(rows)} rows are rejected" in said and ";5'" in said
    table = tables.read_part(str(tmp_path / "out" / "rejects-00000-of-00001.parquet"), ["error"])
    assert table["error"].to_pylist() == ["bad_duration"] * (len(rows) - 1)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert said.removeprefix("error: ") == (tmp_path / "out" / "_ERROR.txt").read_text()
    assert not [*(tmp_path / "out").rglob("*.part")]
    flags = ["--allow-rejects", f"--allow-uri={music}"]
    assert label(catalog, tmp_path / "out", *flags) == 0
    check_counts(tmp_path / "out")
    assert record(tmp_path / "out")["counts"]["tracks"] == 1


@pytest.mark.slow
def test_lossless_only(bad_music: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert label(bad_music, output, "--lossless-only") == 0
    check_counts(output)
    assert by_file(output, bad_music) == {**BAD, "mp3.mp3": "lossy", "garbage.mp3": "unreadable"}


def loud(folder: Path) -> Path:
    """Twenty segments, of which some are too loud for a moody teacher."""
    track = 0.2 * music_.both(60, 3)
    for segment, peak in ((2, 0.55), (5, 0.65), (6, 0.9), (11, 0.95), (17, 0.55)):
        track[segment * 48_000 + 100] = peak
    music_.write(folder / "loud.flac", track, subtype="PCM_24")
    return folder


@pytest.mark.slow
def test_faults_of_a_teacher_cost_segments(tmp_path: Path) -> None:
    music, output = loud(tmp_path / "music"), tmp_path / "out"
    assert label(music, output, "--window-seconds", "0", teacher="moody") == 0
    check_counts(output)
    assert sorted((json.loads(r["record"])["start_s"], r["error"]) for r in rejects(output)) == [
        (6, "not_finite"),
        (15, "not_a_sum"),
        (18, "teacher_failed"),
        (33, "teacher_failed"),
        (51, "not_finite"),
    ]
    calm = tmp_path / "calm"
    assert label(music, calm, "--window-seconds", "0") == 0
    ours = {row["start_s"]: row["sha256"]["vocals.flac"] for row in index(output)}
    theirs = {row["start_s"]: row["sha256"]["vocals.flac"] for row in index(calm)}
    assert len(theirs) == 20
    assert ours == {start: theirs[start] for start in ours}  # what is good is as if nothing was


@pytest.mark.slow
def test_a_teacher_of_the_wrong_length_labels_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    music, output = loud(tmp_path / "music"), tmp_path / "out"
    assert label(music, output, "--window-seconds", "0", teacher="short") == 1
    (table,) = output.glob("rejects-*")
    found = list(tables.rows(str(table)))
    said = capsys.readouterr().err
    why = f"pseudolabel gave no sample; rejected because: teacher_failed ({len(found)})"
    assert why in said and not (output / "_SUCCESS").exists()
    assert {row["error"] for row in found} == {"teacher_failed"}
    assert "gave [4, 2, 2, 47999], not [4, 2, 2, 48000]" in found[0]["message"]
    flags = ["--window-seconds", "0", "--allow-rejects"]
    assert label(music, output, *flags, teacher="short") == 1
    assert not (output / "_SUCCESS").exists()


@pytest.mark.slow
def test_a_lack_of_memory_ends_the_run_and_is_no_verdict(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(music, tmp_path / "out", teacher="hungry") == 1
    assert "not enough memory for batches of 4: take another --device" in capsys.readouterr().err
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.slow
def test_labels_without_confidence_are_refused(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert label(music, output, "--min-confidence", "0.5", teacher="halves") == 1
    assert "gave no sample" in (said := capsys.readouterr().err) and "low_confidence" in said
    assert not (output / runs.SUCCESS).exists()


@pytest.mark.slow
def test_any_source_at_any_resolution_and_from_the_start(
    bad_music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert label(bad_music, output) == 0
    flags = ["--target", "drums", "--flac-bits", "24"]
    assert label(bad_music, output, *flags, teacher="quarters") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert label(bad_music, output, *flags, "--overwrite", teacher="quarters") == 0
    check_counts(output)
    assert verify_command.check(str(output))[0] == []
    assert {tuple(row["sources"]) for row in index(output)} == {("drums", "mixture", "no_drums")}
    for row in index(output):
        energies = row["energies_db"]
        assert energies["mixture"] - energies["drums"] == pytest.approx(12.04, abs=0.01)
        assert energies["mixture"] - energies["no_drums"] == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--teacher", "nowhere"], "--teacher .*nowhere: no such file or folder"),
        (["--target", "drums"], "--target drums: .* only vocals, accompaniment"),
        (["--segment-seconds", "0"], "--segment-seconds 0: from 0.5 s to 60 s"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--min-confidence", "2"], "--min-confidence 2"),
        (["--device", "quantum"], "--device quantum"),
        (["--columns", "title=name"], "--columns says how --catalog"),
        (["--shard-bytes", "many"], "--shard-bytes many"),
        (["--catalog", "there.csv"], "needs one of --catalog and --music"),
        (["--batchsize", "3"], "did you mean --batch-size"),
    ],
)
def test_bad_usage_is_a_line(
    flags: list[str], said: str, music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(music, tmp_path / "out", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and re.search(said, line)
    assert not (tmp_path / "out").exists()


def test_the_batch_is_the_recipes_and_a_run_goes_on_with_its_own(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(*flags: str) -> int:
        given = ["--music", str(music), "--output", str(tmp_path), "--device", "cpu"]
        words = [*given, "--teacher", f"{PLAIN}:split", *flags]
        return plan_of(command.VERB.parse(words)).cut.batch_size

    teacher = loading.load(f"{PLAIN}:split", "cpu")
    assert teacher.at_once == batch() == 8 and batch("--batch-size", "3") == 3
    monkeypatch.setattr(loading, "load", lambda *_: dataclasses.replace(teacher, at_once=4))
    assert batch() == 4
    old = {"verb": "pseudolabel", "options": {"batch_size": 8}, "inputs": {}}
    (tmp_path / "_PLAN.json").write_text(json.dumps(old))
    assert batch() == 8 and batch("--batch-size", "3") == 3


def test_a_gpu_is_asked_for_by_all_that_must_stay_together(music: Path, tmp_path: Path) -> None:
    hint = "type:nvidia-l4;count:1;install-nvidia-driver"
    argv = ["--music", str(music), "--teacher", f"{PLAIN}:split", "--accelerator", hint]
    options = command.VERB.parse([*argv, "--output", str(tmp_path / "out")])
    pipeline = beam.Pipeline(options=options)
    run = runs.Run("pseudolabel", str(tmp_path / "out"), {}, {}, 0.0)
    command.VERB.build(pipeline, options, run)
    parts = pipeline.to_runner_api().components
    places: dict[str, set[str]] = {"Listen": set(), "Teacher": set(), "Encode": set(), "": set()}
    for step in parts.transforms.values():
        if step.environment_id and step.spec.urn == "beam:transform:pardo:v1":
            name = step.unique_name.split("/")[1] if step.unique_name.startswith("Label/") else ""
            places.get(name, set()).add(step.environment_id)
    (place,) = places["Listen"]  # in one environment, so that a runner keeps them in one stage
    assert places["Teacher"] == places["Encode"] == {place} and place not in places[""]
    hints = parts.environments[place].resource_hints
    assert hints["beam:resources:accelerator:v1"] == hint.encode()


def outputs(folder: Path) -> dict[str, str]:
    return record(folder)["outputs"]


@pytest.mark.slow
def test_worker_processes_change_no_byte(music: Path, labelled: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    flags = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    assert label(music, output, *flags, "--io-threads", "3") == 0
    assert outputs(output) == outputs(labelled)


KILLED = """
import os, signal, sys
import pipelines.pseudolabel.command
from stemlode import cli
dies_at, changes, output = int(sys.argv[1]), [0], sys.argv[2]
def watch(event, args):
    if event == "os.rename" and str(args[0]).startswith(output):
        changes[0] += 1
        if changes[0] == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.exit(cli.main(["pseudolabel", "--output", output, *sys.argv[3:]]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(music: Path, labelled: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    argv = ["--music", str(music), "--teacher", f"{PLAIN}:split", *FLAGS]
    done = None
    made: set[Path] = set()
    for dies_at in (6, 9, 0):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(dies_at), str(output), *argv],
            cwd=PROJECT,
            capture_output=True,
            check=False,
        )
        if dies_at:
            assert done.returncode == -9, done.stderr.decode()
            held = set((output / "_parts").glob("*.part.json"))
            assert made <= held  # nothing is made twice
            made = held
    assert done is not None and done.returncode == 0, done.stderr.decode()
    assert made and outputs(output) == outputs(labelled)
    names = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert names == {"_PLAN.json", "_SUCCESS", "run.json", *outputs(output)}


THREE_HOURS = 3 * 3600


@pytest.mark.slow
def test_three_hours_cost_no_more_memory(tmp_path: Path) -> None:
    piece = np.round(2**15 * music_.both(60, 1, rate=8000, channels=1)).astype(np.int16)
    script = (
        "import pathlib, sys; from stemlode import cli\n"
        "code = cli.main(['pseudolabel', *sys.argv[1:]])\n"
        # The process' own, in KiB: ru_maxrss begins with that of the process which started it.
        "print('peak', pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1])\n"
        "sys.exit(code)"
    )

    def peak_mib(seconds: int) -> float:
        music, output = tmp_path / f"music{seconds}", tmp_path / f"out{seconds}"
        music.mkdir()
        with soundfile.SoundFile(music / "long.flac", "w", 8000, 1) as file:
            for _ in range(seconds // 60):
                file.write(piece)
        argv = ["--music", str(music), "--teacher", f"{PLAIN}:telephone", *FLAGS]
        done = subprocess.run(
            [sys.executable, "-c", script, *argv, "--output", str(output)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        check_counts(output)
        assert record(output)["counts"]["samples"] == seconds // 3
        return int(done.stdout.split("peak ")[1].split()[0]) / 1024

    # Three hours of this are 330 MiB as the teacher hears them.
    assert peak_mib(THREE_HOURS) < peak_mib(300) + 100
