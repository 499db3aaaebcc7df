"""What a perturbation is to reach: eq. 4 for one separator, eq. 5 (MMPL) for several.

All sums are of squares, over samples, channels and sources at once; λ of 10 to 100 makes sense with
sums alone. A part of a source above a net's band, which no estimate can hold, is left out of its
loss: the net's target is the source through its sample rate, and what that lacks belongs to the
rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.amicable import noise, twin
from training.amicable.resampling import fit, resample
from training.amicable.song import Song
from training.amicable.twin import Piece, Separator, Stems

WAVEFORM, STFT = "waveform", "stft"
N_FFT, HOP = 4096, 1024  # samples, of the domain `stft`: those of Open-Unmix
CAP = 4.0  # c: a negative term grows to c · ‖y‖² and no further


@dataclass(frozen=True)
class Term:
    """A separator in the sum of eq. 5."""

    separator: Separator
    weight: float = 1.0  # α_i; below 0 the separator is to do worse
    domain: str = WAVEFORM  # stft: the error of magnitudes


@dataclass(frozen=True)
class Problem:
    """A song for some terms: the mixture x and each term's targets y, [channels, samples]."""

    mixture: Tensor
    targets: list[Stems]
    powers: list[float]  # ‖y‖² of each term, in its domain
    sample_rate: int
    open: Tensor  # 1 where a perturbation may be
    cover: noise.Cover

    @classmethod
    def of(cls, song: Song, terms: Sequence[Term]) -> "Problem":
        """AudioError where a term's stems are not known of the song."""
        mixture = torch.from_numpy(np.ascontiguousarray(song.mixture, np.float32))
        targets = [_targets(song, term.separator) for term in terms]
        samples = mixture.shape[1]
        whole = Piece(samples, song.sample_rate, 0, samples)
        powers = [
            float(sum(_squares(y, y.new_zeros(()), whole, term.domain, 0) for y in stems.values()))
            for term, stems in zip(terms, targets, strict=True)
        ]
        cover = noise.Cover.of(mixture, song.sample_rate)
        allowed = noise.open_samples(mixture)
        return cls(mixture, targets, powers, song.sample_rate, allowed, cover)


def _targets(song: Song, separator: Separator) -> Stems:
    """What each of its stems is to be."""
    found: Stems = {}
    for net in separator.nets:
        lost = torch.zeros(())
        true = {name: torch.from_numpy(np.array(song.stem(name))) for name in net.taken}
        for name in net.sources:
            whole = true[name] if name in true else torch.from_numpy(np.array(song.stem(name)))
            low = resample(whole, song.sample_rate, net.sample_rate)
            heard = fit(resample(low, net.sample_rate, song.sample_rate), whole.shape[1])
            lost = lost + (whole - heard)
            if name in true:
                true[name] = heard
        found |= {name: y if name in net.sources else y + lost for name, y in true.items()}
    return found


@dataclass(frozen=True)
class Found:
    """What a perturbation of a song costs, and its gradient if it was asked for."""

    loss: float  # L of eq. 5
    errors: list[float]  # ‖f(x + ν) − y‖² of each term
    stpr: float  # C of eq. 3
    gradient: Tensor | None


def evaluate(
    terms: Sequence[Term],
    problems: Sequence[Problem],
    perturbations: Sequence[Tensor],
    stpr_weights: Sequence[float],
    *,
    added: Sequence[Tensor | None] = (),
    gradients: bool = True,
    piece_seconds: int = 30,
    recompute: bool = False,
    cap: float = CAP,
) -> list[Found]:
    """L of some songs at once, each for itself, and dL/dν.

    Args:
        stpr_weights: λ of each song.
        added: of each song, what a codec adds to x + ν; it passes no gradient.
        piece_seconds: longer songs are computed in pieces of so much, which give the same.
    """
    errors = [[0.0] * len(terms) for _ in problems]
    total = [torch.zeros_like(one) for one in perturbations]
    heard = [
        problem.mixture + perturbation.detach()
        for problem, perturbation in zip(problems, perturbations, strict=True)
    ]
    for place, more in enumerate(added):
        heard[place] = heard[place] if more is None else heard[place] + more
    cuts = [
        twin.pieces(x.shape[1], problem.sample_rate, piece_seconds)
        for x, problem in zip(heard, problems, strict=True)
    ]
    for number, term in enumerate(terms):
        levels = [
            term.separator.levels(x, problem.sample_rate)
            for x, problem in zip(heard, problems, strict=True)
        ]
        own = [torch.zeros_like(one) if term.weight < 0 else one for one in total]
        for turn in range(max(map(len, cuts))):
            among = [place for place, cut in enumerate(cuts) if turn < len(cut)]
            _add_pieces(
                term, number, [(place, cuts[place][turn]) for place in among],
                problems, heard, levels, errors, own,
                gradients=gradients, recompute=recompute,
            )  # fmt: skip
        for place, problem in enumerate(problems):
            bounded = term.weight < 0 and errors[place][number] >= cap * problem.powers[number]
            if term.weight < 0 and not bounded:
                total[place] += own[place]
    return [
        _found(terms, problem, perturbation, weight, lost, gradient if gradients else None, cap)
        for problem, perturbation, weight, lost, gradient in zip(
            problems, perturbations, stpr_weights, errors, total, strict=True
        )
    ]


def _add_pieces(
    term: Term,
    number: int,
    some: Sequence[tuple[int, Piece]],
    problems: Sequence[Problem],
    heard: Sequence[Tensor],
    levels: Sequence[Sequence[float]],
    errors: list[list[float]],
    into: Sequence[Tensor],
    *,
    gradients: bool,
    recompute: bool,
) -> None:
    """Add a term's errors of a piece of each song, and their gradients."""
    # In the STFT's domain frames reach beyond a piece.
    wider = [_wider(piece) if term.domain == STFT else piece for _, piece in some]
    spans = [twin.reach(term.separator, piece) for piece in wider]
    given = [
        _leaf(heard[place], first, last).requires_grad_(gradients)
        for (place, _), (first, last) in zip(some, spans, strict=True)
    ]
    with torch.set_grad_enabled(gradients):
        found = twin.separate(
            term.separator, given, wider, [levels[place] for place, _ in some], recompute=recompute
        )
        losses = []
        for (place, piece), seen, stems in zip(some, wider, found, strict=True):
            true = problems[place].targets[number]
            parts = [
                _squares(one, true[name][:, seen.first : seen.last], piece, term.domain, seen.first)
                for name, one in stems.items()
            ]
            losses.append(torch.stack(parts).sum())
    for (place, _), loss in zip(some, losses, strict=True):
        errors[place][number] += float(loss.detach())
    if not gradients:
        return
    found_gradients = torch.autograd.grad(torch.stack(losses).sum() * term.weight, given)
    for (place, _), (first, last), gradient in zip(some, spans, found_gradients, strict=True):
        into[place][:, first:last] += gradient


def _leaf(song: Tensor, first: int, last: int) -> Tensor:
    """A stretch of a song; of all of it no copy."""
    return song.detach() if last - first == song.shape[1] else song[:, first:last].clone()


def _found(
    terms: Sequence[Term],
    problem: Problem,
    perturbation: Tensor,
    stpr_weight: float,
    errors: list[float],
    gradient: Tensor | None,
    cap: float,
) -> Found:
    """Eq. 5 from its parts."""
    if gradient is None:
        stpr = float(problem.cover.stpr(perturbation).sum())
    else:
        stpr, slope = problem.cover.slope(perturbation, stpr_weight)
        gradient = gradient.add_(slope).mul_(problem.open)
    parts = zip(terms, errors, problem.powers, strict=True)
    loss = sum(
        term.weight * (error if term.weight >= 0 else min(error, cap * power))
        for term, error, power in parts
    )
    return Found(loss + stpr_weight * stpr, errors, stpr, gradient)


def balanced(errors: Sequence[float]) -> list[float]:
    """α of each term so that all begin with the first one's loss (5.5 sets [1, 100] by hand)."""
    return [errors[0] / max(error, 1e-12) for error in errors]


def _wider(piece: Piece) -> Piece:
    """A piece with the whole seconds around it that the STFT's frames reach."""
    more = -(-N_FFT // piece.sample_rate) * piece.sample_rate
    last = -(-piece.last // piece.sample_rate) * piece.sample_rate + more
    return Piece(
        piece.samples, piece.sample_rate, max(0, piece.first - more), min(piece.samples, last)
    )


def _squares(found: Tensor, true: Tensor, piece: Piece, domain: str, begins: int) -> Tensor:
    """The sum of squares of a piece's error; `found` and `true` begin at sample `begins`.

    Magnitudes are scaled so that, where phases agree, both domains say the same.
    """
    if domain == WAVEFORM:
        assert begins == piece.first
        return torch.nn.functional.mse_loss(found, true.expand_as(found), reduction="sum")
    both = [_spectrum(one, piece, begins) for one in (found, true)]
    window = torch.hann_window(N_FFT)
    scale = 2 / (N_FFT * float(window.square().sum()) / HOP)
    return (both[0].abs() - both[1].abs()).square().sum() * scale


def _spectrum(samples: Tensor, piece: Piece, begins: int) -> Tensor:
    """Frames centred on the multiples of the hop that lie in a piece."""
    if not samples.dim():
        return samples
    first, last = -(-piece.first // HOP), -(-piece.last // HOP)
    if first == last:  # of a few samples at the end
        return samples.new_zeros(())
    at, end = first * HOP - N_FFT // 2 - begins, (last - 1) * HOP + N_FFT // 2 - begins
    part = samples[:, max(0, at) : max(0, min(samples.shape[1], end))]
    part = torch.nn.functional.pad(part, (max(0, -at), max(0, end - samples.shape[1])))
    window = torch.hann_window(N_FFT, device=part.device)
    return torch.stft(part, N_FFT, HOP, window=window, center=False, return_complex=True)
