"""f is what `separate` computes, gradients pass through it, and pieces are the whole."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.amicable.conftest import TINY, song, tiny
from training.amicable import models, objective, twin
from training.amicable.models import Model
from training.amicable.objective import Problem, Term
from training.amicable.resampling import length, resample
from training.recipes import registry
from training.recipes.chunks import Chunking
from training.separation.separate import separate

CUTS = [Chunking(), Chunking(1.0, 0.5), Chunking(whole=True)]
CASES = [("unet-vocals", CUTS[0]), ("joint-source-to-pitch-small", CUTS[0])]
CASES += [
    (name, cut)
    for name in TINY
    for cut in CUTS[1:]
    if registry.RECIPES[name].takes_whole or not cut.whole
]


def _model(name: str, cut: Chunking, **fields: Any) -> Model:
    return models.of_checkpoints([tiny(name, **fields)], cut)


def _whole(model: Model, mixture: Tensor, rate: int) -> dict[str, Tensor]:
    (piece,) = twin.pieces(mixture.shape[1], rate, 1000)
    levels = model.separator.levels(mixture.detach(), rate)
    (found,) = twin.separate(model.separator, [mixture], [piece], [levels])
    return found


@pytest.mark.parametrize(("name", "cut"), CASES, ids=str)
def test_the_twin_gives_what_separate_gives(name: str, cut: Chunking) -> None:
    """Within −60 dB of every stem."""
    for rate in (44_100, registry.RECIPES[name].sample_rate):
        given = song(1.7, rate).mixture
        model = _model(name, cut)
        assert model.system is not None
        wanted = separate(given, rate, model.system.models[0], cut)
        mixture = torch.from_numpy(given).requires_grad_()
        found = _whole(model, mixture, rate)
        assert found.keys() == wanted.keys()
        for stem, samples in wanted.items():
            error = found[stem].detach().numpy() - samples
            assert np.sum(error**2) <= 1e-6 * np.sum(samples**2), stem
        total = torch.stack([*found.values()]).square().sum()
        (gradient,) = torch.autograd.grad(total, mixture)
        assert bool(torch.isfinite(gradient).all()) and float(gradient.abs().max()) > 0


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("unet-vocals", Chunking(whole=True)),
        ("unet-vocals", Chunking(1.0, 0.3)),
        ("bsrnn-vocals-small", Chunking(1.0, 0.5)),
    ],
    ids=str,
)
@pytest.mark.parametrize("domain", [objective.WAVEFORM, objective.STFT])
def test_an_iteration_in_pieces_is_one_of_the_whole(name: str, cut: Chunking, domain: str) -> None:
    """Loss and gradient within 1e-5, though the song's own rate is neither net's, and the pieces'
    ends lie on no hop."""
    rate = 11_025
    wide = name.startswith("unet")  # whose net sees nearly two seconds either way
    given = song(9.4 if wide else 4.4, rate)
    fields = {"channels": (2,), "n_fft": 256, "hop_length": 64} if wide else {}
    terms = [Term(_model(name, cut, **fields).separator, domain=domain)]
    problem = Problem.of(given, terms)
    noise = [0.01 * torch.randn(problem.mixture.shape)]
    (whole,), (pieces,), (again,) = (
        objective.evaluate(terms, [problem], noise, [40.0], piece_seconds=s, recompute=r)
        for s, r in ((60, False), (2, False), (2, True))
    )
    assert whole.gradient is not None and pieces.gradient is not None
    assert again.gradient is not None
    assert abs(whole.loss - pieces.loss) < 1e-5 * whole.loss
    assert (whole.gradient - pieces.gradient).norm() < 1e-5 * whole.gradient.norm()
    assert torch.equal(pieces.gradient, again.gradient)


def test_a_batch_of_songs_is_each_song_by_itself() -> None:
    given = [song(seconds, seed=seed) for seed, seconds in enumerate((1.2, 2.5, 0.7))]
    terms = [
        Term(_model(name, CUTS[1]).separator) for name in ("unet-vocals", "complex-unet-vocals")
    ]
    problems = [Problem.of(one, terms) for one in given]
    noises = [0.01 * torch.randn(problem.mixture.shape) for problem in problems]
    together = objective.evaluate(terms, problems, noises, [10.0, 40.0, 100.0])
    for problem, noise, weight, found in zip(
        problems, noises, [10.0, 40.0, 100.0], together, strict=True
    ):
        (alone,) = objective.evaluate(terms, [problem], [noise], [weight])
        assert abs(alone.loss - found.loss) < 1e-6 * alone.loss
        assert alone.gradient is not None and found.gradient is not None
        assert (alone.gradient - found.gradient).norm() < 1e-6 * alone.gradient.norm()


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [(44_100, 8192), (44_100, 16_000), (48_000, 44_100), (22_050, 44_100), (8192, 44_100)],
)
def test_resampling_passes_its_transpose_back(from_rate: int, to_rate: int) -> None:
    """⟨Ax, y⟩ = ⟨x, Aᵀy⟩ within 1e-4, for noise up to half the rate and at any length."""
    for samples in (from_rate + 123, 2 * from_rate):
        x = torch.randn(2, samples, requires_grad=True)
        forward = resample(x, from_rate, to_rate)
        assert forward.shape[1] == length(samples, from_rate, to_rate)
        y = forward.detach() + torch.randn(forward.shape)
        (back,) = torch.autograd.grad(forward, x, y)
        one = float((forward.detach().double() * y).sum())
        other = float((x.detach().double() * back).sum())
        assert abs(one - other) < 1e-4 * abs(one)


def test_the_gradient_is_the_slope() -> None:
    """Central differences along random directions, through a song's level and its rest."""
    given = song(1.1)
    terms = [Term(_model("unet-vocals", CUTS[2]).separator, 1.0)]
    problem = Problem.of(given, terms)
    noise = 0.01 * torch.randn(problem.mixture.shape)
    peak = int(problem.mixture.abs().sum(0).argmax())
    noise[:, max(0, peak - 9000) : peak + 9000] = 0  # the level passes no gradient
    (found,) = objective.evaluate(terms, [problem], [noise], [40.0])
    assert found.gradient is not None
    direction = found.gradient / found.gradient.norm()
    step = 0.02
    losses = [
        objective.evaluate(terms, [problem], [noise + s * direction], [40.0], gradients=False)[0]
        for s in (step, -step)
    ]
    slope = (losses[0].loss - losses[1].loss) / (2 * step)
    assert abs(slope - float((found.gradient * direction).sum())) < 0.05 * abs(slope)


def test_two_nets_are_one_separator_and_no_weight_changes() -> None:
    both = [tiny("unet-vocals"), tiny("unet-instrumental")]
    before = [{k: v.clone() for k, v in one.core.state_dict().items()} for one in both]
    model = models.of_checkpoints(both, Chunking())
    assert model.separator.stems == ("vocals", "accompaniment")
    terms = [Term(model.separator)]
    problem = Problem.of(song(1.0), terms)
    (found,) = objective.evaluate(terms, [problem], [torch.zeros_like(problem.mixture)], [0.0])
    assert found.gradient is not None and float(found.gradient.norm()) > 0
    for one, held in zip(both, before, strict=True):
        assert all(weight.grad is None for weight in one.core.parameters())
        state = one.core.state_dict()
        assert all(torch.equal(state[name], value) for name, value in held.items())


def test_what_lies_above_a_net_s_band_is_no_part_of_its_loss() -> None:
    """A voice of 6 kHz, of which a net at 8192 Hz can give nothing: its loss asks for none, and the
    rest is not to lose it."""
    time = np.arange(44_100) / 44_100
    high = np.stack([0.1 * np.sin(2 * np.pi * 6000 * time)] * 2).astype(np.float32)
    given = song(1.0, 44_100)
    given.mixture[:] += high
    given.stems["vocals"][:] += high
    (stems,) = Problem.of(given, [Term(_model("unet-vocals", CUTS[0]).separator)]).targets
    inner = slice(4000, -4000)
    for name, wanted in (("vocals", 0.0), ("accompaniment", 1.0)):
        tone = np.sum(stems[name].numpy()[:, inner] * high[:, inner]) / np.sum(high[:, inner] ** 2)
        assert abs(tone - wanted) < 0.02
    total = stems["vocals"] + stems["accompaniment"]
    assert np.allclose(total.numpy(), given.mixture, atol=1e-5)
