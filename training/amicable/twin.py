"""What `separate` computes, with gradients: the separator f of the paper's eq. 2.

A song goes through the same steps as in `training.separation`: soxr to a net's rate, the song's
level, chunks on the song's grid, their estimates faded into each other, and soxr back. The level is
taken of the whole song and passes no gradient.

A song may be computed in pieces: a piece is a stretch of the output, and whatever of the input
reaches it is computed with it, so that pieces side by side are the whole. Pieces begin and end at
whole seconds, where the samples of all rates coincide.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.amicable.resampling import fit, length, resample
from training.recipes import chunks
from training.recipes.chunks import Chunking

MARGIN_S = 1  # seconds on either side of what is resampled; the kernels are far shorter
Estimate = Callable[[Tensor, Tensor], Tensor]
Stems = dict[str, Tensor]  # [channels, samples] by name


@dataclass(frozen=True)
class Net:
    """One net of a separator.

    `estimate` takes chunks [n, channels, samples] and the levels of their songs [n] and gives
    [n, sources, channels, samples]. `level` is None where it is 1.
    """

    name: str
    sample_rate: int  # Hz
    sources: tuple[str, ...]  # that `estimate` gives
    taken: tuple[str, ...]  # stems that come from this net: sources, or what they leave
    estimate: Estimate
    device: torch.device
    cut: Chunking
    level: Callable[[Tensor], float] | None = None
    sight: tuple[int, int] | None = None  # of songs that are whole (`Recipe.sight`)
    channels: int | None = None  # that it takes; None: any
    weights: nn.Module | None = None


@dataclass(frozen=True)
class Separator:
    """Nets that separate a song together: one f."""

    name: str
    nets: tuple[Net, ...]

    @property
    def stems(self) -> tuple[str, ...]:
        """All that a song is separated into."""
        return tuple(stem for net in self.nets for stem in net.taken)

    def levels(self, song: Tensor, sample_rate: int) -> list[float]:
        """The song's level for each net, by [channels, samples] of all of it."""
        with torch.no_grad():
            return [
                1.0
                if net.level is None
                else net.level(resample(song, sample_rate, net.sample_rate))
                for net in self.nets
            ]


@dataclass(frozen=True)
class Piece:
    """A stretch of a song that is separated."""

    samples: int  # of the song
    sample_rate: int
    first: int  # sample of the song, at a whole second
    last: int  # one past its end; at a whole second, or that of the song

    @property
    def whole(self) -> bool:
        """Whether it is all of the song."""
        return (self.first, self.last) == (0, self.samples)


def pieces(samples: int, sample_rate: int, seconds: int) -> list[Piece]:
    """A song in pieces of so many seconds, the last one shorter."""
    firsts = range(0, samples, seconds * sample_rate)
    lasts = [*firsts[1:], samples]
    pairs = zip(firsts, lasts, strict=True)
    return [Piece(samples, sample_rate, first, last) for first, last in pairs]


@dataclass(frozen=True)
class _Plan:
    """What a net computes for a piece: chunks, and where they come from and go to."""

    starts: list[int]  # of the chunks, in samples of the net's rate
    lengths: list[int]
    low: tuple[int, int]  # the output at the net's rate
    given: tuple[int, int]  # the song's samples that reach it
    faded: bool


def _plan(net: Net, piece: Piece) -> _Plan:
    rate, own = piece.sample_rate, net.sample_rate
    total = length(piece.samples, rate, own)
    margin = 0 if rate == own else MARGIN_S
    first_s, last_s = piece.first // rate - margin, -(-piece.last // rate) + margin
    low = max(0, first_s * own), min(total, last_s * own)
    if piece.last == piece.samples:
        low = low[0], total
    starts, lengths = _chunks(net, total, low)
    ends = max(start + size for start, size in zip(starts, lengths, strict=True))
    from_s = max(0, starts[0]) // own - margin
    to_s = -(-min(total, ends) // own) + margin
    given = max(0, from_s * rate), min(piece.samples, to_s * rate)
    return _Plan(starts, lengths, low, given, not net.cut.whole)


def _chunks(net: Net, total: int, low: tuple[int, int]) -> tuple[list[int], list[int]]:
    """The chunks of a song of `total` samples that reach a stretch of it, and their lengths."""
    if net.cut.whole:
        if low == (0, total) or net.sight is None:
            return [0], [total]
        grid, margin = net.sight
        first = max(0, (low[0] - margin) // grid * grid)
        return [first], [min(total, low[1] + margin) - first]
    every, size = chunks.grid(total, net.sample_rate, net.cut)
    near = bisect.bisect_right(every, low[0] - size)
    starts = list(itertools.takewhile(lambda start: start < low[1], every[near:]))
    return starts, [size] * len(starts)


def reach(separator: Separator, piece: Piece) -> tuple[int, int]:
    """First and one past the last sample of the song that a piece depends on."""
    plans = [_plan(net, piece).given for net in separator.nets]
    return min(first for first, _ in plans), max(last for _, last in plans)


def separate(
    separator: Separator,
    given: Sequence[Tensor],
    of: Sequence[Piece],
    levels: Sequence[Sequence[float]],
    *,
    recompute: bool = False,
) -> list[Stems]:
    """The stems of pieces of some songs, [channels, last − first] each; gradients pass.

    Args:
        given: for each piece the song's samples [channels, …] that it depends on (`reach`).
        of: the pieces.
        levels: of each song, for each net (`Separator.levels`).
        recompute: keep no activations, and compute them again where gradients are wanted.
    """
    stems: list[Stems] = [{} for _ in of]
    for place, net in enumerate(separator.nets):
        found = _estimates(net, separator, given, of, [one[place] for one in levels], recompute)
        for into, mixture, piece, sources in zip(stems, given, of, found, strict=True):
            begins = reach(separator, piece)[0]
            part = mixture[:, piece.first - begins : piece.last - begins]
            named = dict(zip(net.sources, sources, strict=True))
            into |= {
                name: named[name] if name in named else part - sources.sum(0) for name in net.taken
            }
    return stems


def _estimates(
    net: Net,
    separator: Separator,
    given: Sequence[Tensor],
    of: Sequence[Piece],
    levels: Sequence[float],
    recompute: bool,
) -> list[Tensor]:
    """A net's sources of some pieces, [sources, channels, last − first] each."""
    plans = [_plan(net, piece) for piece in of]
    cut: list[tuple[int, Tensor, float]] = []  # a piece's number, one of its chunks, its level
    for number, (mixture, piece, plan) in enumerate(zip(given, of, plans, strict=True)):
        begins = reach(separator, piece)[0]
        first, last = plan.given[0] - begins, plan.given[1] - begins
        low = resample(mixture[:, first:last], piece.sample_rate, net.sample_rate)
        at = plan.given[0] * net.sample_rate // piece.sample_rate
        starts = [start - at for start in plan.starts]
        for chunk in _Cut.apply(low.to(net.device), starts, plan.lengths):
            cut.append((number, chunk, levels[number]))
    estimates = _run(net, cut, recompute)
    found = []
    for number, (piece, plan) in enumerate(zip(of, plans, strict=True)):
        own = [one for (where, *_), one in zip(cut, estimates, strict=True) if where == number]
        low = _joined(own, plan).to(given[number].device)
        high = resample(low.flatten(0, 1), net.sample_rate, piece.sample_rate)
        begins = plan.low[0] * piece.sample_rate // net.sample_rate
        high = fit(high[:, piece.first - begins :], piece.last - piece.first)
        found.append(high.unflatten(0, low.shape[:2]))
    return found


def _run(net: Net, cut: Sequence[tuple[int, Tensor, float]], recompute: bool) -> list[Tensor]:
    """Estimates of chunks, of those of one shape several at once."""
    found: list[Tensor | None] = [None] * len(cut)
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, (_, chunk, _) in enumerate(cut):
        by_shape.setdefault(tuple(chunk.shape), []).append(place)
    for places in by_shape.values():
        for first in range(0, len(places), net.cut.batch):
            group = places[first : first + net.cut.batch]
            batch = torch.stack([cut[place][1] for place in group])
            levels = torch.tensor([cut[place][2] for place in group])
            if recompute and torch.is_grad_enabled():
                estimates: Any = checkpoint(net.estimate, batch, levels, use_reentrant=False)
            else:
                estimates = net.estimate(batch, levels)
            for place, one in zip(group, estimates.float().unbind(0), strict=True):
                found[place] = one
    return [one for one in found if one is not None]


def _joined(estimates: Sequence[Tensor], plan: _Plan) -> Tensor:
    """The output [sources, channels, samples] that a plan's chunks give together."""
    first, last = plan.low
    if not plan.faded:
        (whole,) = estimates
        start = plan.starts[0]
        return whole[..., first - start : last - start]
    window = chunks.fade(plan.lengths[0]).to(estimates[0].device)
    weights = torch.zeros(last - first, device=window.device)
    for start in plan.starts:
        _add(weights, window, start - first)
    starts = [start - first for start in plan.starts]
    sums = _Join.apply(last - first, starts, *(one * window for one in estimates))
    return sums / weights


def _add(into: Tensor, part: Tensor, at: int) -> None:
    """Add […, n] to […, samples] from a place on, which may lie before its start."""
    first, last = max(0, at), min(into.shape[-1], at + part.shape[-1])
    if first < last:
        into[..., first:last] += part[..., first - at : last - at]


def _taken(signal: Tensor, at: int, size: int) -> Tensor:
    """[…, size] of a signal from a place on; zeros outside it."""
    first, last = max(0, at), min(signal.shape[-1], at + size)
    part = signal[..., first : max(first, last)]
    return torch.nn.functional.pad(part, (first - at, at + size - max(first, last)))


class _Cut(torch.autograd.Function):
    """A signal → chunks of it; autograd's own slices would each give a gradient of its length."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, starts: list[int], lengths: list[int]) -> Any:
        ctx.starts, ctx.shape = starts, signal.shape
        places = zip(starts, lengths, strict=True)
        return tuple(_taken(signal, start, size) for start, size in places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].new_zeros(ctx.shape)
        for start, gradient in zip(ctx.starts, gradients, strict=True):
            _add(total, gradient, start)
        return total, None, None


class _Join(torch.autograd.Function):
    """Chunks added up; the transpose of `_Cut`."""

    @staticmethod
    def forward(ctx: Any, samples: int, starts: list[int], *parts: Tensor) -> Tensor:
        ctx.starts, ctx.sizes = starts, [part.shape[-1] for part in parts]
        total = parts[0].new_zeros(*parts[0].shape[:-1], samples)
        for start, part in zip(starts, parts, strict=True):
            _add(total, part, start)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        places = zip(ctx.starts, ctx.sizes, strict=True)
        return None, None, *(_taken(gradient, start, size) for start, size in places)
