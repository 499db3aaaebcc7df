"""Several processes that train together, by torchrun and gloo: as one process does, and resumed."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from stemlode import runs
from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training import checkpoint
from training.loop import command as loop_command

BSRNN = ["bsrnn-vocals-small", "--layers", "1", "--features", "4", "--hidden", "4"]
BSRNN += ["--mask-hidden", "4", "--patch-seconds", "0.25", "--log-every", "1", "--workers", "0"]
BSRNN += ["--batch-size", "4", "--steps", "6", "--validate-every", "3", "--device", "cpu"]


UNET = ["unet-vocals", *TINY, "--batch-size", "4", "--steps", "6", "--validate-every", "3"]
UNET += ["--device", "cpu", "--ema-decay", "0.9", "--patience", "9"]


def _together(
    corpus: Path, output: Path, *options: str, recipe: Sequence[str] = BSRNN
) -> "subprocess.CompletedProcess[str]":
    """Two processes, as a user starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "stemlode", "train", *recipe, *options]
    command += ["--corpus", str(corpus), "--output", str(output)]
    told = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, env=told, capture_output=True, text=True, check=False, timeout=500
    )


def _state(output: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read_tensors(str(output / "last" / "state.safetensors"))[0]


@pytest.mark.slow
@pytest.mark.parametrize("others", ["bass,drums,other", ""], ids=["mixed on the fly", "as it is"])
def test_two_processes_learn_what_one_does(
    corpus_folder: Path, tmp_path: Path, others: str
) -> None:
    options = ["--others", others, "--ema-decay", "0.9", "--accumulate", "2"]
    folders = ["--corpus", str(corpus_folder), "--output", str(tmp_path / "alone")]
    assert loop_command.main([*BSRNN, *options, *folders]) == 0
    done = _together(corpus_folder, tmp_path / "together", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint in") == 1  # one process speaks
    alone, together = _state(tmp_path / "alone"), _state(tmp_path / "together")
    torch.manual_seed(0)
    first = checkpoint.load(str(tmp_path / "alone")).recipe.nets().state_dict()
    for name in [name for name in alone if name.startswith(("core.", "average."))]:
        apart = float((together[name] - alone[name]).norm())
        moved = float((alone[name] - first[name.split(".", 1)[1]]).norm())
        assert apart < 0.01 * moved, name
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("alone", "together")
    ]
    for one, two in zip(*logs, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
        if "valid_loss" in one:
            assert two["valid_loss"] == pytest.approx(one["valid_loss"], rel=1e-3)
            assert two["valid_sdr"] == pytest.approx(one["valid_sdr"], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "stopped"),
    [([*BSRNN, "--others", ""], 3), (UNET, 2)],  # at a validation; where none is due
    ids=["bsrnn", "unet"],
)
def test_two_processes_that_were_stopped_go_on_bit_by_bit(
    recipe: list[str], stopped: int, corpus_folder: Path, tmp_path: Path
) -> None:
    """Also the running statistics of batch normalisation, which differ until they are averaged."""
    done = _together(corpus_folder, tmp_path / "whole", recipe=recipe)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    few = ["--steps", str(stopped)]
    done = _together(corpus_folder, run, *few, recipe=recipe)
    assert done.returncode == 0, done.stderr
    begun = _state(run)
    running = [name for name in begun if name.startswith("running.0.")]
    assert bool(running) is (recipe is UNET)
    for name in running:
        assert not torch.equal(begun[name], begun[name.replace("running.0", "running.1")])
    # As if a run of six steps had been killed there.
    plan = json.loads((run / "_PLAN.json").read_text())
    plan["options"]["steps"] = 6
    (run / "_PLAN.json").write_bytes(runs.to_json(plan))
    (run / "_SUCCESS").unlink()
    done = _together(corpus_folder, run, recipe=recipe)
    assert done.returncode == 0, done.stderr
    resumed, whole = _state(run), _state(tmp_path / "whole")
    assert resumed.keys() == whole.keys() and "random.cpu.1" in resumed
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    for name in running:  # the last step is validated, and saved after that
        assert torch.equal(whole[name], whole[name.replace("running.0", "running.1")])


@pytest.mark.slow
def test_all_stop_where_one_diverges(corpus_folder: Path, tmp_path: Path) -> None:
    options = ["--others", "", "--learning-rate", "1e36", "--validate-every", "1", "--steps", "20"]
    done = _together(corpus_folder, tmp_path / "run", *options)  # and none waits for the other
    assert done.returncode != 0
    assert "(samples " in done.stderr and "try a lower --learning-rate" in done.stderr
    assert not (tmp_path / "run" / "_SUCCESS").exists()


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(corpus_folder: Path, tmp_path: Path) -> None:
    done = _together(corpus_folder, tmp_path / "run", "--batch-size", "3")
    assert done.returncode != 0
    assert "--batch-size 3: 2 processes cannot share it equally" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_of_two_is_not_gone_on_with_by_one(corpus_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    folders = ["--corpus", str(corpus_folder), "--output", str(run)]
    assert loop_command.main([*BSRNN, "--others", "", *folders]) == 0
    plan = json.loads((run / "_PLAN.json").read_text())
    plan["options"]["processes"] = 2
    (run / "_PLAN.json").write_bytes(runs.to_json(plan))
    with pytest.raises(BadUsage, match="--processes 2, not 1"):
        loop_command.main([*BSRNN, "--others", "", *folders])
