"""How loud a perturbation is beside its mixture: STPR (eq. 3), DI_SDR (eq. 6), and controls."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.models import metrics

FRAME = 4096  # samples, l of eq. 3; frames do not overlap
SILENCE_DB = -90.0  # mean power re full scale at and below which a frame hides nothing
MEDIAN, WHOLE = "median", "whole"  # of museval's 1 s frames, as in the paper; of all samples
START = 0.01  # the first perturbation is uniform noise within ± this (5.1)


def norms(samples: Tensor) -> Tensor:
    """ϑ of [channels, samples]: the l2 norm of each frame, over its channels, [frames].

    The last frame is padded, or its samples would be under no constraint.
    """
    padded = torch.nn.functional.pad(samples, (0, -samples.shape[-1] % FRAME))
    return torch.linalg.vector_norm(padded.unflatten(-1, (-1, FRAME)), dim=(0, 2))


def audible(mixture: Tensor) -> Tensor:
    """The frames that can hide a perturbation: bool [frames]; there is none in silence."""
    samples = mixture.shape[0] * FRAME
    return norms(mixture) > (samples * 10 ** (SILENCE_DB / 10)) ** 0.5


def open_samples(mixture: Tensor) -> Tensor:
    """1 where a perturbation may be, 0 where the mixture is silent: float32 [samples]."""
    return audible(mixture).float().repeat_interleave(FRAME)[: mixture.shape[-1]]


def stpr(perturbation: Tensor, mixture: Tensor) -> Tensor:
    """The power ratio of each frame that is not silent, ‖ν_n‖ / ‖x_n‖; their sum is C of eq. 3."""
    heard = audible(mixture)
    return norms(perturbation)[heard] / norms(mixture)[heard]


def profile(perturbation: Tensor, mixture: Tensor) -> list[tuple[int, float]]:
    """(frame, STPR in dB) of the frames that are not silent."""
    heard = audible(mixture).nonzero()[:, 0].tolist()
    ratios = stpr(perturbation, mixture).clamp(min=1e-6).log10().mul(20).tolist()
    return list(zip(heard, ratios, strict=True))


def di_sdr(mixture: Tensor, perturbed: Tensor, sample_rate: int) -> dict[str, float]:
    """The degradation of the input in dB: museval's median of 1 s frames, and that of the whole
    signal; infinite where nothing was added."""
    framed = metrics.frame_sdr(mixture[None], perturbed[None], sample_rate)[0]
    framed = framed[~np.isnan(framed)]
    signal, error = (float(x.double().square().sum()) for x in (mixture, perturbed - mixture))
    whole = 10 * np.log10(signal / error) if error else np.inf
    return {MEDIAN: float(np.median(framed)) if len(framed) else np.nan, WHOLE: float(whole)}


@dataclass(frozen=True)
class Cover:
    """What each iteration needs of a mixture, computed once."""

    norms: Tensor  # of its frames that are not silent
    heard: Tensor  # which frames these are
    energies: Tensor  # of its frames of 1 s, float64
    silent: Tensor  # which of these have no score
    power: float  # of the whole

    @classmethod
    def of(cls, mixture: Tensor, sample_rate: int) -> "Cover":
        """Of [channels, samples]."""
        heard = audible(mixture)
        energies = metrics.energies(mixture[None], sample_rate)[0]
        silent = metrics.silent_frames(mixture[None], mixture[None], sample_rate)
        power = float(energies.sum())
        return cls(norms(mixture)[heard], heard, energies[:-1], silent, power)

    def stpr(self, perturbation: Tensor) -> Tensor:
        """`stpr` of a perturbation of it."""
        return norms(perturbation)[self.heard] / self.norms

    def slope(self, perturbation: Tensor, factor: float) -> tuple[float, Tensor]:
        """C of eq. 3, and its gradient times a factor, ν_n / (‖ν_n‖ ‖x_n‖): that of autograd, for
        half the time. 0 where there is no perturbation."""
        own = norms(perturbation)
        scales = torch.zeros_like(own)
        scales[self.heard] = factor / (own[self.heard] * self.norms).clamp(min=1e-30)
        total = float((own[self.heard] / self.norms).sum())
        padded = torch.nn.functional.pad(perturbation, (0, -perturbation.shape[-1] % FRAME))
        scaled = padded.unflatten(-1, (-1, FRAME)) * scales[:, None]
        return total, scaled.flatten(-2)[..., : perturbation.shape[-1]]

    def di_sdr(self, perturbation: Tensor, sample_rate: int) -> dict[str, float]:
        """`di_sdr` of it with a perturbation."""
        errors = metrics.energies(perturbation[None], sample_rate)[0]
        framed = 10 * torch.log10(self.energies / errors[:-1])[~self.silent].numpy()
        total = float(errors.sum())
        whole = 10 * float(np.log10(self.power / total)) if total else np.inf
        return {MEDIAN: float(np.median(framed)) if len(framed) else np.nan, WHOLE: whole}


def start(mixture: Tensor, seed: int) -> Tensor:
    """The first perturbation of a song (5.1)."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(mixture.shape, generator=generator) * 2 - 1
    return START * uniform * open_samples(mixture)


def random_like(perturbation: Tensor, mixture: Tensor, seed: int = 0) -> Tensor:
    """A control: white noise with a perturbation's STPR profile."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(perturbation.shape, generator=generator)
    return levelled(noise, perturbation, mixture)


def levelled(noise: Tensor, perturbation: Tensor, mixture: Tensor) -> Tensor:
    """Any noise, such as another song's perturbation, with this one's STPR profile: repeated or cut
    to its length, with its level in each frame."""
    channels, samples = perturbation.shape
    repeats = -(-samples // noise.shape[-1])
    noise = noise[torch.arange(channels) % len(noise)].repeat(1, repeats)[:, :samples]
    factors = norms(perturbation) / norms(noise).clamp(min=1e-12)
    factors = factors * audible(mixture)
    return noise * factors.repeat_interleave(FRAME)[:samples]
