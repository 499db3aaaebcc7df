"""Short-time Fourier transforms that invert exactly at any length, and the model's 512 of 513 bins.

The thesis (4.2.2) uses a Hann window of 1024 and a hop of 768, so that neighbouring frames share
only 256 samples. The inverse divides by the sum of squared windows, which is nowhere below 0.042
as long as a frame is centred on or after the last sample; hence the padding at the end.
"""

from functools import lru_cache

import torch
from torch import Tensor


def frame_count(samples: int, hop_length: int) -> int:
    """Frames of a signal: one centred on every multiple of the hop, up to or past the last sample.

    One more than torch.stft has at most lengths: without it, up to 255 samples at the end would
    lie under no window.
    """
    return 1 + -(-samples // hop_length)


def stft(samples: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """[..., samples] → complex [..., n_fft / 2 + 1, frames]; frame t is centred on t * hop_length.

    The signal counts as zero before its start and after its end.
    """
    flat = samples.reshape(-1, samples.shape[-1])
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[-1] % hop_length))
    spectrum = torch.stft(
        flat,
        n_fft,
        hop_length,
        window=_hann(n_fft, samples.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.reshape(*samples.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Tensor, n_fft: int, hop_length: int, samples: int) -> Tensor:
    """Complex [..., n_fft / 2 + 1, frames] → [..., samples], the inverse of `stft`."""
    flat = torch.istft(
        spectrum.reshape(-1, *spectrum.shape[-2:]),
        n_fft,
        hop_length,
        window=_hann(n_fft, spectrum.device),
        center=True,
        length=samples,
    )
    return flat.reshape(*spectrum.shape[:-2], samples)


def drop_bin(magnitude: Tensor) -> Tensor:
    """[..., 513, frames] → [..., 512, frames]: without the highest bin, half the sample rate.

    The U-Net halves the bins six times, so it wants 512. The resampler's filter has emptied the
    highest bin, and without it bin k still means frequency k * sample_rate / n_fft.
    """
    return magnitude[..., :-1, :]


def restore_bin(mask: Tensor) -> Tensor:
    """[..., 512, frames] → [..., 513, frames]: the missing bin gets its neighbour's mask."""
    return torch.cat((mask, mask[..., -1:, :]), dim=-2)


@lru_cache(maxsize=8)
def _hann(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, device=device)
