"""Passes that begin later are moved back: what does not change with time stays as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training import checkpoint
from training.models.spectrogram import Waveform
from training.recipes.chunks import Chunking
from training.separation import command, shifts
from training.separation.separate import estimates


def _by_blocks(signal: Waveform) -> Iterator[Tensor]:
    """Twice the signal, in blocks of odd sizes."""
    at = 0
    for size in [*([777, 50_001] * 9), signal.shape[-1]]:
        block = signal[:, at : at + size]
        at += size
        if block.shape[-1]:
            yield 2 * block[None]


@pytest.mark.parametrize("passes", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 300, 70_000])
def test_the_mean_of_shifted_passes_is_in_place(passes: int, samples: int) -> None:
    song = torch.randn(2, samples)
    found = torch.cat([*shifts.averaged(song, 16_000, passes, _by_blocks)], dim=-1)
    assert torch.allclose(found, 2 * song[None], atol=1e-6)


def test_passes_differ_and_their_mean_is_the_same_every_time(tiny_checkpoint: Path) -> None:
    model = checkpoint.load(str(tiny_checkpoint))
    song = torch.randn(1, 9000) * torch.linspace(0, 1, 9000)

    def by(count: int) -> Tensor:
        cut = Chunking(whole=True, shifts=count)
        return torch.cat([*estimates(song, model, cut)], dim=-1)

    once, thrice = by(1), by(3)
    assert once.shape == thrice.shape and torch.equal(thrice, by(3))
    assert 0 < float((once - thrice).abs().max()) < float(once.abs().max())


def test_an_overlap_is_a_hop() -> None:
    assert Chunking(4.0, overlap=0.75).spread() == Chunking(4.0, 1.0)
    assert Chunking(overlap=0.0).spread().hop_seconds == 3.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--overlap", "1"], "must lie between 0 and 0.99"),
        (["--overlap", "nan"], "must lie between 0 and 0.99"),
        (["--overlap", "0.5", "--fast"], "--fast and --overlap exclude each other"),
        (["--overlap", "0.5", "--hop-seconds", "1"], "--hop-seconds and --overlap exclude"),
        (["--overlap", "0.5", "--chunks", "whole"], "nothing that --overlap could mean"),
        (["--shifts", "0"], "must lie between 1 and 64"),
        (["--shifts", "two"], "--shifts"),
        (["--device", "tpu"], "--device tpu: is none of cpu, .*; this machine has cpu"),
        (["--device", "cuda:77"], "--device cuda:77: .*this machine has cpu"),
        (["--device", "mps"], "--device mps: is not there; this machine has cpu"),
        (["--name", "{stem}.{ext}"], r"needs \{track\}"),
    ],
)
def test_what_cannot_be_is_one_line(words: list[str], said: str, tiny_checkpoint: Path) -> None:
    given = ["a.wav", "--checkpoint", str(tiny_checkpoint), "--output", "/x", *words]
    with pytest.raises(BadUsage, match=said) as caught:
        command.main(given)
    assert "\n" not in str(caught.value)
