"""The complex-mask U-Net: its wiring, its masks, the three configurations of table 6.2."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from training.models import losses, spectrogram, unet
from training.models.unet import ComplexUNet, UNet
from training.recipes import registry
from training.recipes.complex_unet import ComplexUNetRecipe
from training.recipes.registry import RECIPES

BASE = RECIPES["complex-unet-vocals"]
assert isinstance(BASE, ComplexUNetRecipe)


def _recipe(**changes: object) -> ComplexUNetRecipe:
    found = registry.override(BASE, {"channels": (2, 3), **changes})
    assert isinstance(found, ComplexUNetRecipe)
    return found


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("target", ["vocals", "drums", "bass", "guitar"])
@pytest.mark.parametrize(
    ("suffix", "mask", "loss"),
    [
        ("-noncomplex", "non-complex", "magnitude"),
        ("-sdr", "complex", "sdr"),
        ("-sdrmag", "complex", "sdr+magnitude"),
        ("", "complex", "sdr+magnitude"),
    ],
)
def test_the_configurations_of_table_6_2(target: str, suffix: str, mask: str, loss: str) -> None:
    for small in ("", "-small"):
        recipe = RECIPES[f"complex-unet-{target}{suffix}{small}"]
        assert isinstance(recipe, ComplexUNetRecipe)
        assert (recipe.target, recipe.mask, recipe.loss) == (target, mask, loss)
        assert (recipe.sdr_weight, recipe.magnitude_weight) == (1, 1)
        core = recipe.core()
        assert isinstance(core, ComplexUNet) == (mask == "complex")
        parts = 2 if mask == "complex" else 1
        assert core(torch.zeros(1, parts, 512, 3)).shape == (1, parts, 512, 3)


def test_layers_are_those_of_6_3_1() -> None:
    core = RECIPES["complex-unet-vocals"].core()
    down = [layer for layer in core.modules() if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in core.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in down] == [16, 32, 64, 128, 256, 512]
    assert [layer.out_channels for layer in up] == [256, 128, 64, 32, 16, 2]
    assert {layer.kernel_size for layer in down + up} == {(5, 5)}
    # No batch normalisation in the first encoder layer, nor in the last decoder layer.
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in core.encoder[0].modules())
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in core.modules()) == 5 + 5
    assert [layer.p for layer in core.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 5
    # Chapter 4's net, but for the second channel at either end and the first normalisation.
    count = sum(parameter.numel() for parameter in core.parameters())
    assert count == 9_823_313 + 16 * 25 + 32 * 25 + 1 - 2 * 16


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_mask_never_amplifies_and_keeps_the_outputs_angle(real: float, imaginary: float) -> None:
    output = torch.tensor([real, imaginary])[None, :, None, None]
    mask = ComplexUNet((2, 2)).mask(output)[0, :, 0, 0]
    size = float(torch.linalg.vector_norm(mask))
    assert size <= 1 + 1e-6
    assert size == pytest.approx(
        float(torch.tanh(torch.tensor(real).hypot(torch.tensor(imaginary)))), abs=1e-5
    )
    cross = float(mask[0]) * imaginary - float(mask[1]) * real
    assert abs(cross) <= 1e-5 * (abs(real) + abs(imaginary))


def test_a_mask_of_nothing_has_a_gradient() -> None:
    output = torch.zeros(1, 2, 1, 1, requires_grad=True)
    ComplexUNet((2, 2)).mask(output).sum().backward()
    assert output.grad is not None and bool(torch.isfinite(output.grad).all())


class Constant(nn.Module):
    """A net whose mask has the same real part everywhere, and no imaginary one."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.zeros_like(x)
        mask[:, 0] = self.value
        return mask


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 3), st.sampled_from(["complex", "non-complex"]))
def test_the_identity_mask_reconstructs_the_mixture(samples: int, channels: int, mask: str) -> None:
    mixture = _noise(2, channels, samples)
    found = _recipe(mask=mask).estimate(Constant(1.0), mixture)
    assert found.shape == (2, 1, channels, samples)
    assert torch.allclose(found[:, 0], mixture, atol=1e-5)


def test_an_examples_losses_are_the_equations() -> None:
    mixture, target = _noise(3, 1, 4096), 0.3 * _noise(3, 1, 4096, seed=1)
    rest = mixture - target
    half = {"mixture": mixture, "residual": torch.tensor([False, False, True])}
    reference = torch.stack((target[0], target[1], rest[2]))
    Y, Z = (
        torch.stack([spectrogram.stft(x, 1024, 256).abs() for x in one[:, 0]])
        for one in (target, 0.5 * mixture)
    )
    magnitude = (Y - Z).abs().mean(dim=(1, 2))
    cosine = torch.nn.functional.cosine_similarity(target[:, 0], mixture[:, 0])
    for loss, expected in (
        ("magnitude", magnitude),
        ("sdr", -cosine),
        ("sdr+magnitude", magnitude - cosine),
    ):
        found = _recipe(loss=loss).losses(Constant(0.5), reference=reference, **half)
        assert torch.allclose(found, expected, atol=1e-4), loss
    weighted = _recipe(sdr_weight=2.0, magnitude_weight=3.0)
    found = weighted.losses(Constant(0.5), reference=reference, **half)
    assert torch.allclose(found, 3 * magnitude - 2 * cosine, atol=1e-4)


def test_the_sdr_loss_lies_between_opposite_and_equal() -> None:
    target = _noise(4, 2, 100)
    assert torch.allclose(losses.sdr(0.01 * target, target), -torch.ones(4), atol=1e-4)
    assert torch.allclose(losses.sdr(-target, target), torch.ones(4), atol=1e-4)
    assert not losses.sdr(target, torch.zeros_like(target)).any()
    silent = torch.zeros_like(target, requires_grad=True)
    losses.sdr(silent, target).sum().backward()
    assert silent.grad is not None and bool(torch.isfinite(silent.grad).all())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_ideal_mask_is_at_most_1_and_no_other_is_nearer(seed: int, is_complex: bool) -> None:
    mixture, source = (torch.view_as_complex(_noise(40, 2, seed=seed + i)) for i in (0, 1))
    mask = unet.ideal_mask(mixture, source, is_complex=is_complex)
    assert float(mask.abs().max()) <= 1 + 1e-6
    best = _distance(mask * mixture, source, is_complex)
    for other in range(5):
        rival = torch.view_as_complex(_noise(40, 2, seed=seed + 2 + other))
        rival = rival / rival.abs().clamp(min=1) if is_complex else rival.abs().clamp(max=1)
        assert bool((best <= _distance(rival * mixture, source, is_complex) + 1e-5).all())


def _distance(found: Tensor, source: Tensor, is_complex: bool) -> Tensor:
    return (found - source).abs() if is_complex else (found.abs() - source.abs()).abs()


def test_the_oracle_beats_the_mixture() -> None:
    mixture, source = _noise(1, 2, 20_000), _noise(1, 1, 2, 20_000, seed=1)
    mixture = mixture + source[:, 0]
    errors = {
        mask: float((_recipe(mask=mask).oracle(mixture, source) - source).square().mean())
        for mask in ("complex", "non-complex")
    }
    assert errors["complex"] < errors["non-complex"] < float((mixture - source).square().mean())


def test_the_baseline_without_skips_sees_its_bottleneck_alone() -> None:
    core = RECIPES["unet-noskip"].core()
    up = [layer for layer in core.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in up] == [512, 256, 128, 64, 32, 16]
    net = UNet((2, 2, 2), skips=False).eval()
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        net.encoder[-1][1].weight.zero_()
        assert torch.equal(net(x), net(x.flip(-1)))
