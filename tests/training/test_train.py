"""The loop: it learns, resumes bit by bit, stops when it should, and says why."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.runs import BadUsage, Failed
from tests.training.conftest import TINY
from training import checkpoint, examples, material, train

OPTIONS = ("--steps", "12", "--validate-every", "4", "--remix-db", "3")
Rows = list[dict[str, Any]]


def _train(corpus: Path, output: Path, *options: str, recipe: str = "unet-vocals") -> int:
    folders = ["--corpus", str(corpus), "--output", str(output)]
    return train.main([recipe, *folders, *TINY, *options])


def _log(output: Path) -> Rows:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


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
    assert record["counts"]["steps"] == 12 and record["counts"]["rejected"] == 0
    found = checkpoint.load(str(whole))
    assert found.step == best["step"] and found.recipe.name == "unet-vocals"
    assert found.recipe.learning_rate == 0.003 and found.scores == record["scores"]


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
    count = 0

    def dying(*arguments: Any) -> examples.Batch:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt
        return examples.remix(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(material, "remix", dying)
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

    def untimed(rows: Rows) -> Rows:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert untimed(_log(tmp_path / "run")) == untimed(_log(whole))


def test_a_crash_between_two_files_of_a_save_does_no_harm(
    whole: Path, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dying in ("preserve", "write_log"):
        count = 0
        real = getattr(train.state, dying)

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
            patched.setattr(train.state, dying, third_time)
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
    with pytest.raises(BadUsage, match="--steps 12, not 30"):
        _train(corpus_folder, whole, *OPTIONS, "--steps", "30")


def test_a_loss_that_is_not_a_number_stops_the_run_and_spoils_nothing(
    corpus_folder: Path, tmp_path: Path
) -> None:
    options = ("--learning-rate", "1e36", "--steps", "20", "--validate-every", "1")
    with pytest.raises(
        Failed, match=r"loss is \w+ at step \d+ \(samples \w{32}.*last good|nothing"
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


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_of_which_nothing_is_left_says_so(
    damaged: Path, tmp_path: Path, split: str
) -> None:
    for shard in damaged.glob(f"{split}/*.tar"):
        shard.unlink()
    with pytest.raises(Failed, match=f"no sample in its {split} split that can be used"):
        _train(damaged, tmp_path / "run", "--steps", "5")


@pytest.mark.parametrize("name", ["levels.json", "log.jsonl"])
def test_a_damaged_file_of_an_unfinished_run_is_named(
    corpus_folder: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "_SUCCESS").unlink()
    (run / name).write_text('{"half')
    with pytest.raises(Failed, match=rf"{name}: damaged.*--overwrite"):
        _train(corpus_folder, run, *OPTIONS)


def test_the_instrumental_net_trains_too(corpus_folder: Path, tmp_path: Path) -> None:
    options = ("--steps", "3", "--validate-every", "3")
    assert _train(corpus_folder, tmp_path / "run", *options, recipe="unet-instrumental") == 0
    assert checkpoint.load(str(tmp_path / "run")).recipe.target == "accompaniment"


def test_epochs_smaller_than_a_batch_still_train(corpus_folder: Path, tmp_path: Path) -> None:
    _train(corpus_folder, tmp_path / "run", "--steps", "3", "--batch-size", "500")
    assert [row["epoch"] for row in _log(tmp_path / "run")] == [0, 1, 2]
    assert all(math.isfinite(row["loss"]) for row in _log(tmp_path / "run"))


def test_help_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        train.main(["--help"])
    text = capsys.readouterr().out
    assert status.value.code == 0
    assert all(name in text for name in train.RECIPES)
    with pytest.raises(SystemExit):
        train.main(["unet-vocals-small", "--help"])
    assert "--learning-rate" in capsys.readouterr().out


def test_print_shows_the_recipe_as_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["unet-vocals", "--print", "--learning-rate", "0.5"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["learning_rate"] == "0.5" and lines["hop_length"] == "768"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["unet-vocal"], "invalid choice: 'unet-vocal'"),
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
        train.main(arguments)
    assert says in str(caught.value) and "\n" not in str(caught.value)
