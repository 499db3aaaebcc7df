"""Nets for spectrograms, as `stemlode export` writes them, wrapped to take waveforms."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training.models import filterbank, spectrogram

FACTS = ("n_fft", "hop", "bins", "parts", "bands", "window", "divided_by", "recipe", "step")
# What is for programs that have nothing of ours.
FURTHER = (
    *("dims", "padding", "phase", "mask", "channels_seen", "inverted", "divisor", "filters"),
    *("chunks", "separated", "stems"),
)
PARTS = (["real", "imaginary"], ["magnitude"])
PARTS_MASK, ROOT = "parts", "square root of hann"  # of nets for subbands
Net = Callable[[Tensor], Any]


def check(facts: Mapping[str, Any], beside: str) -> None:
    """Raise BadUsage if a description is not that of a net that can be a teacher."""
    counts = [facts.get(name) for name in ("n_fft", "hop", "bins")]
    if not all(type(count) is int and 0 < count <= 1 << 16 for count in counts):
        raise BadUsage(f"{beside}: n_fft, hop and bins are {counts}, not counts")
    n_fft, hop, bins = (facts[name] for name in ("n_fft", "hop", "bins"))
    if n_fft % 2 or hop >= n_fft or bins not in (n_fft // 2, n_fft // 2 + 1):
        raise BadUsage(f"{beside}: n_fft {n_fft}, hop {hop} and bins {bins} do not go together")
    if _of_subbands(facts):
        bands = facts["bands"]
        held = len(facts["parts"]) if isinstance(facts.get("parts"), list) else 0
        known = bands in (1, *filterbank.BETAS) and held == 4 * bands and bins == n_fft // 2
        if not known or (facts.get("mask"), facts.get("window")) != (PARTS_MASK, ROOT):
            raise BadUsage(f"{beside}: bands {bands}, parts, mask or window do not go together")
        return
    if facts.get("parts") not in PARTS or facts.get("window", "hann") != "hann":
        raise BadUsage(f"{beside}: parts {facts.get('parts')} or window are unknown")


def _of_subbands(facts: Mapping[str, Any]) -> bool:
    """Whether a net sees the subbands of both channels together (`training.models.cws`)."""
    return facts.get("bands", 1) != 1 or facts.get("channels", 1) != 1


def waveforms(net: Net, facts: Mapping[str, Any]) -> Net:
    """A net for spectrograms [batch, parts, bins, frames] → masks [batch, sources, parts, bins,
    frames] as one for waveforms [batch, channels, samples] → [batch, sources, channels, samples].

    Each channel is an item of the batch. If the net sees one bin less than there are, the highest
    bin takes the mask of the one below. If the net wants magnitudes divided by the largest of a
    song, each item is divided by its own largest.
    """
    n_fft, hop, bins = (facts[name] for name in ("n_fft", "hop", "bins"))
    if _of_subbands(facts):
        return _subbands(net, facts["bands"], n_fft, hop)
    is_complex = facts["parts"] == PARTS[0]
    divided = facts.get("divided_by", 1) != 1

    def call(mixture: Tensor) -> Tensor:
        spectrum = spectrogram.stft(mixture.flatten(0, 1), n_fft, hop)  # [items, bins, frames]
        seen = spectrum[:, :bins]
        given = torch.view_as_real(seen).permute(0, 3, 1, 2) if is_complex else seen.abs()[:, None]
        if divided:
            given = given / given.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        found = net(given).to(spectrum.device)  # [items, sources, parts, bins, frames]
        if bins < spectrum.shape[1]:
            found = torch.cat([found, found[..., -1:, :]], dim=-2)
        mask = torch.complex(found[:, :, 0], found[:, :, 1]) if is_complex else found[:, :, 0]
        waves = spectrogram.istft(spectrum[:, None] * mask, n_fft, hop, mixture.shape[-1])
        return waves.unflatten(0, mixture.shape[:2]).transpose(1, 2)

    return call


def _subbands(net: Net, bands: int, n_fft: int, hop: int) -> Net:
    """The same of a net for channel-wise subbands, as `CWSRecipe.estimate`."""

    def call(mixture: Tensor) -> Tensor:
        def estimate(stereo: Tensor) -> Tensor:
            spectra = filterbank.spectra(stereo, bands, n_fft, hop)
            masks = net(spectrogram.drop_bin(spectra)).to(spectra.device)
            masked = spectra[:, None] * spectrogram.restore_bin(masks)
            return filterbank.waveforms(masked, bands, n_fft, hop, mixture.shape[-1])

        return filterbank.in_stereo(mixture, estimate)

    return call
