"""What the log says of speed: multiplications are counted right, and waiting is waiting."""

import time

import pytest
import torch
from torch import nn

from training.data.examples import Batch
from training.loop import pace
from training.loop.pace import Pace
from training.models import cost
from training.recipes.registry import RECIPES, override

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("module", "shape", "products"),
    [
        (nn.Conv2d(3, 5, (3, 2)), (2, 3, 10, 8), 2 * 5 * 8 * 7 * (3 * 3 * 2)),
        (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 5, 5), 8 * 3 * 3 * 9),
        (nn.ConvTranspose2d(3, 5, 5, stride=2), (2, 3, 4, 4), 2 * 3 * 16 * (5 * 25)),
        (nn.Linear(7, 11), (2, 3, 7), 6 * 7 * 11),
        (
            nn.LSTM(6, 4, batch_first=True, bidirectional=True),
            (2, 5, 6),
            2 * 5 * 2 * 4 * 4 * (6 + 4),
        ),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), (2, 3, 4, 4), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_products_are_counted_as_by_hand(
    module: nn.Module, shape: tuple[int, ...], products: int
) -> None:
    with cost.Products() as counted:
        module(torch.zeros(shape))
    assert counted.total == products


def test_products_of_batches_are_counted() -> None:
    a, b = torch.zeros(3, 4, 5), torch.zeros(3, 5, 6)
    with cost.Products() as counted:
        torch.bmm(a, b)
        torch.baddbmm(torch.zeros(3, 1, 6), a, b)
        torch.matmul(a, b)
        _ = a @ b
    assert counted.total == 4 * 3 * 4 * 5 * 6


@pytest.mark.parametrize("name", ["unet-vocals-small", "cws-unet5-k8-small"])
def test_the_work_of_a_segment_is_that_of_its_nets(name: str) -> None:
    recipe = override(RECIPES[name], {"batch_size": 4})
    nets = recipe.nets()
    before = {key: tensor.clone() for key, tensor in nets.state_dict().items()}
    state = torch.get_rng_state()
    mixture = torch.randn(4, recipe.audio_channels, recipe.patch_samples)
    drawn = torch.get_rng_state()
    batch = Batch(list("abcd"), mixture, mixture, torch.zeros(4, dtype=torch.bool))
    found = pace.work_of(recipe, nets, batch)
    # By the rule of the papers, which counts little else than products: normalisation, biases.
    assert nets.training and not torch.equal(state, drawn)
    assert torch.equal(torch.get_rng_state(), drawn)  # nothing random, nothing learnt
    assert all(torch.equal(before[key], tensor) for key, tensor in nets.state_dict().items())
    assert found > 0 and found % pace.PASSES == 0
    again = pace.work_of(recipe, nets, batch)
    assert again == found


def test_the_work_agrees_with_table_2() -> None:
    """CWS' "GFLOPs" count biases and normalisation too: 3 % of a U-Net's."""
    recipe = RECIPES["cws-unet5-k8"]
    with torch.device("meta"):
        core = recipe.core()
        example = torch.zeros(1, 32, 128, 376)
        with cost.Products() as counted:
            core(example)
    assert 0.95 < counted.total / 23.71e9 < 1


def test_waiting_is_the_time_in_which_a_batch_is_fetched() -> None:
    watch = Pace(CPU, rate=1e9)
    assert watch.fetched(lambda: time.sleep(0.05) or "batch") == "batch"
    watch.step(8, 3e6)
    waited = watch.waited
    line = watch.line()
    assert waited >= 0.05 and 0 < line["data_wait"] <= 1
    assert line["segments_per_s"] > 0 and line["utilisation"] > 0
    assert watch.line() == {"segments_per_s": 0.0, "data_wait": 0.0, "utilisation": 0.0}


def test_a_device_has_a_rate() -> None:
    assert pace.matmul_rate(CPU, torch.float32) > 1e8
    assert pace.matmul_rate(CPU, torch.float16) > 1e8  # measured in fp32, for that takes minutes
