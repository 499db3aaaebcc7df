"""Nets of a few weights of every family, and a short song."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import sing
from training.amicable.song import Song
from training.checkpoint import Checkpoint
from training.recipes import registry

TINY: dict[str, dict[str, Any]] = {
    "unet-vocals": {"channels": (2, 3, 4)},
    "unet-instrumental": {"channels": (2, 3, 4)},
    "joint-source-to-pitch-small": {"channels": (2, 3, 4)},
    "complex-unet-vocals": {"channels": (2, 3), "n_fft": 256, "hop_length": 64},
    "cws-unet5-k4-small": {"width": 0.03},
    "demucs-vocals-small": {"channels": (3, 4)},
    "bsrnn-vocals-small": {"features": 4, "layers": 1, "hidden": 4, "mask_hidden": 4},
}


def tiny(name: str, **fields: Any) -> Checkpoint:
    """A net with random weights, also where the first ones would be 0."""
    recipe = registry.override(registry.RECIPES[name], TINY.get(name, {}) | fields)
    torch.manual_seed(0)
    nets = recipe.nets()
    with torch.no_grad():
        for weight in nets.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return Checkpoint(recipe, nets.eval(), 0)


def song(seconds: float = 2.3, rate: int = 16_000, seed: int = 1) -> Song:
    """A voice and an accompaniment that sum to the mixture."""
    vocals, accompaniment = sing(seed, seconds, rate)
    mixture = (vocals + accompaniment).astype(np.float32)
    return Song(mixture, {"vocals": vocals, "accompaniment": accompaniment}, rate)


@pytest.fixture
def short_song() -> Song:
    return song()
