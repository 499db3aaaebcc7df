"""Activations computed again: the same gradients bit by bit, of far less that is kept."""

from pathlib import Path
from typing import Any

import pytest
import torch

from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training import checkpoint, recompute
from training.loop import command, memory
from training.models import precision
from training.models.precision import Precision
from training.recipes import registry
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES

SMALL: dict[str, dict[str, Any]] = {
    "bsrnn-vocals": {"features": 16, "hidden": 24, "layers": 4, "patch_seconds": 0.3},
    "demucs-vocals": {"channels": (8, 16, 32), "patch_seconds": 0.3},
}


def _recipe(name: str) -> Recipe:
    return registry.override(RECIPES[name], SMALL[name])


def _learnt(recipe: Recipe, kind: Precision, *, again: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    nets = recipe.nets()
    if again:
        recompute.again(recipe.blocks(nets))
    mixture = torch.randn(2, recipe.audio_channels, recipe.patch_samples)
    with precision.lowered(kind):
        loss = recipe.losses(nets, mixture, mixture / 3, torch.zeros(2, dtype=torch.bool)).mean()
    loss.backward()
    found = [weight.grad for weight in nets.parameters()]
    assert all(gradient is not None for gradient in found)
    return [loss.detach(), *(gradient for gradient in found if gradient is not None)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_gradients_are_the_same_bit_by_bit(name: str, kind: torch.dtype) -> None:
    recipe, kinds = _recipe(name), Precision(kind, kind)
    plain, again = (_learnt(recipe, kinds, again=again) for again in (False, True))
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


@pytest.mark.parametrize(("name", "share"), [("bsrnn-vocals", 0.4), ("demucs-vocals", 0.75)])
def test_far_less_is_kept(name: str, share: float) -> None:
    recipe, cpu = _recipe(name), torch.device("cpu")
    nets = recipe.nets()
    plain = memory.saved(recipe, nets, 1, cpu)
    recompute.again(recipe.blocks(nets))
    assert memory.saved(recipe, nets, 1, cpu) < share * plain
    needs = [memory.need(recipe, cpu, "fp32", again=again) for again in (False, True)]
    assert needs[1].example < needs[0].example and needs[1].fixed == needs[0].fixed


def test_names_of_weights_and_what_is_judged_stay_as_they_are() -> None:
    recipe = _recipe("bsrnn-vocals")
    torch.manual_seed(0)
    nets = recipe.nets()
    names = [*nets.state_dict()]
    mixture = torch.randn(1, 2, recipe.patch_samples)
    with torch.inference_mode():
        before = recipe.estimate(nets, mixture)
        recompute.again(recipe.blocks(nets))
        assert torch.equal(recipe.estimate(nets, mixture), before)
    assert [*nets.state_dict()] == names


def test_a_run_ends_with_the_same_weights(corpus_folder: Path, tmp_path: Path) -> None:
    words = ["bsrnn-vocals-small", "--layers", "1", "--features", "4", "--hidden", "4"]
    words += ["--mask-hidden", "4", "--patch-seconds", "0.25", "--batch-size", "2", "--others", ""]
    words += ["--steps", "3", "--workers", "0", "--corpus", str(corpus_folder), "--output"]
    assert command.main([*words, str(tmp_path / "plain")]) == 0
    assert command.main([*words, str(tmp_path / "again"), "--checkpoint-activations"]) == 0
    runs = (tmp_path / name / "checkpoint/model.safetensors" for name in ("plain", "again"))
    plain, again = (checkpoint.read_tensors(str(path))[0] for path in runs)
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_nets_with_batch_normalisation_are_refused(corpus_folder: Path, tmp_path: Path) -> None:
    words = [
        "unet-vocals",
        *TINY,
        "--corpus",
        str(corpus_folder),
        "--output",
        str(tmp_path / "run"),
    ]
    with pytest.raises(BadUsage, match="--checkpoint-activations: unet-vocals has no layers"):
        command.main([*words, "--checkpoint-activations"])
    assert not (tmp_path / "run").exists()
