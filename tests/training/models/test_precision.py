"""Lower precision: inside the nets alone, close to fp32, and never in a stem that is written."""

import pytest
import torch
from torch import Tensor, nn

from stemlode.runs import BadUsage
from training.models import precision
from training.recipes import registry
from training.recipes.registry import RECIPES

SMALL = {
    "unet-vocals-small": {"channels": (4, 8)},
    "complex-unet-vocals-small": {"channels": (4, 8)},
    "cws-unet5-k4-small": {"patch_seconds": 0.5},
    "cws-mdensenet-k8-small": {"patch_seconds": 0.5},
    "bsrnn-vocals-small": {"patch_seconds": 0.5, "features": 8, "hidden": 8, "layers": 1},
}


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SMALL)
def test_losses_in_lower_precision_are_near_those_in_fp32(name: str, kind: torch.dtype) -> None:
    if name.startswith("bsrnn") and kind is torch.float16:
        pytest.skip("a CPU has no LSTM in fp16, as a test below says")
    recipe = registry.override(RECIPES[name], SMALL[name])
    torch.manual_seed(0)
    nets = recipe.nets()
    mixture = 0.1 * torch.randn(2, recipe.audio_channels, recipe.patch_samples // 4)
    given = (mixture, 0.3 * mixture, torch.zeros(2, dtype=torch.bool))
    seen: list[torch.dtype] = []
    for layer in nets.modules():
        if isinstance(layer, nn.Conv2d | nn.LSTM):
            layer.register_forward_hook(
                lambda _, __, out: seen.append((out if isinstance(out, Tensor) else out[0]).dtype)
            )
    exact = recipe.losses(nets, *given)
    assert set(seen) == {torch.float32}
    seen.clear()
    with precision.lowered(kind):
        lower = recipe.losses(nets, *given)
    assert set(seen) == {kind}
    assert lower.dtype == torch.float32
    assert torch.allclose(lower, exact, rtol=0.03)
    lower.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in nets.parameters())
    seen.clear()
    recipe.estimate(nets.eval(), mixture)  # outside, nothing is lowered
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize(
    ("name", "device", "kind"),
    [
        (None, "cpu", torch.float32),
        (None, "cuda", torch.bfloat16),
        ("fp32", "cuda", torch.float32),
        ("bf16", "cpu", torch.bfloat16),
        ("fp16", "cuda", torch.float16),
    ],
)
def test_a_gpu_lowers_by_itself_and_a_cpu_where_it_is_told_to(
    name: str | None, device: str, kind: torch.dtype
) -> None:
    assert precision.choose(name, torch.device(device), nn.Linear(1, 1)) is kind


def test_what_a_cpu_cannot_do_is_said() -> None:
    with pytest.raises(BadUsage, match="--precision fp16"):
        precision.choose("fp16", torch.device("cpu"), nn.LSTM(1, 1))
    assert precision.choose("fp16", torch.device("cuda"), nn.LSTM(1, 1)) is torch.float16
