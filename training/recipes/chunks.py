"""Estimates for signals of any length, from overlapping chunks that are cross-faded.

Chunks of T seconds begin every P seconds (BSRNN IV-C: T = 3, P = 0.5), the first T − P before the
signal, so that every sample lies in T / P chunks. The printed padding of L − P can only be T − P.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.models.spectrogram import Waveform

Estimator = Callable[[Tensor], Tensor]  # [batch, channels, samples] → [batch, …, samples]


@dataclass(frozen=True)
class Chunking:
    """How a signal is cut: seconds of a chunk, seconds between starts, chunks computed at once."""

    seconds: float = 3.0
    hop_seconds: float = 0.5
    batch: int = 4


def overlap_add(
    signal: Waveform, sample_rate: int, estimate: Estimator, chunking: Chunking
) -> Iterator[Tensor]:
    """A signal [channels, samples] through `estimate`: blocks [sources, channels, samples] in turn.

    Chunks are weighted by a Hann window and divided by the sum of the weights, so nothing clicks at
    their edges. Memory does not grow with the signal.
    """
    length = max(2, round(chunking.seconds * sample_rate))
    hop = min(length, max(1, round(chunking.hop_seconds * sample_rate)))
    total = signal.shape[-1]
    # Nowhere 0, so that the edges count also if chunks do not overlap.
    window = torch.hann_window(length + 2, periodic=False)[1:-1] + 1e-3
    starts = range(hop - length, total, hop)
    sums: Tensor | None = None  # [sources, channels, length]: what later chunks still reach
    weights = torch.zeros(length)
    for first in range(0, len(starts), chunking.batch):
        group = starts[first : first + chunking.batch]
        batch = torch.stack([_piece(signal, start, length) for start in group])
        for start, found in zip(group, estimate(batch).float().cpu(), strict=True):
            sums = torch.zeros_like(found) if sums is None else sums
            sums += found * window
            weights += window
            done = sums[..., :hop] / weights[:hop]
            yield done[..., max(0, -start) : max(0, total - start)]
            sums = torch.cat((sums[..., hop:], torch.zeros_like(sums[..., :hop])), dim=-1)
            weights = torch.cat((weights[hop:], torch.zeros(hop)))


def _piece(signal: Waveform, start: int, length: int) -> Tensor:
    """[channels, length] from `start`, with zeros before the signal and after its end."""
    total = signal.shape[-1]
    part = signal[:, max(0, start) : max(0, min(total, start + length))]
    before = max(0, -start)
    return torch.nn.functional.pad(part, (before, length - before - part.shape[-1]))
