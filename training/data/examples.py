"""Decoded windows → the batches that a recipe learns from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stemlode.runs import Failed
from stemlode.shards.salience import LEVELS
from training.data import corpus
from training.data.corpus import Corpus, Window, Windows
from training.devices import ALONE, World
from training.recipes.base import Recipe
from training.state import Progress


@dataclass(frozen=True)
class TrainingSet:
    """What a run learns from, and how it is read; the same values give the same batches.

    Examples are mixed on `device`. Each process of `world` takes its share of the samples and of
    each batch.
    """

    corpus: Corpus
    recipe: Recipe
    levels: dict[str, float] | None = None  # by song (`training.data.levels`); None: no division
    seed: int = 0
    workers: int = 0  # processes that decode
    cache_bytes: int = 0  # of decoded samples, for each worker
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    world: World = ALONE
    across: bool = True  # whether pieces that are mixed may cross from one chunk into the next


@dataclass(frozen=True)
class Batch:
    """Waveforms, each divided by its song's level (`Recipe.level`)."""

    sample_ids: list[str]
    mixture: Tensor  # [batch, channels, samples]
    reference: Tensor  # [batch, channels, samples]: the target, or where `residual` what leaves it
    residual: Tensor  # bool [batch]
    # Of the target, float32 [batch, rows, frames]; column t is centred on sample t * hop.
    salience: Tensor | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, sample_ids: list[str], given: Iterable[Tensor]) -> "Batch":
        """The inverse of `given`."""
        mixture, reference, residual, *more = given
        return Batch(sample_ids, mixture, reference, residual, salience=more[0] if more else None)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What a recipe learns from: the salience comes last, if it is there."""
        signals = (self.mixture, self.reference, self.residual)
        return signals if self.salience is None else (*signals, self.salience)


def training_batches(
    training_set: TrainingSet, progress: Progress, rejects: dict[str, str]
) -> Iterator[Batch]:
    """An endless stream of batches of songs as they are. After each batch `progress` says which
    samples are used up, and `rejects` which ones failed.

    The last samples of an epoch are left out if they do not fill a batch, unless there are no
    others.
    """
    recipe, world, peaks = training_set.recipe, training_set.world, training_set.levels
    size = recipe.batch_size // world.size
    windows = Windows(
        training_set.corpus,
        "train",
        recipe,
        seed=training_set.seed,
        epoch=progress.epoch,
        skip=progress.position,
        shuffle=True,
        crop=True,
        cache_bytes=training_set.cache_bytes,
        world=world,
    )
    items = corpus.loader(windows, training_set.workers, ahead=2 * size)
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
            if len(held) == size:
                progress.position = position
                yield batch_of(held, peaks)
                held, filled = [], True
        if held and not filled:
            progress.position = position
            yield batch_of(held, peaks)
        elif not filled:
            raise Failed("the corpus has no sample in its train split that can be used")
        progress.epoch, progress.position, skip = progress.epoch + 1, 0, 0


def batch_of(windows: list[Window], peaks: dict[str, float] | None) -> Batch:
    """Windows, zero-padded to the longest, each divided by the level in `peaks` of its song.

    The level is that of the whole song, as in separation, so quiet passages stay quiet (thesis
    4.2.2). Without `peaks` nothing is divided.
    """
    levels = [1.0 if peaks is None else peaks.get(window.song, 0.0) for window in windows]
    scales = [1 / level if level else 0.0 for level in levels]
    longest = max(window.mixture.shape[-1] for window in windows)

    def stacked(parts: list[Tensor]) -> Tensor:
        whole = torch.zeros(len(parts), len(parts[0]), longest)
        for row, part, scale in zip(whole, parts, scales, strict=True):
            torch.mul(part, scale, out=row[:, : part.shape[-1]])  # one pass over memory
        return whole

    return Batch(
        [window.sample_id for window in windows],
        stacked([window.mixture for window in windows]),
        stacked([window.reference for window in windows]),
        torch.tensor([window.residual for window in windows]),
        salience=_salience([window.salience for window in windows if window.salience is not None]),
    )


def _salience(parts: list[Tensor]) -> Tensor | None:
    """uint8 [rows, frames] each → likelihoods [batch, rows, frames], with zeros after shorter ones;
    None of none."""
    if not parts:
        return None
    whole = torch.zeros(len(parts), len(parts[0]), max(part.shape[1] for part in parts))
    for row, part in zip(whole, parts, strict=True):
        torch.div(part, LEVELS, out=row[:, : part.shape[1]])
    return whole


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch's tensors on a device; a GPU copies them while it computes something else."""

    def moved(tensor: Tensor) -> Tensor:
        if device.type == "cuda" and not tensor.is_cuda:
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    return Batch.of(batch.sample_ids, map(moved, batch.given))


def parts_of(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in so many parts, as equal as can be; fewer where it has fewer examples."""
    chunks = (x.chunk(parts) for x in batch.given)
    start = 0
    for given in zip(*chunks, strict=True):
        ids = batch.sample_ids[start : start + len(given[0])]
        start += len(ids)
        yield Batch.of(ids, given)


def remix(batch: Batch, recipe: Recipe) -> Batch:
    """Targets change places within the batch, at the recipe's random gains.

    With few songs a net learns by heart which vocals belong to which accompaniment; this shows it
    each accompaniment with many vocals.
    """
    # Drawn on the CPU, whose random state is restored when a run resumes.
    device, count = batch.mixture.device, len(batch.mixture)
    order = torch.randperm(count).to(device)
    target_gain, rest_gain = (gain.to(device)[:, None, None] for gain in recipe.gains(count))
    other = batch.mixture - batch.reference
    backing = recipe.target == "accompaniment"  # which stays in place, as the rest does
    given = batch.residual[:, None, None] | backing  # the reference is the rest
    rest = torch.where(given, batch.reference, other) * rest_gain
    target = torch.where(given, other, batch.reference)[order] * target_gain
    if recipe.swaps_channels:
        swapped = (torch.rand(2, count, 1, 1) < 0.5).to(device)
        rest, target = (
            torch.where(swap, part.flip(1), part)
            for swap, part in zip(swapped, (rest, target), strict=True)
        )
    residual = batch.residual | batch.residual[order]
    reference = torch.where(residual[:, None, None] | backing, rest, target)
    salience = None if batch.salience is None else batch.salience[order]
    return Batch(batch.sample_ids, rest + target, reference, residual, salience=salience)
