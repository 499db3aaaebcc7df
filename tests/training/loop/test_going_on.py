"""Runs that last longer than planned, that SIGTERM ends, that begin with a net's weights."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stemlode import runs, signals
from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training import checkpoint
from training.loop import command, warm_start
from training.loop.material import Material
from training.loop.stopping import Termination
from training.recipes import registry
from training.recipes.registry import RECIPES

OFTEN = ("--validate-every", "4", "--log-every", "3", "--remix-db", "3", "--ema-decay", "0.9")
TIMED = {"seconds", "segments_per_s", "data_wait", "utilisation"}


def _train(corpus: Path, output: Path, *options: str, recipe: str = "unet-vocals") -> int:
    folders = ["--corpus", str(corpus), "--output", str(output)]
    return command.main([recipe, *folders, *TINY, *options])


def _log(output: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows]


def _assert_same(first: Path, second: Path) -> None:
    """Two runs of one length: log, result and state are equal bit by bit."""
    assert _log(first) == _log(second)
    for name in ("checkpoint/model.safetensors", "last/state.safetensors"):
        one, other = (checkpoint.read_tensors(str(run / name))[0] for run in (first, second))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    records = [json.loads((run / "run.json").read_text()) for run in (first, second)]
    for key in ("counts", "scores", "best_step", "recipe", "options"):
        assert records[0][key] == records[1][key], key
    best = [sorted((run / "previews/best").rglob("*.flac")) for run in (first, second)]
    assert [path.read_bytes() for path in best[0]] == [path.read_bytes() for path in best[1]]


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (4, 8),  # ends where it validates anyway
        (3, 6),  # before the first validation, where it logs anyway
        (5, 10),  # where it does neither
        (5, 6),  # the better net of the first end must not stay
        (7, 8),
    ],
)
def test_steps_may_be_raised_as_if_they_had_been_more_from_the_start(
    few: int, many: int, corpus_folder: Path, tmp_path: Path
) -> None:
    _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", str(few))
    assert _log(tmp_path / "raised")[-1]["step"] == few
    _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", str(many))
    _train(corpus_folder, tmp_path / "whole", *OFTEN, "--steps", str(many))
    _assert_same(tmp_path / "raised", tmp_path / "whole")


def test_a_run_may_be_raised_again_and_again_and_killed_at_its_end(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in (2, 5):
        _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", str(steps))

    def dying(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(runs.Run, "finish", dying)
        _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", "7")
    assert not (tmp_path / "raised/_SUCCESS").exists()
    for steps in (7, 9):
        _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", str(steps))
        _train(corpus_folder, tmp_path / f"whole{steps}", *OFTEN, "--steps", str(steps))
        _assert_same(tmp_path / "raised", tmp_path / f"whole{steps}")


def test_a_run_whose_patience_ended_goes_on_with_more(corpus_folder: Path, tmp_path: Path) -> None:
    rate = ("--learning-rate", "1e-12", "--dropout", "0", "--ema-decay", "0", "--remix-db", "0")
    options = (*OFTEN, *rate, "--validate-every", "1", "--steps", "9")
    _train(corpus_folder, tmp_path / "run", *options, "--patience", "2")
    ended = _log(tmp_path / "run")[-1]["step"]
    assert ended < 9
    _train(corpus_folder, tmp_path / "run", *options, "--patience", "9")
    assert _log(tmp_path / "run")[-1]["step"] > ended


def test_fewer_steps_and_other_changes_are_refused(corpus_folder: Path, tmp_path: Path) -> None:
    _train(corpus_folder, tmp_path / "run", *OFTEN, "--steps", "4")
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(BadUsage, match="--steps 4, not 3; choose another folder"):
        _train(corpus_folder, tmp_path / "run", *OFTEN, "--steps", "3")
    with pytest.raises(BadUsage, match="--seed 0, not 1"):
        _train(corpus_folder, tmp_path / "run", *OFTEN, "--steps", "8", "--seed", "1")
    assert (tmp_path / "run/_SUCCESS").exists()
    assert (tmp_path / "run/run.json").read_bytes() == before
    _train(corpus_folder, tmp_path / "run", *OFTEN, "--steps", "6", "--overwrite")
    assert not (tmp_path / "run/last/before").exists() or _log(tmp_path / "run")[-1]["step"] == 6


@pytest.mark.parametrize(("step", "saved"), [(1, 2), (4, 4), (6, 6)])
def test_sigterm_saves_the_step_and_ends(
    step: int,
    saved: int,
    corpus_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At a step like any other, after the next; at one that is to be validated; at the last one."""
    steps, real = 0, Material.prepare

    def signalled(self: Material, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, batch)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(Material, "prepare", signalled)
        with signals.heeded(), pytest.raises(KeyboardInterrupt):
            _train(corpus_folder, tmp_path / "ended", *OFTEN, "--steps", "6")
    assert f"step {saved} is saved" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "ended/_SUCCESS").exists()
    _train(corpus_folder, tmp_path / "ended", *OFTEN, "--steps", "6")
    _train(corpus_folder, tmp_path / "whole", *OFTEN, "--steps", "6")
    _assert_same(tmp_path / "ended", tmp_path / "whole")


@pytest.mark.parametrize("at", [1, 2])
def test_sigterm_breaks_a_validation_off(
    at: int, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation may last longer than a spot machine waits; what it was for is done again."""
    validations, real = 0, Material._note

    def signalled(self: Material, *rest: Any) -> None:
        nonlocal validations
        validations += 1
        if validations == at * 2:  # within a validation of several samples
            os.kill(os.getpid(), signal.SIGTERM)
        real(self, *rest)

    with monkeypatch.context() as patched, signals.heeded(), pytest.raises(KeyboardInterrupt):
        patched.setattr(Material, "_note", signalled)
        _train(corpus_folder, tmp_path / "ended", *OFTEN, "--steps", "6")
    _train(corpus_folder, tmp_path / "ended", *OFTEN, "--steps", "6")
    _train(corpus_folder, tmp_path / "whole", *OFTEN, "--steps", "6")
    _assert_same(tmp_path / "ended", tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_to_the_whole_group_leaves_the_workers_time(
    corpus_folder: Path, tmp_path: Path
) -> None:
    """As a machine that shuts down sends it: also to the decoding processes."""
    words = [sys.executable, "-m", "stemlode", "train", "unet-vocals", *TINY, *OFTEN]
    words += ["--corpus", str(corpus_folder), "--workers", "2"]
    ended = [*words, "--output", str(tmp_path / "ended"), "--steps", "200"]
    process = subprocess.Popen(ended, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "ended/last/state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 143 and "Traceback" not in told
    saved, why = told.strip().splitlines()[-2:]
    assert saved.startswith("train: step ") and saved.endswith(" is saved")
    assert why.startswith("error: terminated (SIGTERM); run the same command again")
    subprocess.run(ended, check=True, capture_output=True)
    whole = [*words, "--output", str(tmp_path / "whole"), "--steps", "200"]
    subprocess.run(whole, check=True, capture_output=True)
    _assert_same(tmp_path / "ended", tmp_path / "whole")


@pytest.fixture(scope="module")
def given(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained net."""
    output = tmp_path_factory.mktemp("given") / "run"
    assert _train(corpus_folder, output, "--steps", "4", "--validate-every", "4") == 0
    return output


def test_a_run_begins_with_the_weights_of_another(
    given: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    """Of a recipe whose last layers differ: all that fits is there, and the rest is named."""
    options = ("--from", str(given), "--steps", "1", "--learning-rate", "1e-12")
    assert _train(corpus_folder, tmp_path / "run", *options, "--channels", "2,3,5") == 0
    old, new = (checkpoint.load(str(run)).core.state_dict() for run in (given, tmp_path / "run"))
    facts = json.loads((tmp_path / "run/run.json").read_text())["started_from"]
    assert facts["recipe"] == "unet-vocals" and facts["checkpoint"] == str(given)
    anew = {line.split()[0] for line in facts["starts_anew"]}
    assert anew == {name for name in new if old[name].shape != new[name].shape} != set()
    assert "encoder.2.0.weight [5, 3, 5, 5]" in facts["starts_anew"]
    assert "encoder.2.0.weight [4, 3, 5, 5]" in facts["not_used"]
    assert facts["taken"] == len(new) - len(anew)
    for name in set(new) - anew:
        if new[name].is_floating_point() and "running" not in name:
            np.testing.assert_allclose(new[name], old[name], atol=1e-6)


def test_a_resumed_run_does_not_begin_again(
    given: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    start = ("--from", str(given))
    _train(corpus_folder, tmp_path / "raised", *OFTEN, *start, "--steps", "4")
    _train(corpus_folder, tmp_path / "raised", *OFTEN, *start, "--steps", "8")
    _train(corpus_folder, tmp_path / "whole", *OFTEN, *start, "--steps", "8")
    _assert_same(tmp_path / "raised", tmp_path / "whole")
    with pytest.raises(BadUsage, match="before --from changed"):
        _train(corpus_folder, tmp_path / "raised", *OFTEN, "--steps", "8")


def test_another_number_of_bands_takes_the_layers_between(tmp_path: Path) -> None:
    small = {"features": 4, "layers": 1, "hidden": 4, "mask_hidden": 4}
    first, second = (
        registry.override(RECIPES[name], small) for name in ("bsrnn-vocals-v7", "bsrnn-drum")
    )
    checkpoint.save(str(tmp_path / "model"), checkpoint.Checkpoint(first, first.nets(), 1))
    found = warm_start.read(str(tmp_path / "model"), second)
    assert {"over_time", "over_bands"} <= {name.split(".")[0] for name in found.weights}
    anew = [line.split()[0] for line in found.facts["starts_anew"]]
    bands = ["split.bias", "mask.norm_weight", "mask.norm_bias"]
    assert anew == [*bands, "mask.hidden_weight", "mask.hidden_bias"]  # which are a band's own
    assert "start anew; no place for its" in found.line() and "more" in found.line()


@pytest.mark.parametrize(
    ("place", "says"),
    [("none", "--from .*none: no such file"), ("other", "nothing fits unet-vocals")],
)
def test_what_cannot_be_begun_with_is_one_line(
    place: str, says: str, corpus_folder: Path, tmp_path: Path
) -> None:
    recipe = registry.override(RECIPES["cws-unet5-k1-small"], {"width": 0.02})
    checkpoint.save(str(tmp_path / "other"), checkpoint.Checkpoint(recipe, recipe.nets(), 1))
    with pytest.raises(BadUsage, match=says):
        _train(corpus_folder, tmp_path / "run", "--from", str(tmp_path / place))
    assert not (tmp_path / "run").exists()


def test_the_loop_is_stopped_from_the_main_thread_alone() -> None:
    """In a notebook's other thread there are no signal handlers; training works all the same."""
    before, errors = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        try:
            with Termination() as termination:
                assert not termination.asked
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors and signal.getsignal(signal.SIGTERM) is before
