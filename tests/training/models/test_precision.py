"""Lower precision: inside the nets alone, close to fp32, and never in a stem that is written."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.precision import SCALE, gradients
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
    with precision.lowered(precision.Precision(kind, kind)):
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
    chosen = precision.choose(name, torch.device(device), nn.Linear(1, 1))
    assert chosen == precision.Precision(kind, kind)
    assert chosen.scales == (kind is torch.float16)


def test_what_a_cpu_cannot_do_is_said() -> None:
    with pytest.raises(BadUsage, match="--precision fp16"):
        precision.choose("fp16", torch.device("cpu"), nn.LSTM(1, 1))
    chosen = precision.choose("fp16", torch.device("cuda"), nn.LSTM(1, 1))
    assert chosen == precision.Precision(torch.float16, torch.float16)


@pytest.mark.parametrize(
    ("version", "acceptable", "recurrent"),
    [
        (91_300, True, torch.bfloat16),
        (92_000, True, torch.bfloat16),
        (91_299, True, torch.float16),
        (91_300, False, torch.float16),  # a PyTorch that does not know
        (None, False, torch.bfloat16),  # no cuDNN, which alone prefers one type
    ],
)
def test_recurrent_layers_are_in_fp16_where_cudnn_knows_no_bf16(
    version: int | None,
    acceptable: bool,
    recurrent: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then gradients are scaled; run.json says what a run computed in."""
    zeros = torch.zeros
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: version is not None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    monkeypatch.setattr(torch, "cudnn_is_acceptable", lambda _: acceptable)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device, dtype: zeros(*shape, dtype=dtype))
    chosen = precision.choose(None, torch.device("cuda"), nn.LSTM(1, 1))
    assert chosen == precision.Precision(torch.bfloat16, recurrent)
    assert chosen.scales == (recurrent is torch.float16)
    kind = "fp16" if chosen.scales else "bf16"
    assert chosen.facts() == {"nets": "bf16", "recurrent": kind, "scaled": chosen.scales}
    assert not precision.choose("fp32", torch.device("cuda"), nn.LSTM(1, 1)).scales


def test_a_recurrent_layer_casts_a_copy_of_what_stays_in_fp32() -> None:
    """Whatever autocast is around it; the gradients of the weights are fp32 too."""
    torch.manual_seed(0)
    layer = precision.LSTM(6, 5, batch_first=True, bidirectional=True)
    plain = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    plain.load_state_dict(layer.state_dict())
    given = torch.randn(3, 7, 6)
    assert torch.equal(layer(given)[0], plain(given)[0])
    lowered = precision.Precision(torch.float16, torch.bfloat16)
    with precision.lowered(lowered), torch.autocast("cpu", torch.float16):
        found, (hidden, cell) = layer(given)
    assert {found.dtype, hidden.dtype, cell.dtype} == {torch.bfloat16}
    assert torch.allclose(found.float(), plain(given)[0], atol=0.02)
    found.float().square().sum().backward()
    plain(given)[0].square().sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert one.dtype == one.grad.dtype == torch.float32
        assert torch.allclose(one.grad, other.grad, atol=0.02 * float(other.grad.abs().max()))


def test_without_a_scaler_gradients_vanish_in_fp16_and_nothing_tells() -> None:
    """At the paper's length, batch and bins; with the scaler's first scale next to none do."""
    size = {"features": 128, "hidden": 64, "layers": 1, "mask_hidden": 128}
    recipe = registry.override(RECIPES["bsrnn-vocals"], size)
    exact, seen = gradients(recipe, None, 1.0)
    at_outputs = torch.cat([gradient.flatten() for gradient in seen])
    assert 1e-9 < float(at_outputs.abs().median()) < 1e-7

    def outcome(scale: float) -> tuple[float, float]:
        vanished = ((at_outputs * scale).half() == 0) & (at_outputs != 0)
        found, _ = gradients(recipe, torch.float16, scale)
        assert all(bool(gradient.isfinite().all()) for gradient in found.values())
        errors = [float((found[n] - g).norm() / g.norm()) for n, g in exact.items()]
        return float(vanished.float().mean()), float(torch.tensor(errors).median())

    vanished, error = outcome(1.0)
    assert vanished > 0.7 and error > 0.2
    vanished, error = outcome(SCALE)
    assert vanished < 1e-4 and error < 1e-3
