"""The loop on a GPU: lower precision, compiling, pinned memory, and resuming."""

import json
from pathlib import Path

import pytest
import torch

from tests.training.conftest import TINY
from training import checkpoint
from training.data.examples import Batch, to_device
from training.loop import command, pace, train
from training.models import precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
BSRNN = ["--layers", "1", "--features", "8", "--hidden", "8", "--mask-hidden", "8"]
BSRNN += ["--patch-seconds", "0.5", "--batch-size", "4", "--log-every", "1", "--workers", "2"]


def _train(corpus: Path, output: Path, recipe: str, *options: str) -> list[dict[str, float]]:
    words = [recipe, "--corpus", str(corpus), "--output", str(output), "--device", "cuda"]
    words += [*(TINY if "unet" in recipe else BSRNN), "--validate-every", "4", *options]
    assert command.main(words) == 0
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("recipe", ["unet-vocals", "bsrnn-vocals-small"])
@pytest.mark.parametrize("kind", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(
    recipe: str, kind: str, corpus_folder: Path, tmp_path: Path
) -> None:
    options = ["--steps", "8", "--precision", kind, "--ema-decay", "0.5", "--accumulate", "2"]
    log = _train(corpus_folder, tmp_path / "gpu", recipe, *options)
    exact = _train(corpus_folder, tmp_path / "exact", recipe, "--steps", "8", "--precision", "fp32")
    assert log[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.05)
    assert all(0 <= row["data_wait"] <= 1 and row["utilisation"] > 0 for row in log)
    checkpoint.load(str(tmp_path / "gpu"))


@pytest.mark.slow
def test_compiled_nets_learn_the_same(corpus_folder: Path, tmp_path: Path) -> None:
    options = ["--steps", "4", "--dropout", "0", "--precision", "fp32"]
    eager = _train(corpus_folder, tmp_path / "eager", "unet-vocals", *options)
    compiled = _train(corpus_folder, tmp_path / "compiled", "unet-vocals", *options, "--compile")
    for one, other in zip(eager, compiled, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=0.01)


def test_a_run_that_was_stopped_goes_on(corpus_folder: Path, tmp_path: Path) -> None:
    """Bit by bit on a CPU alone; a GPU adds up in any order."""
    options = ["--steps", "8", "--remix-db", "3"]
    whole = _train(corpus_folder, tmp_path / "whole", "unet-vocals", *options)
    run = tmp_path / "run"
    calls = 0

    class Killed(Exception):
        pass

    def dying(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise Killed

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        real = train.not_finite
        patched.setattr(train, "not_finite", lambda *found: dying() or real(*found))
        _train(corpus_folder, run, "unet-vocals", *options)
    resumed = _train(corpus_folder, run, "unet-vocals", *options)
    for one, other in zip(whole, resumed, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-2)
        assert other["epoch"] == one["epoch"]


def test_batches_travel_by_pinned_memory_and_arrive_whole() -> None:
    mixture = torch.randn(4, 2, 1000)
    batch = Batch(list("abcd"), mixture, 0.5 * mixture, torch.zeros(4, dtype=torch.bool))
    found = to_device(batch, torch.device("cuda"))
    torch.cuda.synchronize()
    assert found.mixture.is_cuda and torch.equal(found.mixture.cpu(), mixture)
    assert torch.equal(found.reference.cpu(), 0.5 * mixture)


def test_a_gpu_multiplies_faster_in_bf16() -> None:
    device = torch.device("cuda")
    rates = [pace.matmul_rate(device, kind) for kind in (torch.float32, torch.bfloat16)]
    assert 1e11 < rates[0] < rates[1]


def _operations(tensor: torch.Tensor) -> set[str]:
    """The names of all steps of a tensor's backward pass."""
    found, left = set(), [tensor.grad_fn]
    while left:
        step = left.pop()
        if step is not None and step.name() not in found:
            found.add(step.name())
            left += [following for following, _ in step.next_functions]
    return found


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_recurrent_layers_take_cudnns_way_in_the_type_that_is_recorded(name: str) -> None:
    """Autocast by itself would make fp16 of either."""
    device = torch.device("cuda")
    layer = precision.LSTM(16, 8, batch_first=True, bidirectional=True).to(device)
    chosen = precision.choose(name, device, layer)
    with precision.lowered(chosen), torch.autocast("cuda", chosen.nets):
        outputs, _ = layer(torch.randn(4, 9, 16, device=device))
    assert outputs.dtype is chosen.recurrent
    assert any(step.startswith("CudnnRnnBackward") for step in _operations(outputs))
    outputs.float().sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    assert all(g is not None and g.dtype is torch.float32 and bool(g.any()) for g in gradients)
    assert all(parameter.dtype is torch.float32 for parameter in layer.parameters())


def test_a_run_records_what_it_computed_in(corpus_folder: Path, tmp_path: Path) -> None:
    _train(corpus_folder, tmp_path / "run", "bsrnn-vocals-small", "--steps", "2")
    facts = json.loads((tmp_path / "run/run.json").read_text())["precision"]
    assert facts["nets"] == "bf16" and facts["recurrent"] in ("bf16", "fp16")
    assert facts["scaled"] == (facts["recurrent"] == "fp16")
