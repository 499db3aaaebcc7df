"""From decoded windows to what the net sees: batches, levels, mixing, magnitudes, the loss."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.runs import Failed
from training import corpus, spectrogram
from training.corpus import Corpus, Window, Windows
from training.recipes import Recipe
from training.state import Progress


@dataclass(frozen=True)
class Batch:
    """Waveforms, each divided by the largest magnitude of its song's mixture."""

    sample_ids: list[str]
    mixture: Tensor  # [batch, samples]
    reference: Tensor  # [batch, samples]: the target, or the accompaniment where `residual`
    residual: Tensor  # bool [batch]


def training_batches(
    data: Corpus,
    recipe: Recipe,
    peaks: dict[str, float],
    progress: Progress,
    rejects: dict[str, str],
    *,
    seed: int,
    workers: int,
    cache_bytes: int,
) -> Iterator[Batch]:
    """Batches without end; `progress` says after each one what is used up, `rejects` what failed.

    An epoch's last samples that do not fill a batch are left out, unless they are its only ones.
    """
    windows = Windows(
        data,
        "train",
        recipe,
        seed=seed,
        epoch=progress.epoch,
        skip=progress.position,
        shuffle=True,
        crop=True,
        cache_bytes=cache_bytes,
    )
    items = corpus.loader(windows, workers, ahead=2 * recipe.batch_size)
    skip = progress.position
    while True:
        held: list[Window] = []
        filled, position = skip > 0, 0
        for position, item in enumerate(items, 1):
            if position <= skip:
                continue
            if isinstance(item, Window):
                held.append(item)
            elif item is not None:
                rejects.setdefault(item.key, item.reason)
            if len(held) == recipe.batch_size:
                progress.position = position
                yield batch_of(held, peaks)
                held, filled = [], True
        if held and not filled:
            progress.position = position
            yield batch_of(held, peaks)
        elif not filled:
            raise Failed("the corpus has no sample in its train split that can be used")
        progress.epoch, progress.position, skip = progress.epoch + 1, 0, 0


def batch_of(windows: list[Window], peaks: dict[str, float]) -> Batch:
    """Windows, zero-padded to the longest, at levels at which their song's magnitudes fit [0, 1].

    The whole song decides, as in separation, so that quiet passages stay quiet (thesis 4.2.2).
    """
    scales = [1 / peaks[window.song] if peaks.get(window.song) else 0.0 for window in windows]
    pad = torch.nn.utils.rnn.pad_sequence
    return Batch(
        [window.sample_id for window in windows],
        pad([window.mixture * s for window, s in zip(windows, scales, strict=True)], True),
        pad([window.reference * s for window, s in zip(windows, scales, strict=True)], True),
        torch.tensor([window.residual for window in windows]),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch's tensors on a device."""
    mixture, reference = batch.mixture.to(device), batch.reference.to(device)
    return Batch(batch.sample_ids, mixture, reference, batch.residual.to(device))


def remix(batch: Batch, recipe: Recipe) -> Batch:
    """Vocals change places within the batch, each at a gain of at most ± `remix_db`.

    A few songs teach their own vocals by heart; this shows each accompaniment with many.
    """
    # The draws are made on the CPU, whose random state every resumed run restores.
    order = torch.randperm(len(batch.mixture)).to(batch.mixture.device)
    gain_db = (torch.rand(len(batch.mixture), 1) * 2 - 1) * recipe.remix_db
    gain = (10 ** (gain_db / 20)).to(batch.mixture.device)
    other = batch.mixture - batch.reference
    given = batch.residual[:, None] | (recipe.target == "accompaniment")  # the reference is it
    accompaniment = torch.where(given, batch.reference, other)
    vocals = torch.where(given, other, batch.reference)[order] * gain
    residual = batch.residual | batch.residual[order]
    reference = accompaniment
    if recipe.target == "vocals":
        reference = torch.where(residual[:, None], accompaniment, vocals)
    return Batch(batch.sample_ids, accompaniment + vocals, reference, residual)


def magnitudes(batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The net's input and its target, [batch, 1, n_fft / 2, frames] each.

    Where no isolated vocals exist, their magnitude is the half-wave rectified residual
    max(|X| − |Y|, 0) of mixture and accompaniment (thesis 4.2.2).
    """
    both = torch.stack((batch.mixture, batch.reference), dim=1)  # [batch, 2, samples]
    spectrum = spectrogram.stft(both, recipe.n_fft, recipe.hop_length)
    frames = batch.mixture.shape[-1] // recipe.hop_length  # without the one past the end
    magnitude = spectrogram.drop_bin(spectrum.abs())[..., : max(1, frames)]
    mixture, reference = magnitude[:, :1], magnitude[:, 1:]
    rectified = torch.relu(mixture - reference)
    return mixture, torch.where(batch.residual[:, None, None, None], rectified, reference)


def l1(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 4.2 of the thesis, the sum over bins and frames: [batch, …] → [batch]."""
    return (target - estimate).abs().flatten(1).sum(1)
