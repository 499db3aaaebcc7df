"""How nets are judged while they learn: on pieces as they learnt, by one pass, by every loss."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stemlode import runs
from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training.data import corpus, mixing
from training.data.windows import Window, pieces
from training.loop import command
from training.loop.material import Material
from training.loop.options import Options
from training.recipes import registry
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES

BSRNN = {"layers": 1, "features": 4, "hidden": 4, "mask_hidden": 4, "patch_seconds": 0.25}
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("unet-vocals-small", {"channels": (2, 3), "patch_frames": 4}),
    ("unet-instrumental-small", {"channels": (2, 3), "patch_frames": 4}),
    *((f"complex-unet-vocals{kind}-small", {"channels": (2, 3)}) for kind in ("-noncomplex", "")),
    ("cws-unet5-k2-small", {"width": 0.03, "patch_seconds": 0.5}),
    ("bsrnn-vocals-small", BSRNN),
]


def _recipe(name: str, changes: dict[str, Any]) -> Recipe:
    return registry.override(RECIPES[name], changes)


def _given(recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    shape = (2, recipe.audio_channels, recipe.patch_samples)
    mixture = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return mixture, 0.5 * mixture, torch.tensor([False, True])


@pytest.mark.parametrize(("name", "changes"), SMALL, ids=[name for name, _ in SMALL])
def test_one_pass_gives_the_loss_its_terms_and_the_estimate(
    name: str, changes: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    recipe = _recipe(name, changes)
    nets, passes = recipe.nets().eval(), 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    for core in recipe.cores(nets):
        core.register_forward_hook(count)
    given = _given(recipe)
    judged = recipe.judge(nets, *given)
    estimate = judged.estimate().detach()
    assert passes == len(recipe.cores(nets))
    assert torch.equal(judged.loss, recipe.losses(nets, *given))
    wanted = recipe.estimate(nets, given[0])[:, 0].detach()
    # The U-Net of chapter 4 does not learn from the frame past the end, and sees one fewer.
    near = 0.1 if recipe.family == "unet" else 1e-5
    assert float((estimate - wanted).norm() / wanted.norm()) < near
    for term in judged.terms.values():
        assert term.shape == (2,) and bool(term.isfinite().all())


def test_a_loss_that_is_not_learnt_is_told_and_teaches_nothing() -> None:
    """Figure 6.7: the magnitude loss of a net that learns by SDR alone, and the other way round."""
    torch.manual_seed(0)
    for suffix, learnt in (("-sdr", "sdr"), ("-noncomplex", "magnitude")):
        recipe = _recipe(f"complex-unet-vocals{suffix}-small", {"channels": (2, 3)})
        judged = recipe.judge(recipe.nets(), *_given(recipe))
        assert set(judged.terms) == {"magnitude", "sdr"}
        for name, term in judged.terms.items():
            assert term.requires_grad == (name == learnt)
        assert torch.equal(judged.loss, judged.terms[learnt])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(1, 50))
def test_pieces_cover_a_window_and_the_last_is_moved_back(total: int, samples: int) -> None:
    numbers = torch.arange(total).float()[None]
    cut = pieces(Window("id", "song", numbers, -numbers, False, True), samples)
    assert all(one.mixture.shape[-1] == min(samples, total) for one in cut)
    assert all(torch.equal(one.reference, -one.mixture) and not one.whole for one in cut[:-1])
    assert {int(n) for one in cut for n in one.mixture[0]} == set(range(total))
    assert len(cut) == max(1, -(-total // samples))


def _material(folder: Path, recipe: Recipe, tmp_path: Path, validation: str) -> Material:
    run = runs.Run("train", str(tmp_path / "run"), {}, {}, 0.0)
    options = Options(workers=0, validation=validation)
    data = corpus.open_corpus(str(folder))
    return Material(run, data, recipe, options, torch.device("cpu"))


def test_a_mixing_net_is_judged_on_pieces_at_the_level_of_training(
    corpus_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    recipe = _recipe("bsrnn-vocals-small", {**BSRNN, "others": ("accompaniment",)})
    nets = recipe.nets().eval()
    material = _material(corpus_folder, recipe, tmp_path, "pieces")
    found = material.validate(nets)
    songs: dict[str, list[tuple[float, Tensor, Tensor]]] = {}
    for window in material._valid_windows():
        for piece in pieces(window, recipe.patch_samples):
            mixture, target = piece.mixture[None], piece.reference[None]
            peak = mixing.peaks(mixture, target)
            assert float(torch.maximum(mixture / peak, target / peak).abs().max()) <= 1
            none = torch.tensor([False])
            loss = float(recipe.losses(nets, mixture / peak, target / peak, none))
            estimate = recipe.estimate(nets, mixture / peak)[:, 0] * peak
            songs.setdefault(piece.song, []).append((loss, target[0], estimate[0]))
    losses = [sum(loss for loss, *_ in held) / len(held) for held in songs.values()]
    assert found["valid_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    total = sum(value for name, value in found.items() if name.startswith("valid_loss_"))
    assert total == pytest.approx(found["valid_loss"], rel=1e-5)
    ratios = []
    for held in songs.values():
        true, guess = (torch.cat([one[place] for one in held], -1) for place in (1, 2))
        power = torch.stack([true.square().sum(), (true - guess).square().sum()])
        ratios.append(float(10 * torch.log10(power[0] / power[1])))
    assert found["valid_sdr"] == pytest.approx(sum(ratios) / len(ratios), abs=1e-3)


def test_the_log_holds_every_loss(corpus_folder: Path, tmp_path: Path) -> None:
    words = ["complex-unet-vocals-sdr-small", "--corpus", str(corpus_folder), *TINY]
    words += ["--hop-length", "64", "--steps", "4", "--validate-every", "2"]
    assert command.main([*words, "--output", str(tmp_path / "run")]) == 0
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    for row in log:
        assert row["loss"] == pytest.approx(row["loss_sdr"]) and row["loss_magnitude"] > 0
    assert {"valid_loss_sdr", "valid_loss_magnitude"} <= log[-1].keys()


def test_a_run_that_began_before_goes_on_as_it_began(corpus_folder: Path, tmp_path: Path) -> None:
    """Whole samples, a schedule in steps, no swapped channels: what its plan does not say."""
    output = tmp_path / "run"
    words = ["cws-unet5-k8-small", "--corpus", str(corpus_folder), "--width", "0.03"]
    words += ["--patch-seconds", "0.5", "--batch-size", "2", "--steps", "2", "--workers", "0"]
    words += ["--output", str(output)]
    old = ["--schedule", "steps", "--swap-channels", "no", "--validation", "samples"]
    assert command.main([*words, *old]) == 0
    plan = json.loads((output / "_PLAN.json").read_text())
    for name in ("schedule", "swap_channels", "validation"):
        del plan["options"][name]
    (output / "_PLAN.json").write_text(json.dumps(plan))
    assert command.main(words) == 0  # already complete
    assert command.main([*words, "--steps", "3"]) == 0
    assert runs.record(str(output))["counts"]["steps"] == 3
    with pytest.raises(BadUsage, match="--validation samples, as all were before"):
        command.main([*words, "--steps", "3", "--validation", "pieces"])
    assert command.main([*words, "--overwrite"]) == 0
    held = json.loads((output / "_PLAN.json").read_text())["options"]
    assert (held["schedule"], held["validation"]) == ("audio", "pieces")
