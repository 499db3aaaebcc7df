"""A corpus as a PyTorch dataset for training loops of others, which can stop anywhere and go on."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from stemlode.runs import BadUsage, Failed

if TYPE_CHECKING:
    from stemlode.api.corpora import Chunk, OpenCorpus

Item = dict[str, Any]


class CorpusDataset(IterableDataset[Item]):
    """The chunks of a corpus, one epoch each time it is iterated.

    Give it to `DataLoader(dataset, batch_size=None, num_workers=N)`: it makes its batches itself,
    so that their order is the same for any number of workers. Each item has

    - `audio`: float32 [channels, samples] by source, with `batch_size` [batch, channels, samples];
      chunks that are shorter than others of their batch end in zeros;
    - `sample_id`: a list of ids, those in the batch;
    - `epoch`, and `position`: chunks of the epoch that are used up with it. To go on after it,
      make the dataset anew with both, or `load_state_dict` them;
    - `rejects`: why chunks are missing in it, by id; only with `skip_bad`.

    `state_dict` and `load_state_dict` are those of torchdata's `StatefulDataLoader`.
    """

    def __init__(
        self,
        corpus: "OpenCorpus",
        *,
        batch_size: int | None = None,
        seconds: float | None = None,
        seed: int = 0,
        epoch: int = 0,
        position: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        skip_bad: bool = False,
    ) -> None:
        """`seconds` cuts each chunk to so many, at a place that seed, epoch and chunk decide; a
        shorter one ends in zeros. The processes of `world_size` share an epoch. A chunk that cannot
        be read raises Failed, or with `skip_bad` is left out and named.

        BadUsage for what cannot be, or if the chunks have no source in common, or several shapes.
        """
        _check(batch_size=batch_size, seconds=seconds, world_size=world_size)
        if not 0 <= rank < world_size:
            raise BadUsage(f"rank={rank}: from 0 to {world_size - 1}")
        if not 0 <= position <= len(corpus):
            raise BadUsage(f"position={position}: the corpus has {len(corpus):,} chunks")
        self.corpus = corpus if corpus.sources else _common(corpus)
        self.batch_size, self.seconds, self.skip_bad = batch_size, seconds, skip_bad
        self.seed, self.epoch, self.position = seed, epoch, position
        self.shuffle, self.drop_last = shuffle, drop_last
        self.rank, self.world_size = rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, from its beginning: another order, other places."""
        self.epoch, self.position = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Where it is, if it is iterated in this process; what an item says of itself is right
        also where workers iterate it."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there: a state, or an item."""
        self.epoch, self.position = int(state["epoch"]), int(state["position"])

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, begun = self.epoch, self.position
        order = self._order(epoch)[begun:]
        own = order[self.rank :: self.world_size]
        size = self.batch_size or 1
        for first in range(number * size, len(own), workers * size):
            rows = own[first : first + size]
            if len(rows) < size and self.drop_last:
                break
            position = begun + min((first + len(rows)) * self.world_size, len(order))
            self.position = position
            yield self._item(rows.tolist(), epoch, position)
        self.position = 0

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch; of several processes each gets as many."""
        count = len(self.corpus)
        rows = np.arange(count)
        if self.shuffle:
            drawn = random.Random(f"{self.seed} {epoch}").getrandbits(32)
            # RandomState's streams never change, unlike those of NumPy's newer generators.
            rows = np.random.RandomState(drawn).permutation(count)
        return rows[: count - count % self.world_size]

    def _item(self, rows: list[int], epoch: int, position: int) -> Item:
        held: list[dict[str, Tensor]] = []
        rejects: dict[str, str] = {}
        ids = []
        for row in rows:
            name = self.corpus.index["sample_id"][row].as_py()
            try:
                held.append(self._audio(self.corpus[row], epoch))
                ids.append(name)
            except Failed as error:
                if not self.skip_bad:
                    raise
                rejects[name] = str(error)
        item: Item = {"sample_id": ids, "epoch": epoch, "position": position}
        item["audio"] = _stacked(held) if self.batch_size else (held[0] if held else {})
        return item | ({"rejects": rejects} if self.skip_bad else {})

    def _audio(self, chunk: "Chunk", epoch: int) -> dict[str, Tensor]:
        audio = {name: torch.from_numpy(samples) for name, samples in chunk.audio.items()}
        if self.seconds is None:
            return audio
        wanted = max(1, round(self.seconds * chunk.sample_rate))
        spare = next(iter(audio.values())).shape[-1] - wanted
        drawn = random.Random(f"{self.seed} {epoch} {chunk.sample_id}")
        start = drawn.randint(0, spare) if spare > 0 else 0
        cut = {name: part[:, start : start + wanted] for name, part in audio.items()}
        return {
            name: torch.nn.functional.pad(part, (0, wanted - part.shape[-1]))
            for name, part in cut.items()
        }


def _check(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise BadUsage(f"{name}={value}: must be above 0")


def _common(corpus: "OpenCorpus") -> "OpenCorpus":
    """The corpus with the sources that all of its chunks have."""
    every = [{*held} for held in corpus.index["sources"].to_pylist()]
    shared = set.intersection(*every) if every else {"mixture"}
    if not shared:
        raise BadUsage(
            f"{corpus.folder}: its chunks have no source in common; say which: with_sources(…)"
        )
    return corpus.with_sources(*sorted(shared)) if every else corpus


def _stacked(held: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """[channels, samples] each → [batch, channels, samples], zeros after shorter ones."""
    if not held:
        return {}
    longest = max(part.shape[-1] for audio in held for part in audio.values())
    found = {}
    for name in held[0]:
        parts = [audio[name] for audio in held]
        whole = torch.zeros(len(parts), len(parts[0]), longest)
        for row, part in zip(whole, parts, strict=True):
            row[:, : part.shape[-1]] = part
        found[name] = whole
    return found
