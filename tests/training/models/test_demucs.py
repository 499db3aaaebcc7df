"""Demucs: its size and its shapes; `tests/training/loop` has it learn a real song by heart."""

import pytest
import torch

from training.models import cost
from training.models.demucs import Demucs
from training.recipes import registry
from training.recipes.registry import RECIPES


def test_its_size_is_that_of_its_layers() -> None:
    """Of each convolution, gate, LSTM and linear layer, counted by hand."""
    channels, kernel, context, sources = (5, 7), 8, 3, 2
    wanted, before, given = 0, 2, 2 * sources
    for after in channels:
        wanted += after * (before * kernel + 1) + 2 * after * (after + 1)
        wanted += 2 * after * (after * context + 1) + given * after * kernel + given
        before = given = after
    for seen in (7, 2 * 7):  # two layers, two directions, four gates, two biases
        wanted += 2 * 4 * 7 * (seen + 7 + 2)
    wanted += 7 * (2 * 7 + 1)
    assert cost.parameters(Demucs(channels, kernel, 4, context, 2, sources)) == wanted
    with torch.device("meta"):
        assert cost.parameters(RECIPES["demucs-vocals"].core()) == 265_677_444
        # Of four sources, as the authors' own net has them.
        channels = (64, 128, 256, 512, 1024, 2048)
        assert cost.parameters(Demucs(channels, sources=4)) == 265_679_496


@pytest.mark.parametrize("samples", [1, 255, 256, 1023, 4001])
def test_any_length_and_level(samples: int) -> None:
    """The sources have the input's length, and follow its level."""
    torch.manual_seed(0)
    net = Demucs((3, 4, 5, 6)).eval()
    mixture = torch.randn(2, 2, samples)
    with torch.inference_mode():
        found = net(mixture)
        louder = net(10 * mixture)
        silent = net(torch.zeros_like(mixture))
    assert found.shape == (2, 2, 2, samples)
    assert torch.allclose(louder, 10 * found, rtol=1e-3, atol=1e-4)
    assert float(silent.abs().max()) < 1e-4


def test_each_sample_depends_on_both_sides_and_all_weights_learn() -> None:
    torch.manual_seed(0)
    net = Demucs((3, 4, 5))
    mixture = torch.randn(1, 2, 640, requires_grad=True)
    net(mixture)[0, 0, 0, 320].backward()
    assert mixture.grad is not None
    assert bool((mixture.grad[0, :, :64] != 0).any() and (mixture.grad[0, :, -64:] != 0).any())
    net(mixture).square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in net.parameters())


def test_examples_are_of_either_sign() -> None:
    recipe = RECIPES["demucs-vocals"]
    torch.manual_seed(0)
    for gains in recipe.gains(1000):
        assert bool(((gains.abs() >= 0.25) & (gains.abs() <= 1.25)).all())
        assert 400 < int((gains < 0).sum()) < 600
    plain = registry.override(recipe, {"flip_signs": False})
    assert all(bool((gains > 0).all()) for gains in plain.gains(1000))
