"""Equivariant shifts (Défossez et al. 2019, Demucs): a song is separated several times, each time a
little later, and the estimates are moved back and averaged.

There the shifts are random, up to half a second. Here pass k of n begins k / n of half a second
late, so that the same command gives the same bytes.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from training.models.spectrogram import Waveform
from training.separation.streams import Taken

LONGEST_S = 0.5
_BLOCK = 1 << 16  # samples


class Later:
    """A signal with silence in front of it."""

    def __init__(self, signal: Waveform, silence: int) -> None:
        self.signal, self.silence = signal, silence
        self.shape = (*signal.shape[:-1], signal.shape[-1] + silence)

    def __getitem__(self, channels_and_samples: tuple[slice, slice]) -> Tensor:
        channels, samples = channels_and_samples
        first, last, _ = samples.indices(self.shape[-1])
        last = max(first, last)
        held = slice(max(0, first - self.silence), max(0, last - self.silence))
        before = max(0, min(last, self.silence) - first)
        return torch.nn.functional.pad(self.signal[channels, held], (before, 0))


def averaged(
    signal: Waveform,
    sample_rate: int,
    passes: int,
    separate: Callable[[Waveform], Iterator[Tensor]],
) -> Iterator[Tensor]:
    """A song [channels, samples] → blocks of the mean of its estimates, [sources, channels,
    samples], in turn, as `separate` gives them."""
    silences = [round(k * LONGEST_S * sample_rate / passes) for k in range(passes)]
    total = signal.shape[-1]
    with contextlib.ExitStack() as stack:
        running = []
        for silence in silences:
            blocks = separate(Later(signal, silence) if silence else signal)
            stack.callback(getattr(blocks, "close", lambda: None))
            parts = Taken(block.flatten(0, 1).numpy() for block in blocks)
            for first in range(0, silence, _BLOCK):
                parts.next(min(_BLOCK, silence - first))
            running.append(parts)
        for first in range(0, total, _BLOCK):
            count = min(_BLOCK, total - first)
            mean = np.mean([parts.next(count) for parts in running], axis=0, dtype=np.float32)
            yield torch.from_numpy(mean).unflatten(0, (-1, signal.shape[0]))
