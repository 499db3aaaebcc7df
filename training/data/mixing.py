"""Mixtures made on the fly from sources of random songs (BSRNN IV-A-2).

Draw number n (which windows, where in them, how loud) depends on the seed alone. So the number of
workers changes nothing, and a killed run goes on with the next draw. Workers decode; the device
mixes.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stemlode.runs import Failed
from training.data import corpus, pools
from training.data.corpus import Bad, Corpus
from training.data.examples import Batch, TrainingSet, training_batches
from training.data.pools import Chunks, Pool, backings, kind_of, windows
from training.data.windows import UNREADABLE, fault
from training.devices import ALONE, World
from training.recipes.base import Recipe
from training.state import Progress

ATTEMPTS = 20  # to read a sample for one draw, before the run fails
AHEAD = 2  # batches that each worker prepares
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A batch before it is mixed."""

    sample_ids: list[str]
    waveforms: Tensor  # float32 [batch, sources, channels, samples]; the first one is the target
    gains: Tensor  # float32 [batch, sources]; 0 where a source is left out
    rejects: list[Bad]

    def pin_memory(self) -> "Drawn":
        """In pinned memory; the loader calls this in a thread of its own."""
        pinned = self.waveforms.pin_memory(), self.gains.pin_memory()
        return Drawn(self.sample_ids, *pinned, self.rejects)


def batches(
    training_set: TrainingSet, progress: Progress, rejects: dict[str, str]
) -> Iterator[Batch]:
    """An endless stream of batches that a recipe learns from: mixtures, or songs as they are."""
    if training_set.recipe.mixing is None:
        return training_batches(training_set, progress, rejects)
    return mixed_batches(training_set, progress, rejects)


def mixed_batches(
    training_set: TrainingSet, progress: Progress, rejects: dict[str, str]
) -> Iterator[Batch]:
    """An endless stream of batches on the device; `progress.position` counts the used ones.

    Raises Failed if the corpus lacks a source that the recipe mixes, or if many samples in a row
    are damaged.
    """
    recipe, device = training_set.recipe, training_set.device
    draws = Draws(
        training_set.corpus,
        recipe,
        training_set.seed,
        training_set.world,
        across=training_set.across,
    )
    pin = device.type == "cuda"
    for drawn in loader(draws, progress.position, training_set.workers, pin=pin):
        rejects |= {bad.key: bad.reason for bad in drawn.rejects if bad.key not in rejects}
        progress.position += 1
        progress.epoch = progress.position // recipe.validate_every
        waveforms = drawn.waveforms.to(device, non_blocking=True)
        mixture, target = mix(waveforms, drawn.gains.to(device, non_blocking=True))
        exact = torch.zeros(len(target), dtype=torch.bool, device=device)
        yield Batch(drawn.sample_ids, mixture, target, exact)


def mix(waveforms: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
    """[batch, sources, channels, samples] and [batch, sources] → mixture and target, which is the
    first source, [batch, channels, samples] each.

    "We rescale both the mixture and the target by the maximum of the maximum absolute value of
    their samples." Silence stays silence.
    """
    scaled = waveforms * gains[..., None, None]
    mixture, target = scaled.sum(1), scaled[:, 0]
    peak = peaks(mixture, target)
    return mixture / peak, target / peak


def peaks(mixture: Tensor, target: Tensor) -> Tensor:
    """By what mixtures and targets [batch, channels, samples] are divided, [batch, 1, 1]."""
    peak = torch.maximum(mixture.abs(), target.abs()).amax((1, 2), keepdim=True)
    return torch.where(peak > 0, peak, 1.0)


class Draws(Dataset[Drawn]):
    """Batch number i of a run, decoded; it depends on the corpus, the recipe and the seed alone.

    Processes that share a batch make their own parts of it.
    """

    def __init__(
        self,
        data: Corpus,
        recipe: Recipe,
        seed: int,
        world: World = ALONE,
        *,
        across: bool = True,
    ) -> None:
        """`across`: whether pieces may cross from one chunk of a song into the next."""
        self.items = range(world.rank, recipe.batch_size, world.size)
        self.recipe, self.seed = recipe, seed
        self.mixing = recipe.checked_mixing()
        index: pa.Table = data.of("train").combine_chunks()
        self.chunks = Chunks(data.folder, index, data.window_s, across)
        self.pools = backings(index, self.mixing, self.chunks)
        if not self.pools:
            rows = index["sources"].to_pylist()
            held = sorted({name for row in rows for name in row})
            heard = pools.pool(index, rows, self.mixing.target, [None] * len(rows))
            if self.mixing.target in held and not len(heard.rows):
                raise Failed(
                    f"--corpus {data.folder}: {self.mixing.target} is silent throughout its train "
                    "split, by the --activity-threshold of `stemlode corpus`"
                )
            wanted = ", ".join(self.mixing.sources)
            raise Failed(
                f"--corpus {data.folder}: {recipe.name} mixes {wanted}, but the train split holds "
                f"{', '.join(held) or 'nothing'}; name what to mix with --others"
            )

    def __getitem__(self, batch: int) -> Drawn:
        first = batch * self.recipe.batch_size
        rejects: list[Bad] = []
        found = [self._example(first + item, rejects) for item in self.items]
        ids, waveforms, gains = zip(*found, strict=True)
        return Drawn(list(ids), torch.stack(waveforms), torch.tensor(gains), rejects)

    def _example(self, number: int, rejects: list[Bad]) -> tuple[str, Tensor, list[float]]:
        """Draw `number`: its samples' ids, [sources, channels, samples], and a gain a source."""
        rng, mixing = random.Random(f"{self.seed} {number}"), self.mixing
        mixed = rng.choices(self.pools, [windows(pools) for pools in self.pools])[0]
        parts: list[Tensor] = []
        ids, gains = [], []
        kind = None  # of the target's song, in which the others shall be alike
        for source, pool in mixed.items():
            among = pool.alike.get(kind) or range(len(pool.rows))
            row, part = self._piece(source, pool, among, rng, rejects)
            if not parts:
                kind = kind_of(row, mixing.mix_constraint)
            gain_db = rng.uniform(-mixing.gain_db, mixing.gain_db)
            dropped = rng.random() < mixing.drop
            parts.append(part)
            ids.append(row["sample_id"])
            gains.append(0.0 if dropped else 10 ** (gain_db / 20))
        empty = len(mixing.sources) - len(parts)  # an accompaniment takes one place
        parts += [torch.zeros_like(parts[0])] * empty
        return "+".join(ids), torch.stack(parts), gains + [0.0] * empty

    def _piece(
        self,
        source: str,
        pool: Pool,
        among: Sequence[int],
        rng: random.Random,
        rejects: list[Bad],
    ) -> tuple[dict[str, Any], Tensor]:
        """A random piece of a random window; samples that cannot be read are noted and passed."""
        shape = (self.recipe.audio_channels, self.recipe.patch_samples)
        for _ in range(ATTEMPTS):
            window = rng.choice(among)
            number, start, rate = (
                int(pool.rows[window]),
                pool.starts[window],
                self.recipe.sample_rate,
            )
            row = self.chunks.row(number)
            try:
                found = self.chunks.piece(number, start, source, rng.random(), shape, rate)
            except UNREADABLE as error:
                rejects.append(fault(row["sample_id"], error))
                continue
            return row, found
        bad = rejects[-1]
        raise Failed(
            f"{ATTEMPTS} samples of {source} in turn cannot be read; the last one, {bad.key}: "
            f"{bad.reason}"
        )


def loader(draws: Dataset[T], first: int, workers: int, *, pin: bool = False) -> Iterable[T]:
    """The items of a data set from number `first` on, in order and without end, by worker
    processes.

    `pin`: in pinned memory, by the items' own `pin_memory`.
    """
    return DataLoader(
        draws,
        batch_size=None,
        sampler=_From(first),
        num_workers=workers,
        pin_memory=pin,
        collate_fn=corpus.as_is,
        prefetch_factor=AHEAD if workers else None,
        generator=torch.Generator(),  # the global one belongs to the training loop
        worker_init_fn=corpus.ignore_interrupts,
    )


class _From:
    """The whole numbers from the first on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        number = self.first
        while True:
            yield number
            number += 1
