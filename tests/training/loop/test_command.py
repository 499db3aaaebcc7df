"""The loop: it learns, resumes bit by bit, stops when it should, and says why."""

import dataclasses
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stemlode import runs
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import TINY
from training import checkpoint
from training.data import corpus, examples
from training.log import Log
from training.loop import command as loop_command
from training.loop import material, train
from training.loop.options import Options
from training.recipes.answers import Judged
from training.recipes.registry import RECIPES

OPTIONS = ("--steps", "12", "--validate-every", "4", "--remix-db", "3")
Rows = list[dict[str, Any]]


BSRNN = ["--others", "", "--layers", "1", "--features", "4", "--hidden", "4", "--mask-hidden", "4"]
BSRNN += ["--patch-seconds", "0.25", "--log-every", "1", "--workers", "0"]


def _dies_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Interrupts the loop where it prepares its batch number `step`."""
    count = 0

    def dying(*arguments: Any) -> examples.Batch:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt
        return examples.remix(*arguments)

    patch.setattr(material, "remix", dying)


def _train(corpus: Path, output: Path, *options: str, recipe: str = "unet-vocals") -> int:
    folders = ["--corpus", str(corpus), "--output", str(output)]
    return loop_command.main([recipe, *folders, *(TINY if "unet" in recipe else BSRNN), *options])


def _log(output: Path) -> Rows:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def _untimed(rows: Rows) -> Rows:
    timed = {"seconds", "segments_per_s", "data_wait", "utilisation"}
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


def _weights(output: Path) -> bytes:
    return (output / "checkpoint" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps, with every kind of randomness, that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "run"
    assert _train(corpus_folder, output, *OPTIONS) == 0
    return output


def test_a_run_leaves_a_checkpoint_a_log_and_a_record(whole: Path) -> None:
    log = _log(whole)
    assert [row["step"] for row in log] == list(range(1, 13))
    assert [row["step"] for row in log if "valid_loss" in row] == [4, 8, 12]
    assert all({"step", "epoch", "loss", "seconds"} <= row.keys() for row in log)
    record = json.loads((whole / "run.json").read_text())
    best = min((row for row in log if "valid_loss" in row), key=lambda row: row["valid_loss"])
    assert record["best_step"] == best["step"]
    assert record["scores"] == {"valid_loss": best["valid_loss"]}
    assert record["precision"] == {"nets": "fp32", "recurrent": "fp32", "scaled": False}
    assert record["counts"]["steps"] == 12 and record["counts"]["rejected"] == 0
    found = checkpoint.load(str(whole))
    assert found.step == best["step"] and found.recipe.name == "unet-vocals"
    assert found.recipe.learning_rate == 0.003 and found.scores == {
        name: best[name] for name in ("valid_loss", "valid_sdr")
    }


def test_it_learns(corpus_folder: Path, tmp_path: Path) -> None:
    options = ("--steps", "60", "--validate-every", "10", "--learning-rate", "0.01")
    _train(corpus_folder, tmp_path / "run", *options, "--dropout", "0")
    losses = [row["valid_loss"] for row in _log(tmp_path / "run") if "valid_loss" in row]
    assert losses[-1] < 0.75 * losses[0]


def test_the_same_seed_gives_the_same_weights(
    whole: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    _train(corpus_folder, tmp_path / "again", *OPTIONS)
    assert _weights(tmp_path / "again") == _weights(whole)
    _train(corpus_folder, tmp_path / "other", *OPTIONS, "--seed", "1")
    assert _weights(tmp_path / "other") != _weights(whole)


@pytest.mark.parametrize("step", [1, 6, 12])
def test_a_run_that_dies_at_any_step_resumes_bit_by_bit(
    whole: Path, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        _dies_at(step, patched)
        _train(corpus_folder, tmp_path / "run", *OPTIONS)
    assert not (tmp_path / "run" / "_SUCCESS").exists()
    _train(corpus_folder, tmp_path / "run", *OPTIONS)
    assert _weights(tmp_path / "run") == _weights(whole)
    state = "last/state.safetensors"
    resumed, undisturbed = (
        checkpoint.read_tensors(str(r / state)) for r in (tmp_path / "run", whole)
    )
    assert resumed[0].keys() == undisturbed[0].keys()
    assert all((resumed[0][name] == undisturbed[0][name]).all() for name in resumed[0])

    assert _untimed(_log(tmp_path / "run")) == _untimed(_log(whole))


EVERYTHING = {
    "average": ("--ema-decay", "0.9"),
    "parts": ("--accumulate", "2", "--clip-norm", "0.5", "--decay", "0.5", "--decay-every", "3"),
    "scaler": ("--precision", "fp16"),
    "bf16": ("--precision", "bf16", "--ema-decay", "0.5"),
}


@pytest.mark.parametrize("kind", EVERYTHING)
def test_whatever_has_a_state_resumes_bit_by_bit(
    kind: str, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*OPTIONS, "--batch-size", "4", "--patience", "2", *EVERYTHING[kind]]
    _train(corpus_folder, tmp_path / "whole", *options)
    step = random.Random(kind).randint(5, 11)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        _dies_at(step, patched)
        _train(corpus_folder, tmp_path / "run", *options)
    _train(corpus_folder, tmp_path / "run", *options)
    assert _weights(tmp_path / "run") == _weights(tmp_path / "whole")
    assert _untimed(_log(tmp_path / "run")) == _untimed(_log(tmp_path / "whole"))
    (tensors, facts), (others, other_facts) = (
        checkpoint.read_tensors(str(tmp_path / name / "last/state.safetensors"))
        for name in ("run", "whole")
    )
    assert all(torch.equal(tensors[name], others[name]) for name in others | tensors)
    seconds = [found["progress"].pop("seconds") for found in (facts, other_facts)]
    assert facts == other_facts and all(seconds)
    assert bool(facts["scaler"]) == (kind == "scaler")


def test_state_that_is_saved_between_validations_serves_as_well(
    whole: Path, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        _dies_at(7, patched)
        patched.setattr(train, "SAVE_EVERY_S", 0.0)
        _train(corpus_folder, tmp_path / "run", *OPTIONS)
    _, facts = checkpoint.read_tensors(str(tmp_path / "run" / "last/state.safetensors"))
    assert facts["progress"]["step"] == 6  # two after the validation
    _train(corpus_folder, tmp_path / "run", *OPTIONS)
    assert _weights(tmp_path / "run") == _weights(whole)
    assert _untimed(_log(tmp_path / "run")) == _untimed(_log(whole))


def test_the_average_of_the_weights_is_what_is_validated_and_saved(
    whole: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    _train(corpus_folder, tmp_path / "run", *OPTIONS, "--ema-decay", "0.9")
    state, facts = checkpoint.read_tensors(str(tmp_path / "run" / "last/state.safetensors"))
    plain, _ = checkpoint.read_tensors(str(whole / "last/state.safetensors"))
    assert facts["progress"]["best_step"] == 12  # so the checkpoint is of the last step
    for name, tensor in checkpoint.load(str(tmp_path / "run")).core.state_dict().items():
        assert torch.equal(state[f"average.{name}"], tensor)
        assert torch.equal(state[f"core.{name}"], plain[f"core.{name}"])  # learns as without
    held = [row["valid_loss"] for row in _log(tmp_path / "run") if "valid_loss" in row]
    assert held != [row["valid_loss"] for row in _log(whole) if "valid_loss" in row]
    trained = checkpoint.load(str(tmp_path / "run"))
    data = corpus.open_corpus(str(corpus_folder))
    run = runs.Run("train", str(tmp_path / "run"), {}, {}, 0.0)
    judge = material.Material(run, data, trained.recipe, Options(workers=0), torch.device("cpu"))
    assert judge.validate(trained.core)["valid_loss"] == held[-1]


def test_an_average_follows_its_formula() -> None:
    nets, held = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    wanted = held.weight.detach().clone()
    for step in range(1, 40):
        with torch.no_grad():
            nets.weight.normal_()
            nets.num_batches_tracked += 1
        train.follow(held, nets, 0.9, step)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * nets.weight.detach()
    assert torch.allclose(held.weight, wanted) and held.num_batches_tracked == 39


def test_a_batch_in_parts_teaches_what_it_teaches_at_once(
    corpus_folder: Path, tmp_path: Path
) -> None:
    for name, parts in (("once", "1"), ("parts", "3")):
        _train(
            corpus_folder,
            tmp_path / name,
            *("--steps", "4", "--batch-size", "4", "--validate-every", "4", "--minutes", "5"),
            *("--accumulate", parts),
            recipe="bsrnn-vocals-small",
        )
    once, in_parts = (
        checkpoint.load(str(tmp_path / n)).core.state_dict() for n in ("once", "parts")
    )
    for name, tensor in once.items():
        assert torch.allclose(in_parts[name], tensor, atol=1e-4), name
    losses = [[row["loss"] for row in _log(tmp_path / n)] for n in ("once", "parts")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_gradients_that_are_not_finite_stop_a_run_whose_loss_is(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = type(RECIPES["unet-vocals"]).judge, 0

    def steep(self: Any, nets: Any, *batch: Any) -> Judged:
        nonlocal count
        count += nets.training and len(batch[0]) > 1  # one alone is what memory is estimated by
        found = real(self, nets, *batch)
        weight = next(nets.parameters()).flatten()[0]
        more = (weight - weight.detach()).sqrt() if count == 6 else 0
        return dataclasses.replace(found, loss=found.loss + more)

    with monkeypatch.context() as patched:
        patched.setattr(type(RECIPES["unet-vocals"]), "judge", steep)
        with pytest.raises(Failed, match=r"norm is (nan|inf) at step 6 .*good state is of step 4"):
            _train(corpus_folder, tmp_path / "run", *OPTIONS)
    tensors, facts = checkpoint.read_tensors(str(tmp_path / "run" / "last/state.safetensors"))
    assert facts["progress"]["step"] == 4
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())
    _train(corpus_folder, tmp_path / "run", *OPTIONS)  # what was saved is good to go on with


def test_the_log_says_how_fast_it_went(whole: Path) -> None:
    for row in _log(whole):
        assert row["segments_per_s"] > 0 and 0 <= row["data_wait"] <= 1
        assert row["utilisation"] > 0 and row["gradient_norm"] > 0
        assert row["learning_rate"] == 0.003
    assert all(-60 < row["valid_sdr"] < 60 for row in _log(whole) if "valid_loss" in row)


def test_a_crash_between_two_files_of_a_save_does_no_harm(
    whole: Path, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, dying in ((train.state, "preserve"), (Log, "add"), (Log, "_write")):
        count = 0
        real = getattr(owner, dying)

        def third_time(*arguments: Any, real: Any = real) -> None:
            nonlocal count
            count += 1
            if count == 3:
                raise OSError(28, "No space left on device")
            real(*arguments)

        with (
            monkeypatch.context() as patched,
            pytest.raises(Failed, match=r"--output .*No space.*resume"),
        ):
            patched.setattr(owner, dying, third_time)
            _train(corpus_folder, tmp_path / dying, *OPTIONS)
        _train(corpus_folder, tmp_path / dying, *OPTIONS)
        assert _weights(tmp_path / dying) == _weights(whole)


@pytest.mark.slow
def test_a_killed_process_resumes(corpus_folder: Path, tmp_path: Path) -> None:
    options = ["--steps", "300", "--validate-every", "10", "--patience", "99", "--workers", "2"]
    command = [sys.executable, "-m", "stemlode", "train", "unet-vocals", *TINY, *options]
    command += ["--corpus", str(corpus_folder), "--output"]
    process = subprocess.Popen([*command, str(tmp_path / "killed")])
    while not (tmp_path / "killed" / "last" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")


def test_a_finished_run_has_nothing_to_do(
    whole: Path, corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert _train(corpus_folder, whole, *OPTIONS) == 0
    assert "already complete" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    with pytest.raises(BadUsage, match="--steps 12, not 9"):
        _train(corpus_folder, whole, *OPTIONS, "--steps", "9")


def test_a_loss_that_is_not_a_number_stops_the_run_and_spoils_nothing(
    corpus_folder: Path, tmp_path: Path
) -> None:
    options = ("--learning-rate", "1e36", "--steps", "20", "--validate-every", "1")
    with pytest.raises(
        Failed, match=r"(loss|norm) is \w+ at step \d+ \(samples \w{32}.*(last good|nothing)"
    ):
        _train(corpus_folder, tmp_path / "run", *options)
    assert not (tmp_path / "run" / "_SUCCESS").exists()
    for path in (tmp_path / "run").rglob("*.safetensors"):
        tensors, _ = checkpoint.read_tensors(str(path))
        assert all(
            tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point()
        )


def test_patience_ends_a_run(corpus_folder: Path, tmp_path: Path) -> None:
    options = ("--learning-rate", "1e-30", "--steps", "500", "--validate-every", "1")
    assert _train(corpus_folder, tmp_path / "run", *options, "--patience", "3") == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    stale = [row["valid_loss"] for row in _log(tmp_path / "run")[record["best_step"] - 1 :]]
    assert record["counts"]["steps"] < 500
    assert len(stale) == 1 + 3 and min(stale) == stale[0]


def test_minutes_end_a_run(corpus_folder: Path, tmp_path: Path) -> None:
    assert _train(corpus_folder, tmp_path / "run", "--minutes", "0.01") == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert 1 <= record["counts"]["steps"] < 200_000
    assert "valid_loss" in _log(tmp_path / "run")[-1]
    assert record["training_seconds"] >= 0.6


@pytest.fixture
def damaged(corpus_folder: Path, tmp_path: Path) -> Path:
    """A copy of the corpus, to be damaged."""
    return Path(shutil.copytree(corpus_folder, tmp_path / "damaged"))


def test_a_bad_sample_is_skipped_and_counted_once(damaged: Path, tmp_path: Path) -> None:
    shard = sorted(damaged.glob("train/*.tar"))[0]
    data = bytearray(shard.read_bytes())
    start = data.find(b"fLaC", data.find(b".mixture.flac"))
    data[start : start + 2048] = bytes(2048)
    shard.write_bytes(data)
    _train(damaged, tmp_path / "run", "--steps", "25", "--validate-every", "25")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["counts"]["epochs"] >= 2
    assert record["counts"]["rejected"] == 1
    ((key, reason),) = record["rejects"].items()
    assert len(key) == 32 and "does not decode" in reason


def test_without_levels_nothing_is_read_before_the_first_step(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = sorted(damaged.glob("train/*.tar"))[0]
    data = bytearray(shard.read_bytes())
    start = data.find(b"fLaC", data.find(b".mixture.flac"))
    data[start : start + 2048] = bytes(2048)
    shard.write_bytes(data)
    options = ("--steps", "40", "--validate-every", "40")
    _train(damaged, tmp_path / "run", *options, recipe="bsrnn-vocals-small")
    assert not (tmp_path / "run" / "levels.json").exists()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["counts"]["rejected"] == 1  # and found on the way
    (key,) = record["rejects"]
    assert capsys.readouterr().err.count(f"left out {key}: ") == 1


def test_an_unreadable_valid_split_is_told_without_levels_too(
    damaged: Path, tmp_path: Path
) -> None:
    for shard in damaged.glob("valid/*.tar"):
        shard.unlink()
    with pytest.raises(Failed, match="no sample in its valid split that can be used"):
        _train(damaged, tmp_path / "run", "--steps", "1", recipe="bsrnn-vocals-small")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_nets_learn_the_same(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiler"))
    options = ("--channels", "2", "--steps", "3", "--validate-every", "3", "--dropout", "0")
    _train(corpus_folder, tmp_path / "eager", *options)
    _train(corpus_folder, tmp_path / "compiled", *options, "--compile")
    eager, compiled = (_log(tmp_path / name) for name in ("eager", "compiled"))
    for one, other in zip(eager, compiled, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert compiled[-1]["valid_loss"] == pytest.approx(eager[-1]["valid_loss"], rel=1e-2)
    plain = checkpoint.load(str(tmp_path / "eager")).core.state_dict()
    assert plain.keys() == checkpoint.load(str(tmp_path / "compiled")).core.state_dict().keys()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_of_which_nothing_is_left_says_so(
    damaged: Path, tmp_path: Path, split: str
) -> None:
    for shard in damaged.glob(f"{split}/*.tar"):
        shard.unlink()
    with pytest.raises(Failed, match=f"no sample in its {split} split that can be used"):
        _train(damaged, tmp_path / "run", "--steps", "5")


def test_a_damaged_log_of_an_unfinished_run_is_named_and_the_net_goes_on(
    corpus_folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "_SUCCESS").unlink()
    (run / "log.jsonl").write_text('{"half')
    _train(corpus_folder, run, *OPTIONS)
    assert "log.jsonl: its last line is torn; the net goes on as it was" in capsys.readouterr().err
    for name in ("last/state.safetensors", "checkpoint/model.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("name", ["levels.json", "last/state.safetensors"])
def test_a_damaged_file_of_an_unfinished_run_is_named(
    corpus_folder: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "_SUCCESS").unlink()
    (run / name).write_text('{"half')
    with pytest.raises(Failed, match=rf"{name}: damaged.*--overwrite"):
        _train(corpus_folder, run, *OPTIONS)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("progress", {"step": 1, "unheard": 2}),
        ("progress", None),
        ("ranks", []),
        ("rejects", 3),
        ("tensors", None),
    ],
)
def test_a_state_of_something_else_is_refused(
    corpus_folder: Path, whole: Path, tmp_path: Path, entry: str, value: Any
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "_SUCCESS").unlink()
    path = str(run / "last" / "state.safetensors")
    tensors, facts = checkpoint.read_tensors(path)
    if entry == "tensors":
        del tensors["random.cpu.0"]
    facts[entry] = value
    checkpoint.write_tensors(path, tensors, facts)
    with pytest.raises(Failed, match=r"state.safetensors: damaged, or of another run.*--overwrite"):
        _train(corpus_folder, run, *OPTIONS)


def test_the_instrumental_net_trains_too(corpus_folder: Path, tmp_path: Path) -> None:
    options = ("--steps", "3", "--validate-every", "3")
    assert _train(corpus_folder, tmp_path / "run", *options, recipe="unet-instrumental") == 0
    assert checkpoint.load(str(tmp_path / "run")).recipe.target == "accompaniment"


def test_epochs_smaller_than_a_batch_still_train(corpus_folder: Path, tmp_path: Path) -> None:
    _train(corpus_folder, tmp_path / "run", "--steps", "3", "--batch-size", "500")
    assert [row["epoch"] for row in _log(tmp_path / "run")] == [0, 1, 2]
    assert all(math.isfinite(row["loss"]) for row in _log(tmp_path / "run"))


def _expanded(pattern: str) -> list[str]:
    """The names that a pattern of the help stands for."""
    parts = [
        ["", *part[1:-1].split("|")] if part[:1] == "[" else part.strip("{}").split(",")
        for part in re.split(r"(\{.*?\}|\[.*?\])", pattern)
    ]
    return ["".join(choice) for choice in itertools.product(*parts)]


def test_help_covers_every_recipe_and_list_prints_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        loop_command.main(["--help"])
    text = capsys.readouterr().out
    assert status.value.code == 0
    named = [word for line in text.splitlines() for word in line.split() if "[-small]" in word]
    names = [name for pattern in named for name in _expanded(pattern)]
    assert sorted(names) == sorted(RECIPES)
    with pytest.raises(SystemExit) as status:
        loop_command.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert status.value.code == 0
    for line, (name, recipe) in zip(lines, RECIPES.items(), strict=True):
        assert re.fullmatch(rf"{name} {{2,}}{re.escape(recipe.summary)}", line)
    with pytest.raises(SystemExit):
        loop_command.main(["unet-vocals-small", "--help"])
    assert "--learning-rate" in capsys.readouterr().out


def test_print_shows_the_recipe_as_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert loop_command.main(["unet-vocals", "--print", "--learning-rate", "0.5"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["learning_rate"] == "0.5" and lines["hop_length"] == "768"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["unet-vocal"], "no recipe is called 'unet-vocal'; did you mean unet-vocals?"),
        (["/etc/passwd"], "--list prints those there are"),
        (["unet-vocals", "--precision", "fp8"], "--precision"),
        (["unet-vocals", "--accumulate", "17"], "accumulate is 17; at most batch_size, 16"),
        (["unet-vocals", "--ema-decay", "1"], "ema_decay is 1.0"),
        ([], "RECIPE"),
        (["unet-vocals"], "needs --corpus"),
        (["unet-vocals", "--corpus", "/none", "--output", "/none"], "/none does not exist"),
        (["unet-vocals", "--learning-rat", "1"], "did you mean --learning-rate"),
        (["unet-vocals", "--batch-size", "0"], "batch_size is 0"),
        (["unet-vocals", "--batch-size", "x"], "--batch-size"),
        (["unet-vocals", "--channels", "8,x"], "--channels"),
        (["unet-vocals", "--target", "/x"], "target is '/x'"),
        (["unet-vocals", "--minutes", "-1"], "--minutes"),
        (["unet-vocals", "--sample-rate", "1"], "sample_rate is 1"),
        (["unet-vocals", "--kernel-size", "99999"], "kernel_size is 99999"),
        (["unet-vocals", "--cache-gb", "1e300"], "--cache-gb"),
        (["unet-vocals", "--seed", "99999999999999999999"], "--seed"),
        (["unet-vocals", "--workers", "9999999"], "--workers"),
        (["unet-vocals", "--corpus", "/", "--output", "/x", "--device", "meta"], "--device meta"),
        (
            ["unet-vocals", "--corpus", "/", "--output", "/x", "--device", "cuda:99"],
            "--device cuda:99",
        ),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(BadUsage) as caught:
        loop_command.main(arguments)
    assert says in str(caught.value) and "\n" not in str(caught.value)
