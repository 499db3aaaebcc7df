"""Semi-supervised sampling (BSRNN III-A, Figure 2).

A batch holds signals from two sets. The labelled set gives each example a clean target and a clean
residual, by the simulation of IV-A-2. The unlabelled set gives segments, which a teacher labels: by
the 30 dB rules (`training.teachers.labels`) a segment is a clean residual, a clean target, or
pseudo, which gives a target and a residual. For each example one target and one residual are drawn
from what its labelled signals and its segment gave, independently of each other; scaled, the two
are summed to the mixture. So a source that is heard in few segments is seldom an unlabelled target.

`ratio` is the number of labelled signals for each unlabelled one, where a segment gives one. What
is read depends on the seed and the number of the batch alone; the rest depends on the teacher's
labels.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.data.corpus import Bad, Corpus
from training.data.examples import Batch
from training.data.mixing import Drawn, Draws, loader, mix
from training.devices import ALONE, World
from training.recipes.answers import Mixing
from training.recipes.base import Recipe
from training.state import Progress
from training.teachers import labels
from training.teachers.labels import Labels


@dataclass(frozen=True)
class Side:
    """Where an example's target, or its residual, comes from; drawn before the teacher labels."""

    unlabelled: bool  # if the unlabelled segments give such a signal
    pick: float  # in [0, 1): which of them
    gain: float  # of an unlabelled one; 0 where it is left out


@dataclass(frozen=True)
class Segment:
    """A stretch of unlabelled music at its true level, [channels, samples]."""

    name: str
    mixture: Tensor
    target: Tensor | None = None  # if a teacher labelled it before
    outcome: int = labels.PSEUDO  # likewise, a place in labels.OUTCOMES
    confidence: float = 1.0


class SegmentSource(Protocol):
    """The unlabelled set, as worker processes draw from it."""

    def draw(
        self, rng: random.Random, shape: tuple[int, int], rate: int, rejects: list[Bad]
    ) -> Segment:
        """A random segment of `shape`, [channels, samples], at `rate` in Hz. What cannot be read
        is noted in `rejects` and skipped; Failed if that happens many times in a row."""


@dataclass(frozen=True)
class Gathered:
    """What a worker process read for a batch."""

    labelled: Drawn
    sides: list[tuple[Side, Side]]  # target and residual of each example
    segments: list[Segment]
    rejects: list[Bad]


@dataclass(frozen=True)
class UnlabelledBatch(Batch):
    """The labelled batch, not yet scaled to a peak, and the segments that may replace signals."""

    sides: list[tuple[Side, Side]]
    segments: list[Segment]


Given = tuple[str, Tensor]


@dataclass(frozen=True)
class Pools:
    """What unlabelled segments give: signals [channels, samples] with their segments' names, by
    segment; None where a segment gives no such signal."""

    targets: list[Given | None] = field(default_factory=list)
    residuals: list[Given | None] = field(default_factory=list)


def sides(
    mixing: Mixing, ratio: float, seed: int, number: int
) -> tuple[tuple[Side, Side], random.Random]:
    """The sides of example `number` of a run, and the random numbers that follow."""
    rng = random.Random(f"{seed} {number} unlabelled")

    def side() -> Side:
        wanted = rng.random() < 1 / (1 + ratio)
        pick, gain_db = rng.random(), rng.uniform(-mixing.gain_db, mixing.gain_db)
        dropped = rng.random() < mixing.drop
        return Side(wanted, pick, 0.0 if dropped else 10 ** (gain_db / 20))

    return (side(), side()), rng


class Gathering(Dataset[Gathered]):
    """Batch number i of a run, decoded; it depends on both sets, the recipe and the seed alone.

    For each example that needs an unlabelled signal one segment is read.
    """

    def __init__(
        self,
        data: Corpus,
        segments: SegmentSource,
        recipe: Recipe,
        ratio: float,
        seed: int,
        world: World = ALONE,
        *,
        across: bool = True,
    ) -> None:
        """`across` as for `Draws`; processes that share a batch gather their own parts of it."""
        self.draws = Draws(data, recipe, seed, world, across=across)
        self.segments, self.recipe, self.ratio, self.seed = segments, recipe, ratio, seed

    def __getitem__(self, batch: int) -> Gathered:
        recipe, mixing, labelled = self.recipe, self.draws.mixing, self.draws[batch]
        shape = (recipe.audio_channels, recipe.patch_samples)
        rejects = list(labelled.rejects)
        chosen, found = [], []
        for item in self.draws.items:
            number = batch * recipe.batch_size + item
            pair, rng = sides(mixing, self.ratio, self.seed, number)
            chosen.append(pair)
            if any(side.unlabelled for side in pair):
                found.append(self.segments.draw(rng, shape, recipe.sample_rate, rejects))
        return Gathered(labelled, chosen, found, rejects)


def batches(
    gathering: Gathering,
    progress: Progress,
    rejects: dict[str, str],
    *,
    workers: int,
    device: torch.device,
) -> Iterator[UnlabelledBatch]:
    """An endless stream of batches from `progress` on; `rejects` notes what cannot be read."""
    for gathered in loader(gathering, progress.position, workers):
        rejects |= {bad.key: bad.reason for bad in gathered.rejects if bad.key not in rejects}
        progress.position += 1
        progress.epoch = progress.position // gathering.recipe.validate_every
        drawn = gathered.labelled
        scaled = drawn.waveforms.to(device) * drawn.gains.to(device)[..., None, None]
        none = torch.zeros(len(scaled), dtype=torch.bool, device=device)
        yield UnlabelledBatch(
            drawn.sample_ids, scaled.sum(1), scaled[:, 0], none, gathered.sides, gathered.segments
        )


def pools(segments: list[Segment], mixture: Tensor, target: Tensor, heard: Labels) -> Pools:
    """Labelled segments → the signals that they give; mixture and target are [segments, channels,
    samples]."""
    kinds = heard.outcome.tolist()
    targets, residuals = labels.signals(mixture, target, heard)

    def named(signals: Tensor, *giving: int) -> list[Given | None]:
        given = iter(signals)
        pairs = zip(segments, kinds, strict=True)
        return [(one.name, next(given)) if kind in giving else None for one, kind in pairs]

    return Pools(
        named(targets, labels.PSEUDO, labels.CLEAN_TARGET),
        named(residuals, labels.PSEUDO, labels.CLEAN_RESIDUAL),
    )


def compose(
    batch: UnlabelledBatch, found: Pools, used: Counter[str], *, from_all: bool = False
) -> Batch:
    """The batch, mixed; `used` counts the signals by their set.

    If an example's segment gives no target (or no residual), the labelled one is used; `from_all`:
    if no segment of the batch does, else one of theirs.
    """
    own = {"targets": batch.reference, "residuals": batch.mixture - batch.reference}
    given = {"targets": found.targets, "residuals": found.residuals}
    ids, rows = list(batch.sample_ids), []
    segment = 0  # of the example
    for number, pair in enumerate(batch.sides):
        row = []
        for side, kind in zip(pair, own, strict=True):
            among = given[kind] if from_all else given[kind][segment : segment + 1]
            pool = [one for one in among if one is not None] if side.unlabelled else []
            used[f"{kind}_{'unlabelled' if pool else 'labelled'}"] += 1
            if pool:
                name, signal = pool[int(side.pick * len(pool))]
                ids[number] += f"+{name}"
                row.append(signal * side.gain)
            else:
                row.append(own[kind][number])
        rows.append(torch.stack(row))
        segment += any(side.unlabelled for side in pair)  # for which one was read
    waveforms = torch.stack(rows)  # [batch, 2, channels, samples]
    mixture, target = mix(waveforms, waveforms.new_ones(len(rows), 2))
    return Batch(ids, mixture, target, batch.residual)
