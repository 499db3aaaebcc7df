"""Nets for spectrograms, as `stemlode export` writes them, wrapped to take waveforms."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training.models import spectrogram

FACTS = ("n_fft", "hop", "bins", "parts", "bands", "window", "divided_by", "recipe", "step")
# What is for programs that have nothing of ours.
FURTHER = (
    *("dims", "padding", "phase", "mask", "channels_seen", "inverted", "divisor", "filters"),
    *("chunks", "separated", "stems"),
)
PARTS = (["real", "imaginary"], ["magnitude"])
Net = Callable[[Tensor], Any]


def check(facts: Mapping[str, Any], beside: str) -> None:
    """Raise BadUsage if a description is not that of a net that can be a teacher."""
    counts = [facts.get(name) for name in ("n_fft", "hop", "bins")]
    if not all(type(count) is int and 0 < count <= 1 << 16 for count in counts):
        raise BadUsage(f"{beside}: n_fft, hop and bins are {counts}, not counts")
    n_fft, hop, bins = (facts[name] for name in ("n_fft", "hop", "bins"))
    if n_fft % 2 or hop >= n_fft or bins not in (n_fft // 2, n_fft // 2 + 1):
        raise BadUsage(f"{beside}: n_fft {n_fft}, hop {hop} and bins {bins} do not go together")
    if facts.get("bands", 1) != 1 or facts.get("channels", 1) != 1:
        raise BadUsage(f"{beside}: a net of subbands or of two channels: take its checkpoint")
    if facts.get("parts") not in PARTS or facts.get("window", "hann") != "hann":
        raise BadUsage(f"{beside}: parts {facts.get('parts')} or window are unknown")


def waveforms(net: Net, facts: Mapping[str, Any]) -> Net:
    """A net for spectrograms [batch, parts, bins, frames] → masks [batch, sources, parts, bins,
    frames] as one for waveforms [batch, channels, samples] → [batch, sources, channels, samples].

    Each channel is an item of the batch. If the net sees one bin less than there are, the highest
    bin takes the mask of the one below. If the net wants magnitudes divided by the largest of a
    song, each item is divided by its own largest.
    """
    n_fft, hop, bins = (facts[name] for name in ("n_fft", "hop", "bins"))
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
