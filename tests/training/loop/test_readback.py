"""A step waits for nothing that the device has yet to compute."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stemlode.runs import Failed
from tests.training.conftest import TINY
from tests.training.reads import Reads
from training.loop import command, train
from training.recipes.base import Recipe

BSRNN = ["--layers", "1", "--features", "4", "--hidden", "4", "--mask-hidden", "4"]
BSRNN += ["--patch-seconds", "0.25", "--batch-size", "2", "--log-every", "1", "--workers", "0"]


class StepReads(Reads):
    """Counts what would wait for a GPU, between a step's forward and its update."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(within=False)
        self.steps = 0
        forward, step = train.Lesson.forward, torch.optim.Adam.step

        def begun(*given: Any) -> Any:
            self.within = True
            return forward(*given)

        def ended(*given: Any, **named: Any) -> Any:
            found = step(*given, **named)
            self.within, self.steps = False, self.steps + 1
            return found

        monkeypatch.setattr(train.Lesson, "forward", begun)
        monkeypatch.setattr(torch.optim.Adam, "step", ended)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("unet-vocals", [*TINY, "--accumulate", "2", "--ema-decay", "0.9", "--clip-norm", "1"]),
        ("bsrnn-vocals-small", BSRNN),
    ],
)
def test_nothing_is_read_from_the_device_within_a_step(
    recipe: str,
    options: list[str],
    corpus_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = ["--corpus", str(corpus_folder), "--output", str(tmp_path)]
    with StepReads(monkeypatch) as reads:
        assert command.main([recipe, *folders, *options, "--steps", "2"]) == 0
    assert reads.steps == 2
    assert not reads.found


def test_a_step_that_is_not_finite_leaves_the_weights_and_names_its_samples(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it is known one step late only, when the next batch is being learnt from."""
    nets: list[nn.Module] = []
    seen: list[tuple[list[str], dict[str, torch.Tensor]]] = []
    made, forward = Recipe.nets, train.Lesson.forward
    parts_of = train.parts_of

    def kept(recipe: Recipe) -> nn.Module:
        nets.append(made(recipe))
        return nets[-1]

    def noted(batch: Any, count: int) -> Any:
        weights = {name: w.detach().clone() for name, w in nets[-1].named_parameters()}
        seen.append((batch.sample_ids, weights))
        return parts_of(batch, count)

    def spoilt(lesson: train.Lesson, *given: torch.Tensor) -> Any:
        loss, terms = forward(lesson, *given)
        return (loss * float("nan") if len(seen) == 3 else loss), terms

    monkeypatch.setattr(Recipe, "nets", kept)
    monkeypatch.setattr(train, "parts_of", noted)
    monkeypatch.setattr(train.Lesson, "forward", spoilt)
    options = [*TINY, "--steps", "9", "--log-every", "9", "--validate-every", "9"]
    folders = ["--corpus", str(corpus_folder), "--output", str(tmp_path)]
    with pytest.raises(Failed, match="the loss is nan at step 3") as failed:
        command.main(["unet-vocals", *folders, *options])
    assert len(seen) == 4
    assert all(name in str(failed.value) for name in seen[2][0])
    before, after = seen[2][1], dict(nets[-1].named_parameters())
    assert all(torch.equal(seen[3][1][name], before[name]) for name in before)
    assert any(not torch.equal(after[name], before[name]) for name in before)  # by step 4
