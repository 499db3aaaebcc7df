"""Eq. 3 to 6: the constraint, the steps, the search for λ, signs and their bound."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stemlode.audio import AudioError
from tests.training.amicable.conftest import song, tiny
from training.amicable import models, noise, objective, optimise
from training.amicable.objective import Problem, Term
from training.amicable.optimise import Settings, State
from training.amicable.song import Song
from training.amicable.twin import Net, Separator
from training.recipes.chunks import Chunking

CUT = Chunking(1.0, 0.5)


def _terms(**weights: float) -> list[Term]:
    return [
        Term(models.of_checkpoints([tiny(name.replace("_", "-"))], CUT).separator, weight)
        for name, weight in weights.items()
    ]


def _filter(taps: list[float], weight: float = 1.0) -> Term:
    """A separator that costs nothing: what a filter leaves of a song is its vocals."""
    kernel = torch.tensor(taps)[None, None]

    def estimate(chunks: Tensor, levels: Tensor) -> Tensor:
        flat = chunks.flatten(0, 1)[:, None]
        return F.conv1d(flat, kernel, padding="same").view_as(chunks)[:, None]

    stems = ("vocals", "accompaniment")
    cut = Chunking(whole=True)
    net = Net("a filter", 16_000, stems[:1], stems, estimate, torch.device("cpu"), cut)
    return Term(Separator("a filter", (net,)), weight)


def _run(problem: Problem, terms: list[Term], asked: Settings) -> State:
    state = State.begun(problem, asked)
    optimise.run(terms, [problem], [state], asked)
    return state


@given(
    st.integers(1, 3 * noise.FRAME + 5),
    st.integers(1, 2),
    st.floats(0.001, 0.5),
    st.integers(0, 99),
)
@settings(max_examples=25)
def test_no_sample_escapes_the_ratio(samples: int, channels: int, level: float, seed: int) -> None:
    """Eq. 3 with the last frame padded, over both channels: against a plain loop."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (channels, samples)) + 0.01
    nu = level * rng.uniform(-1, 1, (channels, samples))
    starts = range(0, samples, noise.FRAME)
    wanted = [
        np.linalg.norm(nu[:, s : s + noise.FRAME]) / np.linalg.norm(x[:, s : s + noise.FRAME])
        for s in starts
    ]
    found = noise.stpr(*(torch.from_numpy(a).float() for a in (nu, x)))
    assert np.allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("samples", [7000, 16_000, 50_123])
def test_what_is_known_of_a_mixture_changes_no_measure(samples: int) -> None:
    mixture = 0.3 * torch.randn(2, samples)
    mixture[:, 4096 : min(samples, 32_768)] = 0
    added = 0.01 * torch.randn(2, samples) * noise.open_samples(mixture)
    cover = noise.Cover.of(mixture, 16_000)
    found = cover.di_sdr(added, 16_000)
    wanted = noise.di_sdr(mixture, mixture + added, 16_000)
    assert found == pytest.approx(wanted, abs=1e-3, nan_ok=True)
    assert torch.equal(cover.stpr(added), noise.stpr(added, mixture))
    leaf = added.clone().requires_grad_()
    cover.stpr(leaf).sum().backward()
    total, slope = cover.slope(added, 2.0)
    assert total == pytest.approx(float(cover.stpr(added).sum()), rel=1e-6)
    assert leaf.grad is not None and torch.allclose(slope, 2 * leaf.grad, rtol=1e-4, atol=1e-8)


def test_silence_stays_silent() -> None:
    """Digital silence and what is nearly that hide nothing, and divide nothing by zero."""
    whole = song(2.0)
    for one in (whole.mixture, *whole.stems.values()):
        one[:, : noise.FRAME] = 0
        one[:, noise.FRAME : 2 * noise.FRAME] *= 1e-5
    terms = _terms(unet_vocals=1.0)
    problem = Problem.of(whole, terms)
    state = _run(problem, terms, Settings(iterations=5))
    assert float(state.perturbation[:, : 2 * noise.FRAME].abs().max()) == 0
    assert float(state.perturbation[:, 2 * noise.FRAME :].abs().max()) > 0
    assert bool(torch.isfinite(state.perturbation).all())
    assert state.last_at is not None and math.isfinite(state.last_at.loss)


@pytest.mark.slow  # torch's takes seconds to import
def test_adam_is_torch_s() -> None:
    torch.manual_seed(0)
    terms = _terms(unet_vocals=1.0)
    problem = Problem.of(song(0.6), terms)
    state = State.begun(problem, Settings())
    theirs = torch.nn.Parameter(state.perturbation.clone())
    adam = torch.optim.Adam([theirs], lr=0.01)
    for _ in range(5):
        theirs.grad = torch.randn_like(theirs)
        adam.step()
        state.iteration += 1
        optimise.adam(state, theirs.grad, problem.open)
    assert torch.allclose(state.perturbation, theirs.detach(), atol=1e-6)


def test_a_perturbation_helps_its_separator_and_random_noise_does_not() -> None:
    terms = _terms(complex_unet_vocals=1.0)
    problem = Problem.of(song(1.5), terms)
    state = _run(problem, terms, Settings(iterations=25, stpr_weight=1.0))
    random = noise.random_like(state.best, problem.mixture)
    other = noise.levelled(torch.randn(1, 5000), state.best, problem.mixture)
    silent = torch.zeros_like(random)
    plain, amicable, *controls = (
        objective.evaluate(terms, [problem], [one], [0.0], gradients=False)[0].errors[0]
        for one in (silent, state.best, random, other)
    )
    assert amicable < 0.95 * plain
    assert all(control > 0.999 * plain for control in controls)
    ratios = [noise.stpr(one, problem.mixture) for one in (state.best, random, other)]
    assert torch.allclose(ratios[0], ratios[1], rtol=1e-3)
    assert torch.allclose(ratios[0], ratios[2], rtol=1e-3)


@pytest.mark.parametrize(
    "measured", [noise.MEDIAN, pytest.param(noise.WHOLE, marks=pytest.mark.slow)]
)
def test_the_wanted_degradation_is_found(measured: str) -> None:
    terms = [_filter([0.2, 0.3, 0.2])]
    problem = Problem.of(song(1.3), terms)
    asked = Settings(iterations=60, target_di_sdr=24.0, measured=measured)
    state = _run(problem, terms, asked)
    assert len(state.tried) <= optimise.SEARCHES
    assert state.best_at is not None and state.best_at.meets
    perturbed = problem.mixture + state.best
    found = noise.di_sdr(problem.mixture, perturbed, problem.sample_rate)[measured]
    assert abs(found - 24.0) <= optimise.NEAR_DB


def test_where_the_last_run_goes_astray_the_nearest_search_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DI_SDR may jump over the wanted one: λ that a search ended with need not give it again."""
    monkeypatch.setattr(optimise, "SEARCHES", 2)
    monkeypatch.setattr(optimise, "SEARCH_ITERATIONS", 10)
    monkeypatch.setattr(optimise, "_tried_next", lambda *_: math.log(1e-3))
    terms = [_filter([0.2, 0.3, 0.2])]
    problem = Problem.of(song(1.0), terms)
    state = _run(problem, terms, Settings(iterations=5, stpr_weight=20.0, target_di_sdr=90.0))
    ends = {at: abs(di_sdr - 90) for at, di_sdr in state.tried}
    assert state.best_at is not None and not state.best_at.meets
    assert state.best_stpr_weight == pytest.approx(math.exp(min(ends, key=ends.__getitem__)))
    found = problem.cover.di_sdr(state.best, problem.sample_rate)[noise.MEDIAN]
    assert abs(found - 90) == pytest.approx(min(ends.values()))
    assert State.restored(state.tensors(), state.facts()).best_at == state.best_at


def test_opposite_signs_pull_apart_and_the_bound_holds() -> None:
    terms = [_filter([0.2, 0.3, 0.2], 20.0), _filter([-0.5, 1.0, -0.5], -1.0)]
    problem = Problem.of(song(1.0), terms)
    zero = torch.zeros_like(problem.mixture)
    (before,) = objective.evaluate(terms, [problem], [zero], [0.0], gradients=False)
    state = _run(problem, terms, Settings(iterations=60, stpr_weight=10.0))
    assert state.best_at is not None
    good, bad = state.best_at.errors
    assert good < before.errors[0] and bad > before.errors[1]
    bound = 0.5 * bad / problem.powers[1]  # one that is passed already: its gradient is none
    free, bounded = (
        objective.evaluate(terms, [problem], [state.best], [0.0], cap=cap)[0]
        for cap in (100.0, bound)
    )
    (alone,) = objective.evaluate(terms[:1], [_first(problem)], [state.best], [0.0])
    assert free.gradient is not None and bounded.gradient is not None
    assert alone.gradient is not None
    assert torch.equal(bounded.gradient, alone.gradient)
    assert not torch.equal(free.gradient, alone.gradient)
    assert bounded.loss == pytest.approx(20 * good - bound * problem.powers[1], rel=1e-6)


def _first(problem: Problem) -> Problem:
    return dataclasses.replace(problem, targets=problem.targets[:1], powers=problem.powers[:1])


def test_weights_are_balanced_by_the_losses() -> None:
    assert objective.balanced([4.0, 0.5, 8.0]) == [1.0, 8.0, 0.5]


def test_both_domains_are_of_one_size() -> None:
    """Of an estimate with the right phases and half the level."""
    whole = song(1.0)
    terms = _terms(unet_vocals=1.0)
    by_stft = [Term(terms[0].separator, domain=objective.STFT)]
    one, other = (Problem.of(whole, some).powers[0] for some in (terms, by_stft))
    assert other == pytest.approx(one, rel=0.05)


def test_a_stem_is_found_by_what_the_others_leave() -> None:
    rng = np.random.default_rng(0)
    stems = {
        name: rng.standard_normal((2, 9)).astype(np.float32) for name in ("vocals", "drums", "bass")
    }
    mixture = np.sum(list(stems.values()), axis=0)
    held = Song(mixture, stems, 44_100)
    assert np.allclose(held.stem("accompaniment"), stems["drums"] + stems["bass"], atol=1e-6)
    assert np.allclose(held.stem("no_drums"), stems["vocals"] + stems["bass"], atol=1e-6)
    with pytest.raises(AudioError, match="gives guitar, of which"):
        held.stem("guitar")
