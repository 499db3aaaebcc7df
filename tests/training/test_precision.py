"""Lower precision: inside the nets alone, close to fp32, and never in a stem that is written."""

import pytest
import torch
from torch import Tensor, nn

from training import precision, recipes
from training.recipes import RECIPES

SMALL = {
    "unet-vocals-small": {"channels": (4, 8)},
    "complex-unet-vocals-small": {"channels": (4, 8)},
    "cws-unet5-k4-small": {"patch_seconds": 0.5},
    "cws-mdensenet-k8-small": {"patch_seconds": 0.5},
}


@pytest.mark.parametrize("name", SMALL)
def test_losses_in_bf16_are_near_those_in_fp32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipes.override(RECIPES[name], SMALL[name])
    torch.manual_seed(0)
    nets = recipe.nets()
    mixture = 0.1 * torch.randn(2, recipe.audio_channels, recipe.patch_samples // 4)
    given = (mixture, 0.3 * mixture, torch.zeros(2, dtype=torch.bool))
    seen: list[torch.dtype] = []
    for layer in nets.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    exact = recipe.losses(nets, *given)
    assert set(seen) == {torch.float32}
    seen.clear()
    monkeypatch.setattr(precision, "lowers", lambda _: True)
    lower = recipe.losses(nets, *given)
    assert set(seen) == {torch.bfloat16}
    assert lower.dtype == torch.float32
    assert torch.allclose(lower, exact, rtol=0.03)
    lower.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in nets.parameters())


def test_a_cpu_computes_in_fp32() -> None:
    assert not precision.lowers(torch.zeros(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_computes_in_bf16_where_it_trains_alone() -> None:
    def kind() -> torch.dtype:
        seen: list[torch.dtype] = []

        class Noting(nn.Conv2d):
            def forward(self, x: Tensor) -> Tensor:
                found = super().forward(x)
                seen.append(found.dtype)
                return found

        precision.masks(Noting(1, 1, 3).cuda(), torch.zeros(1, 1, 8, 8, device="cuda"))
        return seen[0]

    assert kind() == torch.bfloat16
    with torch.no_grad():
        assert kind() == torch.float32
