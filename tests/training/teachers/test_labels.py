"""The rules of the BSRNN paper's section III-A, by its numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.teachers import labels


def _names(found: labels.Labels) -> list[str]:
    return [labels.OUTCOMES[number] for number in found.outcome.tolist()]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def apart(below_db: float) -> tuple[Tensor, Tensor]:
    """A mixture, and a source of it with so many dB less energy, orthogonal to its rest."""
    mixture = torch.zeros(1, 2, 1000)
    mixture[..., :500] = 0.1
    source = torch.zeros_like(mixture)
    source[..., :500] = 0.1 * 10 ** (-below_db / 20)
    return mixture, source


@pytest.mark.parametrize(
    ("below_db", "kind"), [(29.9, "pseudo"), (30.1, "clean_residual"), (80, "clean_residual")]
)
def test_a_target_of_30_db_less_than_the_mixture_is_none(below_db: float, kind: str) -> None:
    mixture, target = apart(below_db)
    assert _names(labels.label(mixture, target)) == [kind]


@pytest.mark.parametrize(
    ("below_db", "kind"), [(29.9, "pseudo"), (30.1, "clean_target"), (80, "clean_target")]
)
def test_a_residual_of_30_db_less_than_the_mixture_is_none(below_db: float, kind: str) -> None:
    mixture, residual = apart(below_db)
    assert _names(labels.label(mixture, mixture - residual)) == [kind]


def test_exactly_30_db_is_not_larger_than_30_db() -> None:
    mixture = torch.full((1, 1, 64), 0.5)
    target = mixture * 0.25
    found = labels.label(mixture, target)
    difference = float(found.mixture_db - found.target_db)
    assert _names(labels.label(mixture, target, rule_db=difference)) == ["pseudo"]
    below = math.nextafter(difference, 0)
    assert _names(labels.label(mixture, target, rule_db=below)) == ["clean_residual"]


def test_energies_are_mean_powers_in_db() -> None:
    halves = torch.full((1, 2, 100), 0.5)
    assert labels.energies_db(halves).item() == pytest.approx(20 * math.log10(0.5))
    assert labels.energies_db(torch.zeros(1, 2, 100)).item() == pytest.approx(-300)
    assert labels.energies_db(noise(3, 2, 0)).shape == (3,)


def test_silence_and_nan_and_infinity_cost_their_own_segment_alone() -> None:
    mixture = 0.1 * noise(5, 2, 4000)
    target = mixture * 0.5
    mixture[1] = 0
    target[1] = 0
    target[2, 0, 17] = math.nan
    target[3, 1, 5] = math.inf
    found = labels.label(mixture, target)
    assert _names(found) == ["pseudo", "silent", "not_finite", "not_finite", "pseudo"]
    assert found.usable.tolist() == [True, False, False, False, True]


def test_sources_that_miss_their_mixture_are_refused() -> None:
    mixture = 0.1 * noise(3, 2, 4000)
    good = torch.stack([mixture * 0.5, mixture * 0.5], dim=1)
    good[1] *= 0.5  # half of it is gone: −6 dB
    good[2] *= 1.1  # −20 dB
    missed = labels.misses_db(mixture, good)
    assert missed[1].item() == pytest.approx(-6.02, abs=0.01)
    assert missed[2].item() == pytest.approx(-20, abs=0.01)
    found = labels.label(mixture, good[:, 0], missed)
    assert _names(found) == ["pseudo", "not_a_sum", "pseudo"]


def test_a_nan_in_another_source_is_found() -> None:
    mixture = 0.1 * noise(1, 1, 400)
    both = torch.stack([mixture, torch.full_like(mixture, math.nan)], dim=1)
    found = labels.label(mixture, both[:, 0], labels.misses_db(mixture, both))
    assert _names(found) == ["not_finite"]


def test_clean_segments_give_their_mixture_and_pseudo_ones_both_their_signals() -> None:
    mixture = 0.1 * noise(4, 2, 1000)
    target = mixture * torch.tensor([0.5, 0.001, 0.999, math.nan])[:, None, None]
    found = labels.label(mixture, target)
    assert _names(found) == ["pseudo", "clean_residual", "clean_target", "not_finite"]
    targets, residuals = labels.signals(mixture, target, found)
    assert torch.equal(targets, torch.stack([target[0], mixture[2]]))
    assert torch.equal(residuals, torch.stack([mixture[0] - target[0], mixture[1]]))


@settings(max_examples=50, deadline=None)
@given(
    share=st.floats(-2, 2),
    level=st.floats(-60, 20),
    seed=st.integers(0, 1000),
)
def test_level_changes_no_outcome_and_the_sides_are_symmetric(
    share: float, level: float, seed: int
) -> None:
    mixture = noise(1, 2, 256, seed=seed)
    target = share * mixture
    found = labels.label(mixture, target)
    gain = 10 ** (level / 20)
    differences = [found.mixture_db - found.target_db, found.mixture_db - found.residual_db]
    if any(abs(float(difference) - 30) < 1e-3 for difference in differences):
        return
    assert _names(labels.label(mixture * gain, target * gain)) == _names(found)
    swapped = {"clean_target": "clean_residual", "clean_residual": "clean_target"}
    other = _names(labels.label(mixture, mixture - target))[0]
    assert swapped.get(other, other) == _names(found)[0]


def test_confidence_is_one_for_sounds_apart_and_none_for_a_mixture_halved() -> None:
    time = torch.arange(44_100) / 44_100
    low, high = (torch.sin(2 * math.pi * f * time)[None, None] for f in (220, 3000))
    assert labels.confidence(low, high).item() > 0.99
    mixture = low + high
    assert labels.confidence(mixture / 2, mixture / 2).item() < 1e-6
    assert labels.confidence(mixture, torch.zeros_like(mixture)).item() == pytest.approx(1)
    leak = labels.confidence(0.8 * low + 0.2 * high, 0.2 * low + 0.8 * high).item()
    assert 0.5 < leak < 0.95
    assert labels.confidence(mixture * math.nan, mixture).item() == 0
    assert labels.confidence(mixture[..., :100] * 0, mixture[..., :100] * 0).item() == 0
