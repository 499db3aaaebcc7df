"""Fine-tuning: a teacher in the loop or its shards, on record, replaced by its betters alone."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from pipelines.catalogue import scan
from pipelines.corpus import command as corpus
from pipelines.pseudolabel import command as pseudolabel_command
from stemlode import files
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.data.corpus import open_corpus
from training.finetuning import command as finetuning_command
from training.finetuning import material as finetuning_material
from training.finetuning.material import Boosting, Rules
from training.finetuning.sets import Unlabelled
from training.loop import command as loop_command
from training.loop import train
from training.loop.options import Options
from training.teachers import labels

NET = ["--sample-rate", str(RATE), "--n-fft", "256", "--hop-length", "128", "--features", "6"]
NET += ["--bands", "1000,500,7000,1000", "--layers", "1", "--hidden", "6", "--mask-hidden", "8"]
NET += ["--patch-seconds", "0.4", "--batch-size", "2", "--log-every", "2"]
LOOP = ["--workers", "0", "--cache-gb", "0.01", "--device", "cpu"]
SHORT = ["--steps", "9", "--validate-every", "3", "--patience", "99", *LOOP]
LAST = "last/state.safetensors"


@pytest.fixture(scope="module")
def teacher(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny net that knows a little."""
    output = tmp_path_factory.mktemp("teacher") / "run"
    words = ["bsrnn-vocals", "--corpus", str(corpus_folder), "--output", str(output), *NET, *LOOP]
    words += ["--steps", "40", "--validate-every", "20", "--learning-rate", "0.003"]
    assert loop_command.main(words) == 0
    return output


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mixtures, a voice alone, instrumentals; and as many files that cannot be used."""
    root = tmp_path_factory.mktemp("songs") / "songs"
    root.mkdir()
    for seed in range(50, 54):
        vocals, accompaniment = sing(seed, 7)
        parts = {50: vocals, 51: accompaniment}
        soundfile.write(root / f"{seed}.flac", parts.get(seed, vocals + accompaniment).T, RATE)
    soundfile.write(root / "silence.wav", np.zeros((RATE * 7, 2)), RATE)
    soundfile.write(root / "short.wav", sing(60, 0.2)[0].T, RATE)
    (root / "words.mp3").write_text("no audio")
    (root / "cut.flac").write_bytes((root / "52.flac").read_bytes()[:9000])
    return root


def _finetune(
    teacher: Path, corpus: Path, unlabelled: Path, output: Path, *options: str
) -> list[dict[str, Any]]:
    words = [str(teacher), "--labelled", str(corpus), "--unlabelled", str(unlabelled)]
    assert finetuning_command.main([*words, "--output", str(output), *SHORT, *options]) == 0
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def _record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def _model(run: Path) -> Path:
    return run / "checkpoint" / "model.safetensors"


def _untimed(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    timed = ("seconds", "segments_per_s", "data_wait", "utilisation")
    return [{k: v for k, v in row.items() if k not in timed} for row in log]


@pytest.fixture(scope="module")
def whole(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that nobody disturbed, at a rate that makes its students better."""
    output = tmp_path_factory.mktemp("whole") / "run"
    _finetune(teacher, corpus_folder, songs, output, "--learning-rate", "0.003")
    return output


def test_the_lineage_is_in_the_checkpoint_the_record_and_the_log(
    whole: Path, teacher: Path
) -> None:
    record = _record(whole)
    lineage, counts = record["teachers"], record["counts"]
    assert counts["teachers"] == len(lineage) >= 2  # or nothing was tested
    assert lineage[0]["sha256"] == files.sha256(str(_model(teacher)))
    assert lineage[0]["step"] == 0
    assert lineage[-1]["sha256"] == files.sha256(str(_model(whole)))
    scores = [one["score"] for one in lineage]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == len(scores)
    found = checkpoint.load(str(whole))
    assert found.teachers == lineage[:-1]  # those that it learnt from
    assert found.step == record["best_step"] == lineage[-1]["step"]
    assert found.recipe.learning_rate == 0.003
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    validated = [row for row in log if "valid_loss" in row]
    assert [row["step"] for row in validated] == [0, 3, 6, 9]
    assert validated[0]["valid_loss"] == lineage[0]["score"]
    for row in validated[1:]:  # each period was taught by the best before it
        best = [one for one in lineage if one["step"] < row["step"]][-1]
        assert row["teacher"] == best["sha256"][:12]


def test_the_counts_add_up(whole: Path) -> None:
    counts = _record(whole)["counts"]
    assert counts["unlabelled_mixtures"] == 8
    assert counts["unlabelled_used"] == counts["unlabelled_rejected"] == 4
    kinds = [counts[f"segments_{kind}"] for kind in (*labels.OUTCOMES, "unsure")]
    assert counts["segments_heard"] == sum(kinds) > 0
    targets = counts["targets_labelled"] + counts["targets_unlabelled"]
    residuals = counts["residuals_labelled"] + counts["residuals_unlabelled"]
    assert targets == residuals == 9 * 2
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    periods = [row["heard"] for row in log if "heard" in row]
    for kind in labels.OUTCOMES:
        assert sum(heard.get(kind, 0) for heard in periods) == counts[f"segments_{kind}"]
    rejects = _record(whole)["rejects"]
    reasons = {Path(key).name: reason for key, reason in rejects.items()}
    assert reasons["silence.wav"].startswith("silent") and len(reasons) == counts["rejected"] == 4
    assert reasons["short.wav"].startswith("too short")


def test_the_rate_is_the_papers_unless_it_is_given(
    teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetuning_command.main([str(teacher), "--print"]) == 0
    assert "0.0001" in capsys.readouterr().out
    options = finetuning_command.parser().parse([str(teacher), "--others", "bass,drums"])
    trained = checkpoint.load(str(teacher))
    recipe = finetuning_command.recipe_of(trained.recipe, options)
    assert recipe.learning_rate == 1e-4 and recipe.others == ("bass", "drums")
    before = dataclasses.replace(recipe, learning_rate=0.003, others=("bass", "drums", "other"))
    assert before == trained.recipe


def test_a_student_that_gets_worse_never_teaches(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    log = _finetune(teacher, corpus_folder, songs, tmp_path / "run", "--learning-rate", "0.9",
                    "--clip-norm", "0")  # fmt: skip
    validated = [row["valid_loss"] for row in log if "valid_loss" in row]
    assert len(validated) == 4 and min(validated[1:]) > validated[0]
    record = _record(tmp_path / "run")
    assert len(record["teachers"]) == 1 and record["best_step"] == 0
    assert _model(tmp_path / "run").read_bytes() == _model(teacher).read_bytes()
    state, facts = checkpoint.read_tensors(str(tmp_path / "run" / LAST))
    weights, _ = checkpoint.read_tensors(str(_model(teacher)))
    assert all(torch.equal(state[f"extra.teacher.{name}"], weights[name]) for name in weights)
    assert facts["progress"]["stale"] == 3
    assert "no student was better than its teacher, which stays" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_dies_at_any_step_resumes_bit_by_bit_teacher_included(
    whole: Path, teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    deaths = sorted(random.Random(seed).sample(range(1, 12), 2))
    prepare, count = Boosting.prepare, 0

    def dying(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count in deaths:
            raise KeyboardInterrupt
        return prepare(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Boosting, "prepare", dying)
        patched.setattr(train, "SAVE_EVERY_S", 0.0)  # also between validations
        for _ in deaths:
            with pytest.raises(KeyboardInterrupt):
                _finetune(
                    teacher, corpus_folder, songs, tmp_path / "run", "--learning-rate", "0.003"
                )
                raise KeyboardInterrupt  # it was done before the second death
    log = _finetune(teacher, corpus_folder, songs, tmp_path / "run", "--learning-rate", "0.003")
    assert _untimed(log) == _untimed(
        [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    )
    assert _model(tmp_path / "run").read_bytes() == _model(whole).read_bytes()
    (tensors, facts), (others, other_facts) = (
        checkpoint.read_tensors(str(run / LAST)) for run in (tmp_path / "run", whole)
    )
    assert any(name.startswith("extra.teacher.") for name in others)
    assert all(torch.equal(tensors[name], others[name]) for name in others | tensors)
    assert facts["extra"] == other_facts["extra"]
    assert _record(tmp_path / "run")["counts"] == _record(whole)["counts"]


def _material(
    teacher: Path, corpus: Path, songs: Path, tmp_path: Path, rules: Rules, sets: Any = None
) -> Boosting:
    start = finetuning_command.started(str(teacher))
    recipe = finetuning_command.recipe_of(
        start.trained.recipe, finetuning_command.parser().parse([str(teacher)])
    )
    run = finetuning_command.runs.Run("finetune", str(tmp_path), {}, {}, 0.0)
    unlabelled: Unlabelled = sets or finetuning_command.sets.mixtures(
        run, str(songs), recipe, lossless_only=False, workers=0
    )
    data, device = open_corpus(str(corpus)), torch.device("cpu")
    return Boosting(run, data, recipe, Options(workers=0), device, unlabelled, rules, start)


def test_a_teacher_that_gives_nan_now_and_then_costs_a_segment_each_time(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    material = _material(teacher, corpus_folder, songs, tmp_path, Rules(ratio=0.0))
    call, calls = material.teacher.call, 0

    def failing(mixture: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        found = call(mixture).clone()
        found[0] = torch.nan if calls % 3 == 0 else found[0]
        return found

    material.teacher = dataclasses.replace(material.teacher, call=failing)
    batches = material.batches(finetuning_material.Progress())
    for _ in range(12):
        batch = material.prepare(next(batches))
        assert batch.mixture.isfinite().all() and batch.reference.isfinite().all()
    heard = material.heard
    assert heard["not_finite"] == 4
    assert sum(heard[kind] for kind in labels.OUTCOMES) == 24


def test_segments_whose_sources_do_not_sum_to_the_mixture_are_refused(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    material = _material(teacher, corpus_folder, songs, tmp_path, Rules(ratio=0.0))
    heard = {}
    for share in (0.5, 0.0):  # of the mixture, that no source has

        def call(mixture: torch.Tensor, lost: float = share) -> torch.Tensor:
            return torch.stack((0.4 * mixture, (0.6 - lost) * mixture), dim=1)

        material.teacher = dataclasses.replace(
            material.teacher, sources=("vocals", "accompaniment"), whole=True, call=call
        )
        material.heard.clear()
        batches = material.batches(finetuning_material.Progress())
        for _ in range(4):
            material.prepare(next(batches))
        heard[share] = dict(material.heard)
    silent = heard[0.5].get("silent", 0)
    assert heard[0.5]["not_a_sum"] == 8 - silent > 4 and heard[0.5]["targets_labelled"] == 8
    assert heard[0.0]["pseudo"] == 8 - silent and "not_a_sum" not in heard[0.0]


def test_segments_of_which_the_teacher_is_not_sure_are_left_out(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    heard = {}
    for share in (0.0, 1.0):
        rules = Rules(ratio=0.0, min_confidence=share)
        material = _material(teacher, corpus_folder, songs, tmp_path / str(share), rules)
        batches = material.batches(finetuning_material.Progress())
        for _ in range(6):
            material.prepare(next(batches))
        heard[share] = material.heard
    assert heard[0.0]["unsure"] == 0 and heard[0.0]["pseudo"] > 0
    assert heard[1.0]["unsure"] == 12 - heard[1.0]["silent"]
    assert heard[1.0]["targets_unlabelled"] == 0  # the labelled ones serve
    assert heard[1.0]["targets_labelled"] == 12


BAD = {
    "no such checkpoint": (["nowhere"], BadUsage, "CHECKPOINT nowhere: no such file"),
    "no labelled set": (["TEACHER", "--labelled", ""], BadUsage, "needs --labelled"),
    "no corpus": (["TEACHER", "--labelled", "SONGS"], BadUsage, "--corpus .*is not a run folder"),
    "nothing there": (["TEACHER", "--unlabelled", "void"], BadUsage, "--unlabelled .*not exist"),
    "offline on files": (["TEACHER", "--mode", "offline"], BadUsage, "offline needs a folder that"),
    "offline on a corpus": (
        ["TEACHER", "--mode", "offline", "--unlabelled", "CORPUS"], BadUsage, "no teacher labelled",
    ),
    "lossless offline": (
        ["TEACHER", "--mode", "offline", "--lossless-only"], BadUsage, "--lossless-only: ",
    ),
    "lossless corpus": (
        ["TEACHER", "--lossless-only", "--unlabelled", "CORPUS"], BadUsage, "give the audio files",
    ),
    "a U-Net": (["UNET"], BadUsage, "unet-vocals learns songs as they are"),
    "a ratio below 0": (["TEACHER", "--ratio", "-1"], BadUsage, "--ratio"),
    "a share above 1": (["TEACHER", "--min-confidence", "1.5"], BadUsage, "between 0 and 1"),
    "another net": (["TEACHER", "--layers", "2"], BadUsage, "unknown --layers"),
    "no others": (["TEACHER", "--others", ""], BadUsage, "--others bass,drums,other"),
    "a drop of 1": (["TEACHER", "--drop", "1"], BadUsage, r"drop is 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_one_line(
    case: str, teacher: Path, corpus_folder: Path, songs: Path, tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    words, kind, line = BAD[case]
    places = {"TEACHER": teacher, "CORPUS": corpus_folder, "SONGS": songs, "UNET": tiny_checkpoint}
    given = [str(places.get(word, word)) for word in words]
    usual = ["--labelled", str(corpus_folder), "--unlabelled", str(songs)]
    usual += ["--output", str(tmp_path / "run"), *SHORT]
    with pytest.raises(kind, match=line):
        finetuning_command.main([given[0], *usual, *given[1:]])
    assert not (tmp_path / "run").exists()  # or the right command would be refused there


def test_a_folder_of_which_nothing_can_be_used_is_told(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    for name in ("words.mp3", "silence.wav"):
        shutil.copy(songs / name, tmp_path / "bad")
    with pytest.raises(Failed, match=r"none of 2 mixtures can be used; the first one, .*silent"):
        _finetune(teacher, corpus_folder, tmp_path / "bad", tmp_path / "run")


def test_a_catalogue_opens_nothing_that_is_not_allowed(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    address = f"file://{songs / '50.flac'}"
    (tmp_path / "c.csv").write_text(f"audio_uri\n{address}\n")
    with pytest.raises(Failed, match="refused address: file://; --allow-uri opens it"):
        _finetune(teacher, corpus_folder, tmp_path / "c.csv", tmp_path / "out")
    allowed = ["--allow-uri", "file:///", "--overwrite"]
    _finetune(teacher, corpus_folder, tmp_path / "c.csv", tmp_path / "out", *allowed)
    assert _record(tmp_path / "out")["allow_uri"] == ["file:///"]


def test_shards_without_a_segment_are_not_taken_for_another_corpus(
    teacher: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    words = ["--music", str(tmp_path / "none"), "--teacher", str(teacher), "--device", "cpu"]
    with pytest.raises(Failed, match="gave no sample"):
        pseudolabel_command.main([*words, "--output", str(tmp_path / "shards")])
    (tmp_path / "shards" / "_SUCCESS").touch()  # as runs of before ended
    with pytest.raises(Failed, match="shards: holds no segment"):
        offline = ["--mode", "offline"]
        _finetune(teacher, corpus_folder, tmp_path / "shards", tmp_path / "run", *offline)


@pytest.mark.slow
def test_without_a_valid_split_nothing_says_who_is_better(
    teacher: Path, songs: Path, stems: Path, tmp_path: Path
) -> None:
    words = ["--stems", str(stems), "--output", str(tmp_path / "one"), "--chunk-seconds", "1"]
    assert corpus.main([*words, "--sample-rate", str(RATE), "--split", "train=1"]) == 0
    with pytest.raises(Failed, match="it has no valid split"):
        _finetune(teacher, tmp_path / "one", songs, tmp_path / "other")


def test_weights_that_give_nan_cannot_teach(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    trained = checkpoint.load(str(teacher))
    for parameter in trained.core.parameters():
        parameter.data.fill_(3e38)  # finite, and yet no sum of them is
    checkpoint.save(str(tmp_path / "huge"), Checkpoint(trained.recipe, trained.core, 1, {}))
    with pytest.raises(Failed, match=r"huge: its validation loss is nan, so it cannot"):
        _finetune(tmp_path / "huge", corpus_folder, songs, tmp_path / "run")


@pytest.fixture(scope="module")
def labelled(teacher: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The songs, labelled by the teacher."""
    root = tmp_path_factory.mktemp("labelled")
    assert scan.main([str(songs), "--output", str(root / "scanned")]) == 0
    words = ["--catalog", str(root / "scanned"), "--teacher", str(teacher), "--output"]
    words += [str(root / "shards"), "--segment-seconds", "1", "--device", "cpu"]
    assert pseudolabel_command.main(words) == 0
    return root / "shards"


@pytest.mark.slow
def test_offline_a_round_ends_with_the_command_for_the_next_one(
    teacher: Path, corpus_folder: Path, labelled: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = ["--mode", "offline", "--learning-rate", "0.003"]
    log = _finetune(teacher, corpus_folder, labelled, tmp_path / "run", *options)
    said, record = capsys.readouterr().out, _record(tmp_path / "run")
    assert record["best_step"] > 0 and len(record["teachers"]) == 1  # the same for all the round
    assert {row["teacher"] for row in log if "teacher" in row} == {
        files.sha256(str(_model(teacher)))[:12]
    }
    folder = tmp_path / "run" / "checkpoint"
    assert f"stemlode pseudolabel --catalog CATALOGUE --teacher {folder} --target vocals" in said
    counts = record["counts"]
    assert counts["segments_heard"] == sum(counts[f"segments_{kind}"] for kind in labels.KINDS) > 0
    index = counts["labelled_pseudo"] + counts["labelled_clean_target"]
    index += counts["labelled_clean_residual"] + counts["labelled_left_out"]
    assert index == open_corpus(str(labelled)).index.num_rows
    # The student is the teacher of the next round, and these labels are none of its own.
    with pytest.raises(Failed, match=r"stale: teacher .* labelled it, and .* label anew by"):
        _finetune(tmp_path / "run", corpus_folder, labelled, tmp_path / "next", *options)
    assert not (tmp_path / "next").exists()


@pytest.mark.slow
def test_offline_and_online_hear_the_same(
    teacher: Path, corpus_folder: Path, labelled: Path, songs: Path, tmp_path: Path
) -> None:
    start = finetuning_command.started(str(teacher))
    sets = finetuning_command.sets.shards(
        str(labelled), start.trained.recipe, start.sha256, 0.0, str(teacher)
    )
    rng, kinds = random.Random(2), set()
    online = _material(teacher, corpus_folder, songs, tmp_path / "online", Rules())
    for _ in range(12):
        segment = sets.segments.draw(rng, (2, RATE), RATE, [])
        target, heard = online._hear([segment], segment.mixture[None])
        kinds.add(segment.outcome)
        assert int(heard.outcome) == segment.outcome
        if segment.outcome == labels.PSEUDO:
            torch.testing.assert_close(target[0], segment.target, atol=2e-3, rtol=0)
    assert labels.PSEUDO in kinds
    material = _material(teacher, corpus_folder, songs, tmp_path / "a", Rules(False), sets)
    batch = material.prepare(next(material.batches(finetuning_material.Progress())))
    assert torch.isfinite(batch.mixture).all() and material.tensors() == {}


@pytest.mark.slow
def test_each_of_the_four_stems_is_taught_by_its_own_teacher(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("vocals", "bass", "drums", "other")
    for song in range(4):
        folder = tmp_path / "stems" / f"song {song}"
        folder.mkdir(parents=True)
        parts = [part for seed in (80, 90) for part in sing(seed + song, 2)]
        for name, part in zip(names, parts, strict=True):
            soundfile.write(folder / f"{name}.flac", part.T, RATE)
    data, shards = tmp_path / "corpus", tmp_path / "shards"
    words = ["--stems", str(tmp_path / "stems"), "--output", str(data), "--chunk-seconds", "1"]
    words += ["--split", "train=0.5,valid=0.5", "--sample-rate", str(RATE)]
    assert corpus.main(words) == 0
    short = ["--steps", "4", "--validate-every", "2", *LOOP]
    for recipe, target in zip(("vocals", "bass", "drum", "other"), names, strict=True):
        before, after = tmp_path / f"{target} before", tmp_path / f"{target} after"
        words = ["--corpus", str(data), "--output", str(before), *NET, *short]
        assert loop_command.main([f"bsrnn-{recipe}", *words]) == 0
        words = ["--labelled", str(data), "--unlabelled", str(songs), "--output", str(after)]
        assert (
            finetuning_command.main([str(before), *words, *short, "--learning-rate", "0.001"]) == 0
        )
        assert checkpoint.load(str(after)).recipe.target == target
        assert _record(after)["counts"]["segments_heard"] > 0
    capsys.readouterr()
    words = ["--music", str(songs), "--teacher", str(tmp_path / "drums before"), "--output"]
    words += [str(shards), "--target", "drums", "--segment-seconds", "1", "--device", "cpu"]
    assert pseudolabel_command.main(words) == 0
    words = ["--mode", "offline", "--labelled", str(data), "--unlabelled", str(shards), *short]
    drums = [str(tmp_path / "drums before"), "--output", str(tmp_path / "offline")]
    assert finetuning_command.main([*drums, *words]) == 0
    with pytest.raises(Failed, match=r"stale: .* --target bass"):
        finetuning_command.main(
            [str(tmp_path / "bass before"), "--output", str(tmp_path / "x"), *words]
        )


@pytest.mark.slow
def test_a_killed_process_resumes(
    teacher: Path, corpus_folder: Path, songs: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "stemlode", "finetune", str(teacher), "--labelled"]
    command += [str(corpus_folder), "--unlabelled", str(songs), *SHORT, "--steps", "30"]
    command += ["--learning-rate", "0.002", "--workers", "1", "--output"]
    process = subprocess.Popen([*command, str(tmp_path / "killed")])
    while not (tmp_path / "killed" / LAST).exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert _model(tmp_path / "killed").read_bytes() == _model(tmp_path / "whole").read_bytes()
    assert _record(tmp_path / "killed")["teachers"] == _record(tmp_path / "whole")["teachers"]


def _together(
    teacher: Path, corpus: Path, unlabelled: Path, output: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Two processes, as a user starts them."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc-per-node", "2", "-m", "stemlode", "finetune", str(teacher)]
    words += ["--labelled", str(corpus), "--unlabelled", str(unlabelled)]
    words += ["--output", str(output), *SHORT, *options]
    told = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(words, env=told, capture_output=True, text=True, check=False, timeout=500)


@pytest.mark.slow
def test_two_processes_fine_tune_as_one_does_and_go_on_where_they_were_stopped(
    teacher: Path, corpus_folder: Path, songs: Path, whole: Path, tmp_path: Path
) -> None:
    given = (teacher, corpus_folder, songs)
    rate = ("--learning-rate", "0.003")
    done = _together(*given, tmp_path / "whole", *rate)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint in") == 1  # one process speaks
    alone, together = (
        checkpoint.read_tensors(str(run / LAST))[0] for run in (whole, tmp_path / "whole")
    )
    first = checkpoint.read_tensors(str(_model(teacher)))[0]
    for name in [name for name in alone if name.startswith("core.")]:
        apart = float((together[name] - alone[name]).norm())
        moved = float((alone[name] - first[name.removeprefix("core.")]).norm())
        assert apart < 0.02 * moved, name
    for key in ("counts", "rejects"):  # also of what the other process heard
        assert _record(tmp_path / "whole")[key] == _record(whole)[key]
    # Stopped where nothing is validated, so that each process has counted for itself.
    run = tmp_path / "stopped"
    for steps in (("--steps", "4"), ()):
        done = _together(*given, run, *rate, *steps)
        assert done.returncode == 0, done.stderr
    resumed, wanted = (
        checkpoint.read_tensors(str(one / LAST))[0] for one in (run, tmp_path / "whole")
    )
    assert resumed.keys() == wanted.keys()
    assert all(torch.equal(resumed[name], wanted[name]) for name in wanted)
    assert _record(run)["counts"] == _record(tmp_path / "whole")["counts"]
