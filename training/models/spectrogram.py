"""Short-time Fourier transforms that invert exactly at any length, and the model's 512 of 513 bins.

The thesis (4.2.2) uses a Hann window of 1024 and a hop of 768, so that neighbouring frames share
only 256 samples. The inverse divides by the sum of squared windows, which is nowhere below 0.042
as long as a frame is centred on or after the last sample; hence the padding at the end.
"""

from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor


class Waveform(Protocol):
    """float32 [channels, samples], in memory (a Tensor) or on a disk; sliced but never copied."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, channels_and_samples: tuple[slice, slice]) -> Tensor: ...


def frame_count(samples: int, hop_length: int) -> int:
    """Frames of a signal: one centred on every multiple of the hop, up to or past the last sample.

    One more than torch.stft has at most lengths: without it, up to 255 samples at the end would
    lie under no window.
    """
    return 1 + -(-samples // hop_length)


def stft(samples: Tensor, n_fft: int, hop_length: int, *, root: bool = False) -> Tensor:
    """[..., samples] → complex [..., n_fft / 2 + 1, frames]; frame t is centred on t * hop_length.

    The signal counts as zero before its start and after its end. `root`: with the square root of
    the Hann window.
    """
    flat = samples.reshape(-1, samples.shape[-1])
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[-1] % hop_length))
    spectrum = torch.stft(
        flat,
        n_fft,
        hop_length,
        window=_hann(n_fft, samples.device, root),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.reshape(*samples.shape[:-1], *spectrum.shape[-2:])


def istft(
    spectrum: Tensor, n_fft: int, hop_length: int, samples: int, *, root: bool = False
) -> Tensor:
    """Complex [..., n_fft / 2 + 1, frames] → [..., samples], the inverse of `stft`."""
    flat = torch.istft(
        spectrum.reshape(-1, *spectrum.shape[-2:]),
        n_fft,
        hop_length,
        window=_hann(n_fft, spectrum.device, root),
        center=True,
        length=samples,
    )
    return flat.reshape(*spectrum.shape[:-2], samples)


def stft_part(samples: Waveform, first: int, last: int, n_fft: int, hop_length: int) -> Tensor:
    """Frames first…last - 1 of `stft`, from a signal that may be too long to transform whole.

    Returns: complex [channels, n_fft / 2 + 1, last - first].
    """
    start, stop = first * hop_length - n_fft // 2, (last - 1) * hop_length + n_fft // 2
    total = samples.shape[-1]
    part = samples[:, max(0, start) : max(0, min(total, stop))]
    part = torch.nn.functional.pad(part, (max(0, -start), max(0, stop - max(total, start))))
    return torch.stft(
        part,
        n_fft,
        hop_length,
        window=_hann(n_fft, part.device),
        center=False,
        return_complex=True,
    )


class OverlapAdd:
    """`istft` for a spectrum that comes in pieces: nothing is lost or doubled at their edges."""

    def __init__(self, n_fft: int, hop_length: int) -> None:
        self.n_fft, self.hop_length = n_fft, hop_length
        self.waiting: Tensor | None = None  # [channels + 1, samples] that later frames still reach
        self.early = n_fft // 2  # samples before time 0, to be dropped

    def add(self, spectrum: Tensor) -> Tensor:
        """The next frames, [channels, bins, frames] → the samples they complete."""
        window = _hann(self.n_fft, spectrum.device)
        pieces = torch.fft.irfft(spectrum, self.n_fft, dim=1) * window[:, None]
        # The squared windows go along as one more channel.
        weights = (window**2)[None, :, None].expand(1, -1, spectrum.shape[-1])
        pieces = torch.cat((pieces, weights))  # [channels + 1, n_fft, frames]
        length = (spectrum.shape[-1] - 1) * self.hop_length + self.n_fft
        sums = torch.nn.functional.fold(
            pieces, (1, length), kernel_size=(1, self.n_fft), stride=(1, self.hop_length)
        )[:, 0, 0]
        if self.waiting is not None:
            sums[:, : self.waiting.shape[-1]] += self.waiting
        done = spectrum.shape[-1] * self.hop_length
        self.waiting = sums[:, done:]
        return self._finish(sums[:, :done])

    def end(self) -> Tensor:
        """The samples that the last frames reach alone."""
        assert self.waiting is not None
        return self._finish(self.waiting)

    def _finish(self, sums: Tensor) -> Tensor:
        cut = min(self.early, sums.shape[-1])
        self.early -= cut
        return sums[:-1, cut:] / sums[-1:, cut:].clamp(min=1e-6)


def drop_bin(magnitude: Tensor) -> Tensor:
    """[..., 513, frames] → [..., 512, frames]: without the highest bin, half the sample rate.

    The U-Net halves the bins six times, so it wants 512. The resampler's filter has emptied the
    highest bin, and without it bin k still means frequency k * sample_rate / n_fft.
    """
    return magnitude[..., :-1, :]


def restore_bin(mask: Tensor) -> Tensor:
    """[..., 512, frames] → [..., 513, frames]: the missing bin gets its neighbour's mask."""
    return torch.cat((mask, mask[..., -1:, :]), dim=-2)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # the window may serve training later
def _hann(length: int, device: torch.device, root: bool = False) -> Tensor:
    window = torch.hann_window(length, device=device)
    return window.sqrt() if root else window
