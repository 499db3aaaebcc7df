"""`stemlode salience` as a user runs it, on voices of which it is known what they sing."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from pipelines.corpus import command as corpus_command
from pipelines.salience import command
from pipelines.salience.plan import SaliencePlan
from stemlode import cli, files, runs, tables
from stemlode.shards import reading, salience, songs
from stemlode.shards.salience import HOP_LENGTH, LEVELS, SAMPLE_RATE, Columns
from tests.pipelines.salience import sung
from training.data import corpus as training_corpus
from training.data.salience import open_salience
from training.pitch import targets, teachers

Row = dict[str, Any]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sung.stems(tmp_path_factory.mktemp("sung") / "stems")


@pytest.fixture(scope="module")
def corpus(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sung.corpus(music, tmp_path_factory.mktemp("corpora") / "corpus")


@pytest.fixture(scope="module")
def heard(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("heard") / "salience"
    assert hear_of(corpus, output) == 0
    return output


def hear_of(corpus: Path, output: Path, *flags: str) -> int:
    return cli.main(["salience", "--corpus", str(corpus), "--output", str(output), *flags])


def rows(folder: Path, table: str = "salience") -> list[Row]:
    return tables.read(str(folder), table).to_pylist(maps_as_pydicts="strict")


def values(folder: Path, row: Row) -> np.ndarray:
    data = reading.contents(str(folder), row, [salience.FILE])[salience.FILE]
    found, where = salience.decoded(data)
    assert where == Columns(row["first_frame"], row["first_sample"], row["frames"])
    return found


def outputs(folder: Path) -> dict[str, str]:
    return runs.record(str(folder))["outputs"]


def song(folder: Path, corpus: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A song's salience put together again, uint8 [360, frames], and the frames' numbers."""
    (song_id,) = {row["song_id"] for row in rows(corpus, "songs") if row["name"] == name}
    held = sorted(
        (row for row in rows(folder) if row["song_id"] == song_id), key=lambda r: r["first_frame"]
    )
    numbers = [np.arange(row["first_frame"], row["first_frame"] + row["frames"]) for row in held]
    whole = np.concatenate([values(folder, row) for row in held], axis=1)
    return whole, np.concatenate(numbers)


def test_every_sample_with_a_voice_has_its_salience(corpus: Path, heard: Path) -> None:
    record = runs.record(str(heard))
    counts, found = record["counts"], rows(heard)
    named = {row["song_id"]: row["name"] for row in rows(corpus, "songs")}
    assert Counter(named[row["song_id"]] for row in found) == {"step": 3, "glide": 3}
    assert (counts["songs"], counts["samples"], counts["rejected"]) == (2, 6, 1)
    (silent,) = rows(heard, "rejects")
    assert (silent["stage"], silent["error"]) == ("salience", "silent")
    samples = {row["sample_id"]: row for row in rows(corpus, "index")}
    for row in found:
        assert row["shard"] == samples[row["sample_id"]]["shard"]
        assert (row["teacher"], row["targets"]) == ("swift-f0", "single")
        assert row["teacher_sha256"] == record["options"]["teacher_sha256"]
        assert row["voices_share"] is None and row["several_voices"] is None
        share = (values(heard, row) >= round(0.4 * LEVELS)).any(0).mean()
        assert row["voiced"] == pytest.approx(share, abs=1e-6)
    assert counts["frames"] == sum(row["frames"] for row in found)


def test_pitches_and_rests_stand_where_they_are_sung(corpus: Path, heard: Path) -> None:
    whole, numbers = song(heard, corpus, "step")
    assert list(numbers) == list(range(salience.frame_count(sung.SECONDS * SAMPLE_RATE)))
    f0 = targets.f0_of(whole / LEVELS)
    true = sung.step_f0()[numbers * HOP_LENGTH]
    sure = np.abs(targets.times(len(numbers))[:, None] - [0, 5, 7, sung.STEP_S, 30]).min(1) > 0.06
    assert (f0.voiced == (true > 0))[sure].mean() > 0.995
    both = sure & (true > 0) & f0.voiced
    assert np.abs(1200 * np.log2(f0.f0_hz[both] / true[both])).max() < 25
    changed = numbers[np.flatnonzero(f0.f0_hz > 270)[0]] * HOP_LENGTH / SAMPLE_RATE
    assert abs(changed - sung.STEP_S) < 0.03  # in the third chunk


def test_it_is_the_song_s_whatever_its_chunks(
    music: Path, corpus: Path, heard: Path, tmp_path: Path
) -> None:
    short = sung.corpus(music, tmp_path / "short", "--chunk-seconds", "1.7", "--format", "parquet")
    output = tmp_path / "salience"
    assert hear_of(short, output) == 0
    for name in ("step", "glide"):
        ours, numbers = song(output, short, name)
        theirs, others = song(heard, corpus, name)
        assert np.array_equal(numbers, others)
        # 16-bit samples at another scale: a level of 255 may tip over
        assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert all(row["shard"].endswith(".tar") for row in rows(output))


def test_training_reads_it_beside_the_corpus(corpus: Path, heard: Path) -> None:
    opened = training_corpus.open_corpus(str(corpus))
    found = open_salience(str(heard), opened)
    for row in rows(heard):
        start = found.start_of(row["sample_id"], 70_000)
        patch = found.patch(row["sample_id"], start, 128)
        first = (start - row["first_sample"]) // HOP_LENGTH
        held = values(heard, row)[:, first : first + 128] / np.float32(LEVELS)
        assert np.array_equal(patch.numpy(), held)


def test_a_rerun_is_complete_and_another_teacher_is_refused(
    corpus: Path, heard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = outputs(heard)
    assert hear_of(corpus, heard) == 0
    assert "already complete" in capsys.readouterr().out
    assert outputs(heard) == before
    assert hear_of(corpus, heard, "--targets", "multi") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--targets multi: swift-f0 follows one voice; it needs --teacher deep-salience" in said


def test_a_killed_run_goes_on(
    corpus: Path, heard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, asked = tmp_path / "salience", []
    real = teachers.PitchTeacher.saliences

    def dying(self: Any, *rest: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("killed")
        return real(self, *rest)

    monkeypatch.setattr(teachers.PitchTeacher, "saliences", dying)
    assert hear_of(corpus, output) == 1
    assert not files.exists(str(output / runs.SUCCESS))
    assert hear_of(corpus, output) == 0
    assert len(asked) == 3  # two songs, one of them twice
    assert outputs(output) == outputs(heard)


def test_one_bad_song_costs_one_reject(corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    glide = next(row for row in rows(corpus, "songs") if row["name"] == "glide")
    row = next(row for row in rows(corpus, "index") if row["song_id"] == glide["song_id"])
    shard = bytearray((broken / row["shard"]).read_bytes())
    at = row["offset"] + shard[row["offset"] :].index(b"vocals.flac") + 512
    shard[at : at + 200] = bytes(200)
    (broken / row["shard"]).write_bytes(shard)
    output = tmp_path / "salience"
    assert hear_of(broken, output) == 0
    found = {row["key"]: row for row in rows(output, "rejects")}
    assert found[glide["recording_id"]]["error"] == "unreadable"
    assert row["sample_id"] in found[glide["recording_id"]]["message"]
    assert json.loads(found[glide["recording_id"]]["record"])["song_id"] == glide["song_id"]
    assert len(rows(output)) == 3 and len(found) == 2


def test_without_isolated_vocals_there_is_one_line(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backing = tmp_path / "backing"
    backing.mkdir()
    shutil.copy(music / "step" / "accompaniment.flac", backing / "one.flac")
    folder = tmp_path / "corpus"
    flags = ["--output", str(folder), *sung.FLAGS]
    assert corpus_command.main(["--instrumentals", str(backing), *flags]) == 0
    capsys.readouterr()
    assert hear_of(folder, tmp_path / "salience") == 2
    said = capsys.readouterr().err
    assert "none of its samples holds isolated vocals (they hold accompaniment)" in said
    assert said.count("\n") == 1 and not (tmp_path / "salience").exists()
    assert hear_of(tmp_path / "nowhere", tmp_path / "salience") == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--teacher", "deep-salience"], "--teacher deep-salience needs --weights"),
        (["--teacher", "crepe"], "--teacher"),
        (["--weights", "none.h5"], "no such file"),
        (["--weights", __file__], "not the HDF5 file of Deep Salience"),
    ],
)
def test_options_that_cannot_be_are_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert hear_of(corpus, tmp_path / "salience", *flags) in (1, 2)
    told = capsys.readouterr().err
    assert said in told and told.startswith("error: ") and "Traceback" not in told
    assert not (tmp_path / "salience").exists()


@pytest.mark.parametrize(("device", "steps"), [("cuda", {"Hear"}), ("cpu", set())])
def test_a_gpu_is_asked_for_where_a_net_hears(
    corpus: Path, tmp_path: Path, device: str, steps: set[str]
) -> None:
    output = str(tmp_path / "out")
    hint = ["--accelerator", "type:nvidia-l4;count:1;install-nvidia-driver"]
    options = command.VERB.parse(["--corpus", str(corpus), "--output", output, *hint])
    plan = SaliencePlan(str(corpus), teachers.SWIFT, "gs://b/w.h5", "single", "1", "2", device)
    pipeline = beam.Pipeline(options=options)
    command._build(pipeline, options, runs.Run("salience", output, {}, {}, 0.0), plan)
    held = pipeline.to_runner_api(return_context=False).components
    with_gpu = {
        name
        for name, one in held.environments.items()
        if any("accelerator" in hint for hint in one.resource_hints)
    }
    found = {
        step.unique_name for step in held.transforms.values() if step.environment_id in with_gpu
    }
    assert {name.split("/")[0] for name in found} == steps


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(
    corpus: Path, heard: Path, tmp_path: Path
) -> None:
    output = tmp_path / "salience"
    spread = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    assert hear_of(corpus, output, *spread) == 0
    assert outputs(output) == outputs(heard)


def test_a_song_is_put_together_by_its_recording(corpus: Path) -> None:
    known: dict[str, list[str]] = {}
    for row in rows(corpus, "songs"):
        known.setdefault(row["song_id"], []).append(row["recording_id"])
    doubled = {song_id: ["another", *held] for song_id, held in known.items()}
    for row in rows(corpus, "index"):
        mine = known[row["song_id"]][0]
        found = {songs.song_of(row, one) for one in (known, doubled)}
        assert found == {mine}
        assert songs.song_of(row, {}) != songs.song_of({**row, "kind": "x"}, {})
