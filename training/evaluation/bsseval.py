"""BSS Eval on the device: SDR, ISR, SIR and SAR as `museval` and `mir_eval` define them.

An estimate is split into a target, a spatial (filtering) part, interference and artifacts by least
squares: onto 512 delays of the true source, and of all true sources (Vincent et al. 2006; thesis
2.6.1). Filters come from correlations that are added up block by block, and all energies are sums
over spectra, so that a song's frames are scored at once and no filtered signal is made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.models.metrics import in_frames, silent_frames

TAPS = 512  # of the distortion filters
BLOCK = 2**14 - TAPS + 1  # samples that are correlated at once
COPY = 1e-12  # 1 minus the squared correlation of signals that count as copies
GROUP_BYTES = 256 << 20  # of spectra that a GPU works on at once
CACHED_BYTES = 4 << 20  # likewise a CPU, whose cache they shall fit


@dataclass(frozen=True)
class Ratios:
    """Scores in dB, float64: [sources, frames], or [sources] of a whole signal. NaN where a source
    or an estimate is silent; there is no ISR where the filtered source is what counts as true."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray
    isr: np.ndarray | None = None


@torch.inference_mode()
def bss_eval(references: Tensor, estimates: Tensor, window: int) -> Ratios:
    """BSS Eval v4, as `museval`: filters of the whole song, scores of windows side by side.

    Args:
        references: [sources, channels, samples], none of them silent throughout.
        estimates: of that shape.
        window: samples of a frame, in practice those of 1 s. What is left at the end is not
            scored; a song shorter than a window is one frame.

    As in `museval`, a frame is NaN for all sources where the channels of one reference or estimate
    sum to silence. Raises ValueError where shapes differ.
    """
    references, estimates = _doubles(references, estimates)
    sources, channels, samples = references.shape
    window = min(window, samples)
    flat = references.flatten(0, 1)  # [sources * channels, samples]
    found = correlations(flat, estimates.flatten(0, 1))
    everyone, n_fft = range(len(flat)), fast_length(window + TAPS - 1)
    every = torch.fft.rfft(_filters(found, everyone, everyone), n_fft)
    groups = [_places(source, channels) for source in range(sources)]
    own = [torch.fft.rfft(_filters(found, group, group), n_fft) for group in groups]
    energies = [
        _energies(X, E, every, own, channels)
        for X, E in zip(
            _frames(references, window, n_fft), _frames(estimates, window, n_fft), strict=True
        )
    ]
    s, distortion, spatial, filtered, interference, projected, artifacts = torch.cat(energies, -1)
    silent = silent_frames(references, estimates, window)
    return Ratios(
        sdr=_decibels(s, distortion, silent),
        sir=_decibels(filtered, interference, silent),
        sar=_decibels(projected, artifacts, silent),
        isr=_decibels(s, spatial, silent),
    )


@torch.inference_mode()
def bss_eval_sources(references: Tensor, estimates: Tensor) -> Ratios:
    """BSS Eval v3 for single channels, as `mir_eval`: one score for a whole signal, in which the
    filtered source counts as the true one.

    references, estimates: [sources, samples], no reference silent throughout. Every estimate is
    held against the source in its place. A silent estimate is NaN. Raises ValueError where shapes
    differ.
    """
    references, estimates = _doubles(references, estimates)
    found = correlations(references, estimates)
    power = estimates.square().sum(-1)
    every = _filters(
        found, range(len(references)), range(len(references))
    )  # [estimates, sources, taps]
    rows = []
    for j in range(len(references)):
        # Of projections, energies are quadratic forms of the filters.
        own = torch.zeros_like(every[j])
        own[j] = _filters(found, [j], [j])[0, 0]
        filtered = found.energy(own)
        cross = found.with_estimate(own, j)
        interference = found.energy(every[j] - own)
        distortion = power[j] - 2 * cross + filtered
        projected = found.energy(every[j])
        artifacts = power[j] - 2 * found.with_estimate(every[j], j) + projected
        rows.append(torch.stack((filtered, distortion, interference, projected, artifacts)))
    filtered, distortion, interference, projected, artifacts = torch.stack(rows, dim=-1)
    silent = power == 0
    return Ratios(
        sdr=_decibels(filtered, distortion, silent),
        sir=_decibels(filtered, interference, silent),
        sar=_decibels(projected, artifacts, silent),
    )


@dataclass(frozen=True)
class Correlations:
    """Of references with references and estimates: `of[r, x, l]` is Σ r[n] x[n + l]."""

    of: Tensor  # float64 [references, references + estimates, taps]

    def matrix(self, rows: Sequence[int]) -> Tensor:
        """Inner products of all delays of some references, [rows * taps, rows * taps]."""
        count = len(rows)
        between = self.of[list(rows)][:, list(rows)]  # [rows, rows, taps]
        lags = torch.arange(TAPS, device=between.device)
        apart = lags[:, None] - lags  # of a row's delay from a column's
        later = between[:, :, apart.clamp(min=0)]
        earlier = between.transpose(0, 1)[:, :, (-apart).clamp(min=0)]
        blocks = torch.where(apart >= 0, later, earlier)  # [rows, rows, taps, taps]
        return blocks.transpose(1, 2).reshape(count * TAPS, count * TAPS)

    def independent(self, rows: Sequence[int]) -> list[int]:
        """Those references that are neither silent nor a multiple of one before them."""
        powers = self.of[:, :, 0].tolist()
        kept: list[int] = []
        for row in rows:
            copies = any(
                powers[row][k] ** 2 >= (1 - COPY) * powers[row][row] * powers[k][k] for k in kept
            )
            if powers[row][row] > 0 and not copies:
                kept.append(row)
        return kept

    def energy(self, filters: Tensor) -> Tensor:
        """Of the sum of all references through filters [references, taps]."""
        n_fft = 4 * TAPS
        spectra = torch.fft.rfft(filters, n_fft)
        auto = torch.fft.irfft(spectra[:, None].conj() * spectra[None], n_fft)
        later = (auto[..., :TAPS] * self.of[:, : len(filters)].transpose(0, 1)).sum()
        earlier = (auto[..., 1 - TAPS :].flip(-1) * self.of[:, : len(filters), 1:]).sum()
        return later + earlier

    def with_estimate(self, filters: Tensor, estimate: int) -> Tensor:
        """The inner product of that sum and an estimate."""
        return (filters * self.of[:, len(filters) + estimate]).sum()


def correlations(references: Tensor, estimates: Tensor) -> Correlations:
    """Over all delays of a filter; signals float64 [count, samples]."""
    samples = references.shape[-1]
    block = min(BLOCK, samples)
    n_fft = fast_length(block + TAPS - 1)
    total: Tensor | None = None
    for start in range(0, samples, block):
        ahead = slice(start, start + block + TAPS - 1)
        later = torch.fft.rfft(torch.cat((references[:, ahead], estimates[:, ahead])), n_fft)
        now = torch.fft.rfft(references[:, start : start + block], n_fft)
        products = now[:, None].conj() * later
        total = products if total is None else total.add_(products)
    assert total is not None
    return Correlations(torch.fft.irfft(total, n_fft)[..., :TAPS])


def fast_length(samples: int) -> int:
    """The least length, at least so many samples, that has no prime factor above 5."""
    powers = [2**a * 3**b * 5**c for a in range(25) for b in range(10) for c in range(8)]
    return min(length for length in powers if length >= samples)


def _doubles(references: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    if references.shape != estimates.shape:
        raise ValueError(f"references are {references.shape} and estimates {estimates.shape}")
    return references.double(), estimates.double()


def _places(source: int, channels: int) -> range:
    return range(source * channels, (source + 1) * channels)


def _filters(found: Correlations, rows: Sequence[int], estimates: Sequence[int]) -> Tensor:
    """The filters that bring references nearest to estimates: [estimates, references, taps].

    A reference that is another one's copy adds nothing, so its filter is 0 (vocals are often the
    same in both channels, and with both of them the equations would have no one solution).
    """
    chosen = [len(found.of) + e for e in estimates]
    kept = found.independent(rows)
    wanted = found.of[kept][:, chosen].transpose(1, 2).flatten(0, 1)  # [kept * taps, estimates]
    matrix = found.matrix(kept)
    matrix.diagonal().add_(torch.finfo(torch.float64).eps)  # as museval
    solved, status = torch.linalg.solve_ex(matrix, wanted)
    if int(status):
        solved = torch.linalg.lstsq(matrix, wanted).solution
    filters = found.of.new_zeros(len(estimates), len(rows), TAPS)
    filters[:, [rows.index(row) for row in kept]] = solved.T.unflatten(1, (len(kept), TAPS))
    return filters


def _frames(signals: Tensor, window: int, n_fft: int) -> Iterator[Tensor]:
    """Spectra of frames side by side, [sources, channels, frames, bins], a group at a time.

    Scaled so that the sum of their squares is `n_fft` times that of the samples.
    """
    weights = torch.full((n_fft // 2 + 1,), 2**0.5, dtype=torch.float64, device=signals.device)
    weights[0] = 1
    if n_fft % 2 == 0:
        weights[-1] = 1
    whole = in_frames(signals, window)
    held = CACHED_BYTES if signals.device.type == "cpu" else GROUP_BYTES
    group = max(1, held // (signals.shape[0] * signals.shape[1] * n_fft * 8))
    for first in range(0, whole.shape[-2], group):
        yield torch.fft.rfft(whole[:, :, first : first + group], n_fft) * weights


def _energies(X: Tensor, E: Tensor, every: Tensor, own: list[Tensor], channels: int) -> Tensor:
    """Of the parts of every estimate in every frame, [7, sources, frames]."""
    rows = []
    for j, filters in enumerate(own):
        target = X[j]
        filtered = _through(X[j], filters)
        projected = _through(X.flatten(0, 1), every[list(_places(j, channels))])
        parts = [_energy(target), _energy(E[j] - target), _energy(filtered - target)]
        parts += [_energy(filtered), _energy(projected - filtered)]
        parts += [_energy(projected), _energy(projected.sub_(E[j]))]
        rows.append(torch.stack(parts))
    return torch.stack(rows, dim=1)


def _energy(spectra: Tensor) -> Tensor:
    """[channels, frames, bins] → [frames]."""
    flat = torch.view_as_real(spectra).flatten(-2)
    return torch.linalg.vector_norm(flat, dim=-1).square().sum(0)


def _through(X: Tensor, filters: Tensor) -> Tensor:
    """Spectra [references, frames, bins] through filters [channels, references, bins], summed."""
    found = filters[:, 0, None] * X[0]
    for r in range(1, len(X)):
        found.addcmul_(filters[:, r, None], X[r])
    return found


def _decibels(signal: Tensor, error: Tensor, silent: Tensor) -> np.ndarray:
    ratios = 10 * torch.log10(signal / error.clamp(min=0))
    return ratios.masked_fill(silent, torch.nan).cpu().numpy()
