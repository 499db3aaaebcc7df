"""The thesis' U-Net: its size, its shapes, its wiring."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from training.models.unet import UNet
from training.recipes.registry import RECIPES


@pytest.mark.parametrize("name", ["unet-vocals", "unet-instrumental"])
def test_it_has_the_9823313_parameters_of_the_architecture(name: str) -> None:
    assert sum(parameter.numel() for parameter in RECIPES[name].core().parameters()) == 9_823_313


def test_layers_are_those_of_figure_4_2() -> None:
    net = UNet()
    down = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in net.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in down] == [16, 32, 64, 128, 256, 512]
    assert [(layer.in_channels, layer.out_channels) for layer in up] == [
        (512, 256),
        (512, 128),
        (256, 64),
        (128, 32),
        (64, 16),
        (32, 1),
    ]
    assert {layer.kernel_size for layer in down + up} == {(5, 5)}
    assert {layer.stride for layer in down + up} == {(2, 2)}
    normalised = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(normalised) == 6 + 5
    dropped = [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)]
    assert dropped == [0.5, 0.5, 0.5, 0, 0]
    assert net.leakiness == 0.2


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 200), st.integers(1, 3))
def test_any_number_of_frames_gives_a_mask_of_that_shape(frames: int, batch: int) -> None:
    net = UNet((2, 2, 2, 2, 2, 2)).eval()
    magnitude = torch.rand(batch, 1, 512, frames)
    with torch.no_grad():
        mask = net(magnitude)
    assert mask.shape == magnitude.shape
    assert float(mask.min()) > 0 and float(mask.max()) < 1


def test_frames_that_are_added_do_not_change_the_mask() -> None:
    net = UNet((2, 2, 2, 2, 2, 2)).eval()
    magnitude = torch.rand(1, 1, 512, 70)
    with torch.no_grad():
        mask = net(magnitude)
        padded = net(torch.nn.functional.pad(magnitude, (0, 58)))
    assert torch.allclose(mask, padded[..., :70], atol=1e-6)


def test_skip_connections_carry_what_the_bottleneck_cannot() -> None:
    """Without its inner layers, the net still sees single bins: only skips can do that."""
    net = UNet((4, 4, 4, 4, 4, 4)).eval()
    magnitude = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for parameter in net.decoder[-2].parameters():
            parameter.zero_()
        before, after = net(magnitude), net(magnitude.flip(-1))
    assert not torch.allclose(before, after)


def test_small_siblings_are_smaller() -> None:
    for name in ("unet-vocals", "unet-instrumental"):
        full, small = (
            sum(p.numel() for p in RECIPES[n].core().parameters()) for n in (name, f"{name}-small")
        )
        assert small < full / 3
        assert RECIPES[f"{name}-small"].target == RECIPES[name].target
